//! A connector's configuration, read again while calls go on.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use dcr_runtime::reloads::{CONFIGURATION, Reloads};
use dcr_runtime::telemetry::Tracing;
use dcr_runtime::tls::MutualServerFiles;

use super::config::{Certificates, Config, Read};
use crate::idp::Idp;
use crate::managed::Managed;
use crate::model::Installation;
use crate::settings::Kept;

/// Reads the configuration again, and puts it into force if it is good.
pub(super) struct Reload<I> {
    pub(super) file: PathBuf,
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) kept: Kept,
    pub(super) home: Home,
    pub(super) fixed: Fixed,
    pub(super) connector: Managed<I>,
    pub(super) reloads: Reloads,
}

/// Where the clients are, and the mark that they bear. A process never changes it: what is still to be undone would be
/// looked for elsewhere.
#[derive(Debug)]
pub(super) struct Home {
    installation: Installation,
    instance: String,
}

impl Home {
    pub(super) fn of<I: Idp>(config: &Config<I>) -> Self {
        Self {
            installation: config.installation.clone(),
            instance: config.idp.instance(),
        }
    }

    /// Why a configuration cannot be put into force by a process that has this one.
    fn refusals(&self, new: &Self) -> Vec<String> {
        let installation = self.installation != new.installation;
        let installation = installation.then(|| {
            format!(
                "`installation` has changed from {} to {}, and clients bear the mark of the old one: change it back, or \
                 restart the connector",
                self.installation, new.installation
            )
        });
        let instance = self.instance != new.instance;
        let instance = instance.then(|| {
            format!(
                "`idp` has changed from {} to {}, and what is still to be undone is at the old one: change it back, or \
                 restart the connector",
                self.instance, new.instance
            )
        });
        installation.into_iter().chain(instance).collect()
    }
}

/// What takes effect at a start only.
#[derive(Debug, PartialEq)]
pub(super) struct Fixed {
    listen: SocketAddr,
    probe_listen: SocketAddr,
    tls: Option<MutualServerFiles>,
    tracing: Option<Tracing>,
}

impl Fixed {
    pub(super) fn of<I>(config: &mut Config<I>) -> Self {
        Self {
            listen: config.listen,
            probe_listen: config.probe_listen,
            tls: config.tls.take(),
            tracing: config.tracing.take(),
        }
    }

    fn differing(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        let members = [
            ("listen", self.listen != new.listen),
            ("probe_listen", self.probe_listen != new.probe_listen),
            ("tls", self.tls != new.tls),
            ("tracing", self.tracing != new.tracing),
        ];
        let differing = members.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(member, _)| member)
    }
}

impl<I: Idp> Reload<I> {
    /// Reads again, and returns the files to watch. Must be called within a tokio runtime; blocks.
    pub(super) fn again(&mut self) -> Vec<PathBuf> {
        let Read { config, files } = Read::<I>::of(&self.file, &self.kept, Certificates::Leave);
        let config = config
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
            .and_then(|config| {
                let refusals = self.home.refusals(&Home::of(&config));
                if refusals.is_empty() {
                    Ok(config)
                } else {
                    Err(refusals)
                }
            });
        match config {
            Ok(mut config) => {
                let fixed = Fixed::of(&mut config);
                self.connector.replace(config.idp, config.imported);
                self.files = files;
                self.reloads.count(CONFIGURATION, "ok");
                for member in self.fixed.differing(&fixed) {
                    tracing::warn!(
                        "`{member}` has changed, which takes a restart; the old one stays in force"
                    );
                }
                tracing::info!(outcome = "ok", "configuration read");
            }
            Err(problems) => {
                // What it is made of may be known only in part.
                self.files.extend(files);
                self.reloads.count(CONFIGURATION, "refused");
                for problem in &problems {
                    tracing::error!("the last good configuration stays in force: {problem}");
                }
                tracing::info!(outcome = "refused", "configuration read");
            }
        }
        self.files.iter().cloned().collect()
    }
}
