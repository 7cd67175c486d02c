//! What a new configuration replaces: providers and keys, as one value, so that no call sees half of each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use dcr_contract::model::Malformed;
use dcr_runtime::Shutdown;

use crate::config::Config;
use crate::keys::Keys;
use crate::limits::{Limiters, Strangers};
use crate::providers::Providers;

/// The providers and their keys. A call keeps to the state that it began with.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) providers: Providers,
    pub(crate) keys: Keys,
}

/// The state that a call begins with, and what has been counted whatever the state. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    state: Arc<ArcSwap<State>>,
    limiters: Limiters,
    strangers: Arc<Strangers>,
    shutdown: Shutdown,
}

impl State {
    /// Prepares the connection to each connector; must be called within a tokio runtime. What a provider has gathered
    /// in its life goes on from the state `before`.
    fn new(
        config: &Config,
        before: Option<&Self>,
        limiters: &Limiters,
        shutdown: &Shutdown,
    ) -> Result<Self, Malformed> {
        let mut keys = Keys::default();
        for (number, provider) in config.providers.iter().enumerate() {
            keys.add(number, &provider.api_keys);
        }
        let providers = Providers::new(
            config,
            before.map(|state| &state.providers),
            limiters,
            shutdown,
        )?;
        Ok(Self { providers, keys })
    }
}

impl Live {
    /// Begins with the state of a configuration; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` when a connector's address is not one that HTTP can use.
    pub(crate) fn new(config: &Config, shutdown: &Shutdown) -> Result<Self, Malformed> {
        let limiters = Limiters::default();
        let state = State::new(config, None, &limiters, shutdown)?;
        Ok(Self {
            state: Arc::new(ArcSwap::from_pointee(state)),
            limiters,
            strangers: Arc::new(Strangers::new(config.failed_authentications)),
            shutdown: shutdown.clone(),
        })
    }

    /// The state now.
    pub(crate) fn now(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// What has been counted of each provider.
    pub(crate) fn limiters(&self) -> &Limiters {
        &self.limiters
    }

    /// What has been counted of calls without a right key.
    pub(crate) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// Replaces the state for the calls that begin from now on; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` as for [`new`](Self::new); then nothing is replaced.
    pub(crate) fn replace(&self, config: &Config) -> Result<(), Malformed> {
        let state = State::new(config, Some(&self.now()), &self.limiters, &self.shutdown)?;
        self.state.store(Arc::new(state));
        Ok(())
    }
}
