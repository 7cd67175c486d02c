//! `gateway.yaml`.

use std::path::{Path, PathBuf};

use dcr_contract::model::Installation;
use dcr_runtime::config::{Located, Problems, load};
use dcr_runtime::telemetry::TracingSection;
use dcr_runtime::tls::{ClientFiles, ServerFiles};
use serde::Deserialize;

use super::limits::{PerMinute, failed_authentications};
use super::{Config, Sink, address, required};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayFile {
    installation: Option<Located<String>>,
    listen: Option<Located<String>>,
    probe_listen: Option<Located<String>>,
    #[serde(default)]
    insecure_plaintext: bool,
    failed_authentications: Option<PerMinute>,
    tls: Option<ServerFiles>,
    connector_tls: Option<ClientFiles>,
    audit: Option<Located<AuditSection>>,
    tracing: Option<TracingSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditSection {
    file: Option<PathBuf>,
    #[serde(default)]
    stdout: bool,
}

fn sink(section: &Located<AuditSection>, problems: &mut Problems) -> Option<Sink> {
    match &section.value {
        AuditSection {
            file: Some(path),
            stdout: false,
        } => Some(Sink::File(path.clone())),
        AuditSection {
            file: None,
            stdout: true,
        } => Some(Sink::Stdout),
        _ => {
            problems.at(
                section,
                "audit",
                "must have either `file: PATH` or `stdout: true`",
            );
            None
        }
    }
}

/// The file as it is while its certificates are in use: those are read again by whoever uses them, and what is wrong with
/// them is nothing of the file's.
pub(super) struct Again {
    /// Without its certificates.
    pub(super) config: Config,
    pub(super) tls: Option<Vec<PathBuf>>,
    pub(super) connector_tls: Option<Vec<PathBuf>>,
}

/// Reads the file for the first time, with its certificates; providers are not in it.
pub(super) fn gateway(file: &Path) -> Result<Config, Problems> {
    let Judged {
        config,
        tls,
        connector_tls,
        mut problems,
    } = judge(file)?;
    let tls = tls.and_then(|tls| tls.open("tls", &mut problems));
    let connector_tls = connector_tls.and_then(|tls| tls.open("connector_tls", &mut problems));
    match config {
        Some(config) => problems.or(Config {
            tls,
            connector_tls,
            ..config
        }),
        None => Err(problems),
    }
}

/// Reads the file again.
pub(super) fn again(file: &Path) -> Result<Again, Problems> {
    let Judged {
        config,
        tls,
        connector_tls,
        mut problems,
    } = judge(file)?;
    let tls = tls.and_then(|tls| tls.named("tls", &mut problems));
    let connector_tls = connector_tls.and_then(|tls| tls.named("connector_tls", &mut problems));
    match config {
        Some(config) => problems.or(Again {
            config,
            tls,
            connector_tls,
        }),
        None => Err(problems),
    }
}

struct Judged {
    /// `None` when a member that it needs is missing or wrong.
    config: Option<Config>,
    tls: Option<ServerFiles>,
    connector_tls: Option<ClientFiles>,
    problems: Problems,
}

fn judge(file: &Path) -> Result<Judged, Problems> {
    let read: GatewayFile = load(file)?;
    let mut problems = Problems::in_file(file);
    let installation = required(
        read.installation,
        "installation",
        &mut problems,
        Installation::parse,
    );
    let listen = required(read.listen.clone(), "listen", &mut problems, address);
    let probe_listen = required(
        read.probe_listen.clone(),
        "probe_listen",
        &mut problems,
        address,
    );
    if let (Some(both), Some(written)) = (listen, &read.probe_listen)
        && probe_listen == Some(both)
        && both.port() != 0
    {
        problems.at(
            written,
            "probe_listen",
            "must not be the address of `listen`",
        );
    }
    if let (Some(listen), Some(written)) = (listen, &read.listen)
        && !listen.ip().is_loopback()
        && !read.insecure_plaintext
        && read.tls.is_none()
    {
        let sentence = "takes plain HTTP from other machines, which anyone between can read: give `tls`, listen on \
            loopback behind something that ends TLS on this machine, or say `insecure_plaintext: true`";
        problems.at(written, "listen", sentence);
    }
    let failed_authentications = read
        .failed_authentications
        .and_then(|written| failed_authentications(written, &mut problems));
    let audit = read.audit.and_then(|section| sink(&section, &mut problems));
    let tracing = read
        .tracing
        .and_then(|section| section.judge(&mut problems));
    let config = match (installation, listen, probe_listen) {
        (Some(installation), Some(listen), Some(probe_listen)) => {
            let config = Config::new(installation, listen, probe_listen);
            Some(Config {
                failed_authentications: failed_authentications
                    .unwrap_or(config.failed_authentications),
                audit,
                tracing,
                ..config
            })
        }
        _ => None,
    };
    Ok(Judged {
        config,
        tls: read.tls,
        connector_tls: read.connector_tls,
        problems,
    })
}
