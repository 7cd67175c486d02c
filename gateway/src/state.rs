//! What a new configuration replaces: providers and keys, as one value, so that no call sees half of each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use dcr_contract::model::Malformed;
use dcr_runtime::Shutdown;

use crate::config::Config;
use crate::keys::Keys;
use crate::limits::{Limiters, Strangers};
use crate::metrics::Rpcs;
use crate::providers::Providers;

/// The providers and their keys. A call keeps to the state that it began with.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) providers: Providers,
    pub(crate) keys: Keys,
}

/// What outlives every configuration of a process.
#[derive(Debug)]
pub(crate) struct Lasting {
    /// What has been counted of each provider.
    pub(crate) limiters: Limiters,
    /// What has been counted of calls without a right key.
    pub(crate) strangers: Strangers,
    /// The calls to connectors.
    pub(crate) rpcs: Rpcs,
    pub(crate) shutdown: Shutdown,
}

/// The state that a call begins with, and what lasts whatever the state. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    state: Arc<ArcSwap<State>>,
    lasting: Arc<Lasting>,
}

impl State {
    /// Prepares the connection to each connector; must be called within a tokio runtime. What a provider has gathered
    /// in its life goes on from the state `before`.
    fn new(config: &Config, before: Option<&Self>, lasting: &Lasting) -> Result<Self, Malformed> {
        let keys = config
            .providers
            .iter()
            .map(|p| (&p.id, p.api_keys.as_slice()));
        let keys = Keys::new(keys, before.map(|state| &state.keys));
        let before = before.map(|state| &state.providers);
        let providers = Providers::new(config, before, lasting)?;
        Ok(Self { providers, keys })
    }
}

impl Live {
    /// Begins with the state of a configuration; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` when a connector's address is not one that HTTP can use.
    pub(crate) fn new(config: &Config, shutdown: &Shutdown) -> Result<Self, Malformed> {
        let lasting = Lasting {
            limiters: Limiters::default(),
            strangers: Strangers::new(config.failed_authentications),
            rpcs: Rpcs::new(),
            shutdown: shutdown.clone(),
        };
        let state = State::new(config, None, &lasting)?;
        Ok(Self {
            state: Arc::new(ArcSwap::from_pointee(state)),
            lasting: Arc::new(lasting),
        })
    }

    /// The state now.
    pub(crate) fn now(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// What lasts.
    pub(crate) fn lasting(&self) -> &Lasting {
        &self.lasting
    }

    /// Replaces the state for the calls that begin from now on; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` as for [`new`](Self::new); then nothing is replaced.
    pub(crate) fn replace(&self, config: &Config) -> Result<(), Malformed> {
        let state = State::new(config, Some(&self.now()), &self.lasting)?;
        self.state.store(Arc::new(state));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dcr_contract::model::{Deadline, Installation, ProviderId};
    use dcr_contract::{Connector as _, ConnectorAddress};
    use tokio::net::TcpListener;
    use tokio::task::{JoinSet, yield_now};

    use super::*;
    use crate::config::ProviderConfig;
    use crate::providers::ProviderPath;

    fn config(connector: &TcpListener, id: &str, path: &str) -> Config {
        let address = format!("http://{}", connector.local_addr().unwrap());
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = Config::new(Installation::parse("test").unwrap(), any, any);
        config.providers.push(ProviderConfig::new(
            ProviderId::parse(id).unwrap(),
            ProviderPath::parse(path).unwrap(),
            ConnectorAddress::parse(&address).unwrap(),
        ));
        config
    }

    fn in_flight(live: &Live, path: &str) -> usize {
        let state = live.now();
        let (_, provider, _) = state.providers.find(path).unwrap();
        provider.connector.state().in_flight.iter().sum()
    }

    #[tokio::test]
    async fn a_provider_keeps_its_connections_as_long_as_its_connector_is_the_same() {
        // Nobody ever answers there.
        let connector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let another = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = Live::new(&config(&connector, "one", "a"), &Shutdown::new()).unwrap();
        let mut calls = JoinSet::new();
        let remote = live.now().providers.find("/a").unwrap().1.connector.clone();
        calls.spawn(async move {
            let time = Deadline::after(Duration::from_mins(1));
            remote.describe(time).await
        });
        while in_flight(&live, "/a") == 0 {
            yield_now().await;
        }
        live.replace(&config(&connector, "one", "b")).unwrap();
        assert_eq!(in_flight(&live, "/b"), 1);
        live.replace(&config(&connector, "two", "b")).unwrap();
        assert_eq!(in_flight(&live, "/b"), 0, "another provider's connections");
        live.replace(&config(&another, "two", "b")).unwrap();
        assert_eq!(in_flight(&live, "/b"), 0);
    }

    #[tokio::test]
    async fn a_call_keeps_the_state_that_it_began_with() {
        let connector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = Live::new(&config(&connector, "one", "a"), &Shutdown::new()).unwrap();
        let began = live.now();
        live.replace(&config(&connector, "one", "b")).unwrap();
        assert!(began.providers.find("/a").is_some());
        assert!(live.now().providers.find("/a").is_none());
        assert!(live.now().providers.find("/b").is_some());
    }
}
