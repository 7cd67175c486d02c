//! Providers: which path belongs to whom, and which connector serves it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dcr_contract::model::{Caller, Malformed, ProviderId};
use dcr_contract::{ClientTls, ConnectorAddress, Remote};
use dcr_runtime::Shutdown;
use dcr_runtime::tls::{ClientIdentity, PeerIdentity};

use crate::bulkhead::Bulkhead;
use crate::config::{Config, ProviderConfig};
use crate::guard::Pending;
use crate::limits::Limiter;
use crate::metrics::ProviderLabel;
use crate::state::Lasting;

/// The path of a provider's base URL, without the slashes at its ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProviderPath(Box<str>);

impl ProviderPath {
    /// Parses one or more segments of `A-Z a-z 0-9 . _ ~ -`, none of them `.` or `..`, at most 200 characters.
    ///
    /// # Errors
    /// `Malformed` says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-');
        if text.is_empty() || text.len() > 200 {
            return Err(Malformed::new("must have 1 to 200 characters"));
        }
        for segment in text.split('/') {
            if segment.is_empty() {
                return Err(Malformed::new(
                    "must not begin or end with a slash or have two in a row",
                ));
            }
            if matches!(segment, "." | "..") || !segment.bytes().all(legal) {
                return Err(Malformed::new(
                    "must be segments of A-Z a-z 0-9 . _ ~ - with slashes between, none of them . or ..",
                ));
            }
        }
        Ok(Self(text.into()))
    }

    /// The path of a provider whose file names none.
    pub(crate) fn of(id: &ProviderId) -> Self {
        Self(id.as_str().into())
    }

    /// Whether it is the id, or begins with it and a slash: no two such paths of different providers meet.
    pub(crate) fn is_below(&self, id: &ProviderId) -> bool {
        self.0.split('/').next() == Some(id.as_str())
    }

    /// What follows this path in the path of a request; `None` when it is another's.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix('/')?.strip_prefix(&*self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl fmt::Display for ProviderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One provider and its connector.
#[derive(Debug)]
pub(crate) struct Provider {
    path: ProviderPath,
    /// The provider's id, as a label of metrics.
    pub(crate) label: ProviderLabel,
    /// Whom the connector is told.
    pub(crate) caller: Caller,
    /// The connector.
    pub(crate) connector: Remote,
    /// How much it may be asked.
    pub(crate) limiter: Limiter,
    /// Its calls in flight.
    pub(crate) bulkhead: Bulkhead,
    /// What is still to be undone.
    pub(crate) pending: Pending,
    /// Where the shapes of its requests are recorded, if they are.
    pub(crate) record: Option<PathBuf>,
    address: ConnectorAddress,
    identity: Option<PeerIdentity>,
}

impl Provider {
    /// The provider as it is configured now. What must outlive a new configuration is taken over from `before`, the
    /// provider with this id until now.
    fn succeed(
        before: Option<&Self>,
        gateway: &Config,
        config: &ProviderConfig,
        lasting: &Lasting,
    ) -> Result<Self, Malformed> {
        let connected = before.filter(|before| {
            before.address == config.connector && before.identity == config.connector_identity
        });
        let label = ProviderLabel::new(&config.id);
        let connector = if let Some(before) = connected {
            before.connector.clone()
        } else {
            let connector = connector(config, gateway.connector_tls.as_ref())?;
            let observer = lasting.rpcs.observer(&label);
            described(connector.observed_by(observer), &lasting.shutdown)
        };
        Ok(Self {
            path: config.path.clone(),
            limiter: lasting.limiters.of(&label, &config.limits),
            label,
            caller: Caller {
                installation: gateway.installation.clone(),
                provider_id: config.id.clone(),
            },
            connector,
            bulkhead: before.map_or_else(Bulkhead::new, |before| before.bulkhead.clone()),
            pending: before.map_or_else(Pending::new, |before| before.pending.clone()),
            record: config.record.clone(),
            address: config.connector.clone(),
            identity: config.connector_identity.clone(),
        })
    }
}

/// All providers.
#[derive(Debug)]
pub(crate) struct Providers(Vec<Provider>);

impl Providers {
    /// Prepares the connection to each connector that `before` has none to; keeps asking each what it is
    /// until the process stops; must be called within a tokio runtime. The order is that of `config.providers`.
    pub(crate) fn new(
        config: &Config,
        before: Option<&Self>,
        lasting: &Lasting,
    ) -> Result<Self, Malformed> {
        let provider = |p: &ProviderConfig| {
            let before = before.and_then(|before| before.with_id(&p.id));
            Provider::succeed(before, config, p, lasting)
        };
        config
            .providers
            .iter()
            .map(provider)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn with_id(&self, id: &ProviderId) -> Option<&Provider> {
        self.0.iter().find(|p| p.caller.provider_id == *id)
    }

    /// All of them, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Provider] {
        &self.0
    }

    /// The provider whose path the request's path begins with, its number, and what follows. No path begins with
    /// another's.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<(usize, &Provider, &'p str)> {
        let mut providers = self.0.iter().enumerate();
        providers.find_map(|(number, provider)| {
            let rest = provider.path.rest(path)?;
            Some((number, provider, rest))
        })
    }
}

/// Prepares the connection to a provider's connector; must be called within a tokio runtime.
pub(crate) fn connector(
    provider: &ProviderConfig,
    identity: Option<&Arc<ClientIdentity>>,
) -> Result<Remote, Malformed> {
    let tls = match (identity, &provider.connector_identity) {
        (Some(identity), Some(peer)) => {
            let (identity, peer) = (Arc::clone(identity), peer.clone());
            Some(ClientTls::new(peer.clone(), move || {
                identity.towards(&peer)
            }))
        }
        _ => None,
    };
    Remote::new(&provider.connector, tls.as_ref())
}

/// Keeps asking a connector what it is until the process stops.
fn described(remote: Remote, shutdown: &Shutdown) -> Remote {
    shutdown.spawn_until_stopping(remote.keep_described());
    remote
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest<'p>(provider: &str, path: &'p str) -> Option<&'p str> {
        ProviderPath::parse(provider).unwrap().rest(path)
    }

    #[test]
    fn a_path_belongs_to_the_provider_whose_segments_it_begins_with() {
        assert_eq!(rest("a", "/a"), Some(""));
        assert_eq!(rest("a", "/a/"), Some("/"));
        assert_eq!(rest("a/b", "/a/b//c"), Some("//c"));
        for other in ["", "/", "a", "/ab", "//a", "/A", "/%61", "/b/a", "*"] {
            assert_eq!(rest("a", other), None, "{other:?}");
        }
    }

    #[test]
    fn a_provider_path_cannot_be_ambiguous() {
        for good in ["a", "v1/dcr", "A-b_c.d~e", "..."] {
            assert!(ProviderPath::parse(good).is_ok(), "{good:?}");
        }
        let long = "a".repeat(201);
        for bad in [
            "", "/a", "a/", "a//b", ".", "a/..", "a b", "a%2fb", "ä", "a?b", "a:b", &long,
        ] {
            assert!(ProviderPath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
