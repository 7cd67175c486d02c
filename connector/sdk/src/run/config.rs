//! A connector's configuration file, judged whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dcr_runtime::config::{Located, Problems, load};
use dcr_runtime::telemetry::{Tracing, TracingSection};
use dcr_runtime::tls::{MutualServerFiles, ServerIdentity};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::idp::Idp;
use crate::managed::Imported;
use crate::model::{ClientId, Installation, Malformed, ProviderId};
use crate::settings::{Kept, Settings};

/// All but the IdP's own section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    installation: Option<Located<String>>,
    listen: Option<Located<String>>,
    probe_listen: Option<Located<String>>,
    #[serde(default)]
    insecure_plaintext: bool,
    tls: Option<MutualServerFiles>,
    tracing: Option<TracingSection>,
    #[serde(default)]
    imported_clients: BTreeMap<String, Vec<Located<String>>>,
    #[serde(default, rename = "idp")]
    _idp: IgnoredAny,
}

/// The IdP's own section, which is read apart, so that a mistake there hides none elsewhere.
#[derive(Debug, Deserialize)]
struct Section<C> {
    idp: C,
}

/// A connector's configuration.
pub(super) struct Config<I> {
    pub(super) installation: Installation,
    pub(super) listen: SocketAddr,
    pub(super) probe_listen: SocketAddr,
    pub(super) tls: Option<MutualServerFiles>,
    /// What `tls` names, if it was to be read.
    pub(super) identity: Option<Arc<ServerIdentity>>,
    pub(super) imported: Imported,
    pub(super) tracing: Option<Tracing>,
    pub(super) idp: I,
}

/// Whether certificates are read too. Those of a running process are watched and judged on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificates {
    Read,
    Leave,
}

/// A configuration, and the files that it is made of as far as it could be read.
pub(super) struct Read<I> {
    pub(super) config: Result<Config<I>, Problems>,
    pub(super) files: BTreeSet<PathBuf>,
}

impl<I: Idp> Read<I> {
    /// Reads a file. The IdP gets what the one before it has left in `kept`.
    pub(super) fn of(file: &Path, kept: &Kept, certificates: Certificates) -> Self {
        let frame = load::<Frame>(file);
        let section = load::<Section<I::Config>>(file);
        let mut files = BTreeSet::from([file.to_owned()]);
        let mut problems = Problems::in_file(file);
        let config = (|| {
            let frame = match frame {
                Ok(frame) => frame,
                Err(mistake) => {
                    // What is no YAML at all is told once.
                    if let Some(other) = section.err().filter(|other| *other != mistake) {
                        problems.append(other);
                    }
                    problems.append(mistake);
                    return None;
                }
            };
            let (installation, listen, probe_listen) = addresses(&frame, &mut problems);
            let named = frame.tls.as_ref();
            let identity = named
                .filter(|_| certificates == Certificates::Read)
                .and_then(|tls| tls.open("tls", &mut problems));
            let imported = imported(&frame.imported_clients, &mut problems);
            let tracing = frame.tracing.as_ref();
            let tracing = tracing.and_then(|section| section.judge(&mut problems));
            let section = section.map_err(|mistake| problems.append(mistake)).ok()?;
            // What is wrong with the section is told whatever is wrong before it.
            let settings = Settings::new(installation.clone().or_else(nobody)?, file, kept);
            let idp = I::open(section.idp, &settings);
            files.extend(settings.into_files());
            let idp = idp.map_err(|mistakes| problems.append(mistakes)).ok()?;
            Some(Config {
                installation: installation?,
                listen: listen?,
                probe_listen: probe_listen?,
                tls: frame.tls,
                identity,
                imported,
                tracing,
                idp,
            })
        })();
        let config = match config {
            Some(config) => problems.or(config),
            None => Err(problems),
        };
        Self { config, files }
    }
}

/// An installation to judge the rest with.
fn nobody() -> Option<Installation> {
    Installation::parse("nobody").ok()
}

type Addresses = (Option<Installation>, Option<SocketAddr>, Option<SocketAddr>);

fn addresses(frame: &Frame, problems: &mut Problems) -> Addresses {
    let installation = required(
        frame.installation.as_ref(),
        "installation",
        problems,
        Installation::parse,
    );
    let listen = required(frame.listen.as_ref(), "listen", problems, address);
    let probe_listen = required(
        frame.probe_listen.as_ref(),
        "probe_listen",
        problems,
        address,
    );
    if let (Some(listen), Some(written)) = (listen, &frame.listen)
        && frame.tls.is_none()
        && !listen.ip().is_loopback()
        && !frame.insecure_plaintext
    {
        problems.at(
            written,
            "listen",
            "is not loopback and would be served without TLS: give `tls`, listen on 127.0.0.1, or set \
             `insecure_plaintext: true` where the network itself keeps others out",
        );
    }
    (installation, listen, probe_listen)
}

fn required<T>(
    written: Option<&Located<String>>,
    path: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Option<T> {
    let Some(written) = written else {
        problems.anywhere(path, "must be given");
        return None;
    };
    parse(&written.value)
        .map_err(|m| problems.at(written, path, m.to_string()))
        .ok()
}

fn address(text: &str) -> Result<SocketAddr, Malformed> {
    text.parse()
        .map_err(|_| Malformed::new("must be an IP address and a port, as 127.0.0.1:9000"))
}

fn imported(clients: &BTreeMap<String, Vec<Located<String>>>, problems: &mut Problems) -> Imported {
    let mut imported = HashMap::new();
    for (provider, ids) in clients {
        let path = format!("imported_clients.{provider}");
        let provider = match ProviderId::parse(provider) {
            Ok(provider) => provider,
            Err(m) => {
                problems.anywhere(path, format!("the provider id {m}"));
                continue;
            }
        };
        let parsed = ids.iter().enumerate().filter_map(|(index, id)| {
            ClientId::parse(&id.value)
                .map_err(|m| problems.at(id, format!("{path}[{index}]"), m.to_string()))
                .ok()
        });
        imported.insert(provider, parsed.collect());
    }
    Imported(imported)
}
