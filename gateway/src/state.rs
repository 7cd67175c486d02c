//! What a new configuration replaces: providers and keys, as one value, so that no call sees half of each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use dcr_contract::model::Malformed;

use crate::config::Config;
use crate::keys::Keys;
use crate::providers::Providers;

/// The providers and their keys. A call keeps to the state that it began with.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) providers: Providers,
    pub(crate) keys: Keys,
}

/// The state that a call begins with. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<ArcSwap<State>>);

impl State {
    /// Prepares the connection to each connector; must be called within a tokio runtime. What a provider has gathered
    /// in its life goes on from the state `before`.
    pub(crate) fn new(config: &Config, before: Option<&Self>) -> Result<Self, Malformed> {
        let mut keys = Keys::default();
        for (number, provider) in config.providers.iter().enumerate() {
            keys.add(number, &provider.api_keys);
        }
        let providers = Providers::new(config, before.map(|state| &state.providers))?;
        Ok(Self { providers, keys })
    }
}

impl Live {
    /// Begins with the state of a configuration; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` when a connector's address is not one that HTTP can use.
    pub(crate) fn new(config: &Config) -> Result<Self, Malformed> {
        let state = State::new(config, None)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(state))))
    }

    /// The state now.
    pub(crate) fn now(&self) -> Arc<State> {
        self.0.load_full()
    }

    /// Replaces the state for the calls that begin from now on; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` as for [`new`](Self::new); then nothing is replaced.
    pub(crate) fn replace(&self, config: &Config) -> Result<(), Malformed> {
        let state = State::new(config, Some(&self.now()))?;
        self.0.store(Arc::new(state));
        Ok(())
    }
}
