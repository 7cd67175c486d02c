//! The gateway's configuration: `gateway.yaml`, and one file for each provider in `providers.d/`.
//!
//! Each provider's file is judged alone: one team's mistake never holds up another's provider. A file is named after
//! its provider's id, and the provider's path begins with it, so that no file can claim what another one has.

mod files;
mod folder;
mod gateway;
mod konnect;
mod limits;
mod provider;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dcr_contract::ConnectorAddress;
use dcr_contract::model::{Installation, Malformed, ProviderId};
use dcr_runtime::config::{Located, Problems};
use dcr_runtime::telemetry::Tracing;
use dcr_runtime::tls::{ClientIdentity, PeerIdentity, ServerIdentity};
use jiff::Timestamp;

use self::files::{Files, settle, shared_keys};
use self::folder::Folder;
use self::gateway::Again;
pub use self::konnect::{Konnect, KonnectApi};
pub use crate::audit::Sink;
use crate::keys::ApiKey;
use crate::limits::{Limits, Rate};
use crate::providers::ProviderPath;

/// What the gateway needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of this installation of the bridge: part of every mark, so it may never change.
    pub installation: Installation,
    /// Where Konnect is served.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub probe_listen: SocketAddr,
    /// Calls without a right key from one peer that are answered 401; more are answered 429. Default 5 a minute and 10
    /// at once.
    pub failed_authentications: Rate,
    /// The certificate for Konnect; none serves plain HTTP.
    pub tls: Option<Arc<ServerIdentity>>,
    /// The certificate for connectors that are reached over TLS.
    pub connector_tls: Option<Arc<ClientIdentity>>,
    /// Where the audit log goes; `None`: there is none.
    pub audit: Option<Sink>,
    /// Where traces go; `None`: nowhere.
    pub tracing: Option<Tracing>,
    /// The providers, by file name.
    pub providers: Vec<ProviderConfig>,
}

impl Config {
    /// A configuration with the defaults and without providers.
    #[must_use]
    pub fn new(installation: Installation, listen: SocketAddr, probe_listen: SocketAddr) -> Self {
        Self {
            installation,
            listen,
            probe_listen,
            failed_authentications: Rate::per_minute(5, 10),
            tls: None,
            connector_tls: None,
            audit: None,
            tracing: None,
            providers: Vec::new(),
        }
    }
}

/// One DCR provider as configured in Konnect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name: part of every mark, so it may never change.
    pub id: ProviderId,
    /// The path of its base URL. In a file it is the id, or begins with it and a slash; default: the id.
    pub path: ProviderPath,
    /// The connector that serves it.
    pub connector: ConnectorAddress,
    /// Whom its certificate must name, where it is reached over TLS.
    pub connector_identity: Option<PeerIdentity>,
    /// The keys that open it.
    pub api_keys: Vec<ApiKey>,
    /// How much it may be asked.
    pub limits: Limits,
    /// The directory in which the shapes of its requests are recorded, if they are.
    pub record: Option<PathBuf>,
    /// Where in Konnect its applications are; only `orphans` needs to know.
    pub konnect: Option<Konnect>,
}

impl ProviderConfig {
    /// A provider with the defaults and without keys.
    #[must_use]
    pub fn new(id: ProviderId, path: ProviderPath, connector: ConnectorAddress) -> Self {
        Self {
            id,
            path,
            connector,
            connector_identity: None,
            api_keys: Vec::new(),
            limits: Limits::default(),
            record: None,
            konnect: None,
        }
    }
}

/// A configuration, and what of the directory is not in it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The usable part.
    pub config: Config,
    /// What is wrong with the files in `providers.d/` whose content is not in it. When a file was good before, its last
    /// good version still is.
    pub held_up: BTreeMap<PathBuf, Problems>,
    /// What is odd and holds up nobody: files that are not read although they look as if they should be, and keys that
    /// open several providers.
    pub warnings: Problems,
    /// What is wrong with the directory itself since it was read the first time; the last good version is in force.
    pub(crate) refused: Problems,
    /// Members of `gateway.yaml` that differ from those in force and wait for a restart.
    pub(crate) restart: Vec<&'static str>,
    files: Files,
}

