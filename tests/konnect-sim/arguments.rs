//! The command line, and what of it can be judged before anybody is called.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::load::Mix;
use crate::tokens::Wanted;

/// Plays Konnect's Dev Portal against a DCR bridge, so that you know what Konnect will find before you give it the URL.
///
/// Every client that it creates is called `konnect-sim ...` (Verify's: `probe`) and is deleted at the end, also after a
/// failure or Ctrl-C; what could not be deleted is named, all of it in `--json`. Exit code 0: all is well. 1: something failed, or was left behind. 2: the command
/// line is wrong.
#[derive(Debug, Parser)]
#[command(name = "konnect-sim", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which bridge, and how to reach it.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The DCR base URL that Konnect is to be given, such as `https://dcr.example/okta`.
    #[arg(long, value_name = "URL", global = true, help_heading = "Bridge")]
    base_url: Option<String>,
    /// A file that holds the API key that Konnect is to be given.
    #[arg(long, value_name = "FILE", global = true, help_heading = "Bridge")]
    api_key_file: Option<PathBuf>,
    /// The IdP's token endpoint: also tries whether secrets open tokens, and stop when they should.
    #[arg(long, value_name = "URL", global = true, help_heading = "Bridge")]
    pub(crate) token_url: Option<String>,
    /// PEM certificates of the CAs to trust, instead of this machine's. Konnect trusts public CAs only.
    #[arg(long, value_name = "FILE", global = true, help_heading = "Bridge")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How long a call may take, in seconds. Konnect's is not published; the host of Kong's own example stops at 10.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, global = true, help_heading = "Bridge", value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    /// How long to wait in all, in seconds, where the bridge answers 429 with a Retry-After.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        global = true,
        help_heading = "Bridge"
    )]
    patience: u64,
    /// A scope to ask for in token requests.
    #[arg(long, value_name = "SCOPE", global = true, help_heading = "Bridge")]
    token_scope: Option<String>,
    /// An audience to ask for in token requests, where the IdP wants one.
    #[arg(long, value_name = "AUDIENCE", global = true, help_heading = "Bridge")]
    token_audience: Option<String>,
}

impl Target {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }

    /// What token requests ask for beside a token.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            scope: self.token_scope.clone(),
            audience: self.token_audience.clone(),
        }
    }

    /// The base URL, without slashes at its end.
    pub(crate) fn base_url(&self) -> Result<String, String> {
        let url = self
            .base_url
            .as_deref()
            .ok_or("--base-url is missing: give the URL that Konnect is to be given")?;
        let parsed = url.parse::<http::Uri>();
        let usable = parsed.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && uri.query().is_none()
        });
        if !usable {
            return Err(format!(
                "--base-url {url} is no URL of a bridge: it must be like https://dcr.example/okta"
            ));
        }
        if url.len() > 256 {
            return Err("--base-url is too long: Konnect takes at most 256 characters".to_owned());
        }
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// The API key, if it is one that Konnect would take.
    pub(crate) fn api_key(&self) -> Result<String, String> {
        let path = self
            .api_key_file
            .as_deref()
            .ok_or("--api-key-file is missing: name a file that holds the provider's API key")?;
        let key = read("--api-key-file", path)?.trim().to_owned();
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !(12..=256).contains(&key.len()) || !key.bytes().all(legal) {
            return Err(format!(
                "--api-key-file {}: Konnect takes no such key: it must have 12 to 256 of A-Z a-z 0-9 _",
                path.display()
            ));
        }
        Ok(key)
    }
}

/// Reads a file that an option names.
///
/// # Errors
/// A sentence, when it cannot be read.
pub(crate) fn read(option: &str, path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{option} {}: {e}", path.display()))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What Konnect's button *Verify* does, step by step.
    Verify(Files),
    /// One application's whole life: create, token, secrets, update, registrations, delete.
    Smoke(Files),
    /// The published contract, as named checks.
    ///
    /// Only what the contract or Konnect's known behaviour demands can fail. What is wise but demanded by nobody is
    /// advice. Operations that the bridge says its IdP cannot do are skipped by name. Failed authentications are part of
    /// it: a bridge that slows down such peers makes the run wait.
    Contract(Contract),
    /// Calls from many connections at once; shows throughput and latency while it runs.
    ///
    /// Each connection has one call at a time and waits for its answer. Nothing is retried: whatever is not a success is
    /// an error. Mind the bridge's rate limit.
    Load(Load),
}

/// Where else to write what came out.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Also writes the result as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Also writes the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `contract`.
#[derive(Debug, Args)]
pub(crate) struct Contract {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Only checks with this text in `group: name`; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Names the checks, and calls nobody.
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) lacks: Lacks,
}

/// What cannot be had from the IdP, as the bridge's operator says: it is not judged.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Lacks {
    /// The IdP cannot replace a client's secret: `disable_refresh_secret` is set in Konnect.
    #[arg(long)]
    pub(crate) no_rotations: bool,
    /// The IdP would replace a client's secret with each update, so the bridge refuses them.
    #[arg(long)]
    pub(crate) no_updates: bool,
}

/// Options of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Connections, each with one call at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// How long to go on, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// The most calls a second in all; unlimited if not given.
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// How often each kind of call is made, relative to the others: create, delete, rotate, list, update, register
    /// (a registration added, then removed), secret (one added, then removed; for IdPs with several secrets a client).
    #[arg(
        long,
        value_name = "KIND=N,...",
        default_value = "create=2,delete=2,list=4,rotate=1,update=1,register=1"
    )]
    pub(crate) mix: Mix,
    /// Also writes the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// A process on this machine whose CPU time is told per call; may be given several times.
    #[arg(long = "pid", value_name = "NAME=PID", value_parser = named_pid)]
    pub(crate) pids: Vec<(String, u32)>,
}

fn named_pid(text: &str) -> Result<(String, u32), String> {
    let (name, pid) = text.split_once('=').ok_or("must be NAME=PID")?;
    let pid = pid.parse().map_err(|e| format!("{pid}: {e}"))?;
    Ok((name.to_owned(), pid))
}
