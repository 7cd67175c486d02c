//! The gateway's calls to connectors, as the connections tell them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dcr_contract::Observer;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::duration;
use super::providers::{ProviderLabel, Providers, labels_of_a_provider};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    provider: ProviderLabel,
    rpc: &'static str,
    code: &'static str,
}

labels_of_a_provider!(RpcLabels);

/// How long the calls to the connectors of all providers took. Connections outlive a configuration, and so does this.
/// Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Rpcs(Arc<Providers<RpcLabels, Histogram>>);

impl Rpcs {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Providers::new(duration)))
    }

    /// Whom a provider's connector tells of its calls.
    pub(crate) fn observer(&self, provider: &ProviderLabel) -> Arc<dyn Observer> {
        Arc::new(OfAProvider {
            all: self.clone(),
            provider: provider.clone(),
        })
    }

    /// Tells the calls of these providers, and forgets those of others.
    pub(crate) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        is_served: impl Fn(&ProviderLabel) -> bool,
    ) -> fmt::Result {
        self.0.encode(
            encoder,
            "rpc_client_call_duration",
            "From a call to a connector to its answer",
            Some(&Unit::Seconds),
            is_served,
        )
    }
}

/// The calls to one provider's connector.
#[derive(Debug)]
struct OfAProvider {
    all: Rpcs,
    provider: ProviderLabel,
}

impl Observer for OfAProvider {
    fn ended(&self, rpc: &'static str, code: &'static str, took: Duration) {
        let provider = self.provider.clone();
        let labels = RpcLabels {
            provider,
            rpc,
            code,
        };
        self.all.0.get(&labels).observe(took.as_secs_f64());
    }
}