/// Reads `gateway.yaml` and `providers.d/*.yaml` in a directory.
///
/// # Errors
/// Every mistake in `gateway.yaml` and why `providers.d` cannot be listed, with every mistake in providers' files.
/// Mistakes in those alone are in [`Loaded::held_up`].
pub fn load_dir(dir: &Path) -> Result<Loaded, Problems> {
    let gateway = gateway::gateway(&folder::gateway_file(dir));
    let Folder {
        providers,
        ignored: mut warnings,
    } = Folder::read(dir, gateway.as_ref().ok());
    let mut refused = Problems::in_file(dir);
    let read = providers.unwrap_or_else(|problems| {
        refused.append(problems);
        None
    });
    let (files, held_up) = settle(&Files::new(), read.unwrap_or_default());
    match gateway {
        Ok(mut config) if refused.is_empty() => {
            config.providers = files.values().cloned().collect();
            shared_keys(&files, &mut warnings);
            Ok(Loaded {
                config,
                held_up,
                warnings,
                refused,
                restart: Vec::new(),
                files,
            })
        }
        gateway => {
            let mut problems = gateway.err().unwrap_or_else(|| Problems::in_file(dir));
            problems.append(refused);
            for more in held_up.into_values() {
                problems.append(more);
            }
            Err(problems)
        }
    }
}

impl Loaded {
    /// Reads the directory again. What is bad now keeps its last good version; what only a restart can change is as it
    /// was.
    pub(crate) fn again(&self, dir: &Path) -> Self {
        let Folder { providers, ignored } = Folder::read(dir, Some(&self.config));
        let mut new = Self {
            warnings: ignored,
            refused: Problems::in_file(dir),
            ..self.clone()
        };
        match gateway::again(&folder::gateway_file(dir)) {
            Ok(gateway) => new.restart = self.config.differing(&gateway),
            Err(problems) => new.refused.append(problems),
        }
        let read = providers.and_then(|read| match read {
            // A directory is not emptied by taking it away: it may be on its way back.
            None if !self.files.is_empty() || !self.held_up.is_empty() => Err(vanished(dir)),
            read => Ok(read.unwrap_or_default()),
        });
        match read {
            Ok(read) => (new.files, new.held_up) = settle(&self.files, read),
            Err(problems) => new.refused.append(problems),
        }
        new.config.providers = new.files.values().cloned().collect();
        shared_keys(&new.files, &mut new.warnings);
        new
    }

    /// Whether an earlier version of this file is in force.
    pub(crate) fn has_last_good(&self, file: &Path) -> bool {
        self.files.contains_key(file)
    }
}

impl Config {
    /// The members that differ in a new `gateway.yaml` and take effect at a start only.
    fn differing(&self, again: &Again) -> Vec<&'static str> {
        let tls = self.tls.as_ref().map(|tls| tls.files());
        let connector_tls = self.connector_tls.as_ref().map(|tls| tls.files());
        let new = &again.config;
        let members = [
            ("installation", self.installation != new.installation),
            ("listen", self.listen != new.listen),
            ("probe_listen", self.probe_listen != new.probe_listen),
            (
                "failed_authentications",
                self.failed_authentications != new.failed_authentications,
            ),
            ("tls", tls != again.tls),
            ("connector_tls", connector_tls != again.connector_tls),
            ("audit", self.audit != new.audit),
            ("tracing", self.tracing != new.tracing),
        ];
        let differing = members.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(member, _)| member).collect()
    }
}

/// What is to be read again when it changes.
pub(crate) fn watched(dir: &Path) -> Vec<PathBuf> {
    vec![folder::gateway_file(dir), folder::providers_dir(dir)]
}

fn vanished(dir: &Path) -> Problems {
    let mut problems = Problems::in_file(folder::providers_dir(dir));
    let sentence = "has vanished; its providers are served as before: put it back, empty if none is to be served";
    problems.anywhere("", sentence);
    problems
}

fn required<T>(
    value: Option<Located<String>>,
    path: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Option<T> {
    if let Some(value) = value {
        return parsed(&value, path, problems, parse);
    }
    problems.anywhere(path, "must be given");
    None
}

fn parsed<T>(
    value: &Located<String>,
    path: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Option<T> {
    parse(&value.value)
        .map_err(|malformed| problems.at(value, path, malformed.to_string()))
        .ok()
}

fn address(text: &str) -> Result<SocketAddr, Malformed> {
    text.parse()
        .map_err(|_| Malformed::new("must be an IP address and a port, as 0.0.0.0:8080"))
}

fn time(text: &str) -> Result<Timestamp, Malformed> {
    text.parse()
        .map_err(|_| Malformed::new("must be a time, as 2027-01-01T00:00:00Z"))
}
