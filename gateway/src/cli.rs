//! The command line.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use dcr_runtime::telemetry::LevelFilter;
use dcr_runtime::{Shutdown, process, telemetry};
use secrecy::ExposeSecret;

use crate::audit::Hash;
use crate::guard::Protections;
use crate::keys::{self, KeyHash};
use crate::{audit, check, orphans, serve};

/// Kong Konnect's HTTP DCR bridge: Konnect's calls in, the calls of your identity providers' connectors out.
#[derive(Debug, Parser)]
#[command(name = "dcr-gateway", version)]
struct Cli {
    /// What to log: off, error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves Konnect until it is told to stop (SIGTERM or SIGINT).
    Serve {
        /// The directory with gateway.yaml and providers.d/.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Judges the configuration, then asks every connector and its identity provider; exit code 1 when something is wrong.
    Check {
        /// The directory with gateway.yaml and providers.d/.
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Compares the identity providers' clients with Konnect's applications and lists who is without the other; changes
    /// nothing. Exit code 3 when somebody is, 1 when a provider could not be compared, whatever the others showed.
    Orphans(orphans::Options),
    /// Runs the whole bridge in one process, with an identity provider of its own: to try it out. Nothing is kept.
    #[cfg(feature = "dev")]
    Dev(crate::dev::Options),
    /// Sleeps and does nothing else: a preStop hook for clusters whose Pods have no `sleep` action.
    Sleep {
        /// For how long.
        seconds: u64,
    },
    /// Examines the audit log.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Makes an API key for Konnect and the line that admits it. The key is shown once and kept nowhere.
    NewKey,
}

/// The exit code of `orphans` when all was compared and somebody is without the other.
const FOUND: u8 = 3;
#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Finds lines that were changed, removed, repeated or moved; exit code 1 when there is one.
    Verify {
        /// The files of one log, the oldest first.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The hash of the line before the first one, where older files are not at hand.
        #[arg(long, value_name = "HASH", value_parser = hash)]
        after: Option<Hash>,
    },
}

fn hash(text: &str) -> Result<Hash, &'static str> {
    Hash::parse(text).ok_or("must be 64 hexadecimal digits, as `audit verify` prints")
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    run_with(Protections::default(), std::env::args_os())
}

/// The same with these arguments and a protection off: for tests alone.
#[doc(hidden)]
#[must_use]
pub fn run_with(
    protections: Protections,
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    telemetry::init(cli.log);
    match cli.command {
        Command::Serve { config } => process::run(async |shutdown: Shutdown| {
            serve::serve(&config, protections, &shutdown)
                .await
                .map_err(|e| Failure::new(&e))
        }),
        Command::Check { config } => process::run(async |_| {
            let findings = check::check(&config).await;
            print(&findings)?;
            if findings.has_errors() {
                return Err(Failure::new(&"something is wrong: see the findings above"));
            }
            Ok(())
        }),
        Command::Orphans(options) => orphans(&options),
        #[cfg(feature = "dev")]
        Command::Dev(options) => process::run(async |shutdown: Shutdown| {
            crate::dev::dev(&options, &shutdown)
                .await
                .map_err(|e| Failure::new(&e))
        }),
        Command::Sleep { seconds } => process::run(async |shutdown: Shutdown| {
            process::sleep(Duration::from_secs(seconds), &shutdown).await;
            Ok::<_, Failure>(())
        }),
        Command::Audit {
            command: AuditCommand::Verify { files, after },
        } => code(audit_verify(&files, after)),
        Command::NewKey => code(new_key()),
    }
}

fn orphans(options: &orphans::Options) -> ExitCode {
    let found = Cell::new(false);
    let code = process::run(async |_| {
        let report = orphans::orphans(options)
            .await
            .map_err(|e| Failure::new(&e))?;
        if options.json {
            print(&report.json())?;
        } else {
            print(&report)?;
        }
        if !report.is_whole() {
            return Err(Failure::new(&"not every provider was compared: see above"));
        }
        found.set(report.has_findings());
        Ok(())
    });
    if found.get() {
        ExitCode::from(FOUND)
    } else {
        code
    }
}

fn code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn audit_verify(files: &[PathBuf], after: Option<Hash>) -> Result<(), Failure> {
    let report = audit::verify(files, after).map_err(|sentence| Failure::new(&sentence))?;
    print(&report)?;
    if report.is_wrong() {
        let sentence = "the log is not what was written: see the findings above";
        return Err(Failure::new(&sentence));
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one moment at which the key is shown"
)]
fn new_key() -> Result<(), Failure> {
    let key =
        keys::generate().map_err(|_| Failure::new(&"the system has no randomness to give"))?;
    let key = key.expose_secret();
    let hash = KeyHash::of(key.as_bytes());
    let text = format!("{key}\n\n# for the provider's file, under api_keys:\n- hash: {hash}");
    print(&text)
}

fn print(text: &impl Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}")
        .map_err(|e| Failure::new(&format!("cannot write the result: {e}")))
}

/// What a command died of, as an operator reads it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl Failure {
    fn new(cause: &impl Display) -> Self {
        Self(cause.to_string())
    }
}
