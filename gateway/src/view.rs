//! What metrics see of the state when they are asked: so nothing of a configuration that was replaced stays behind.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::keys::Key;
use crate::metrics::Metrics;
use crate::state::Live;

/// The providers, their keys and their connectors.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) live: Live,
    pub(crate) metrics: Arc<Metrics>,
}

impl Collector for View {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = self.live.now();
        let providers = state.providers.all();
        let served: BTreeSet<_> = providers.iter().map(|provider| &provider.label).collect();
        let is_served = |provider: &_| served.contains(provider);
        self.live.lasting().rpcs.encode(&mut encoder, is_served)?;
        self.metrics.encode_providers(&mut encoder, is_served)?;

        let help = "Creating calls whose undoing the connector has not accepted, or that are not looked at again since";
        let mut pending =
            encoder.encode_descriptor("dcr_aborts_pending", help, None, MetricType::Gauge)?;
        for provider in providers {
            let labels = [("provider", provider.label.as_str())];
            let aborts = i64::try_from(provider.pending.aborts()).unwrap_or(i64::MAX);
            ConstGauge::new(aborts).encode(pending.encode_family(&labels)?)?;
        }

        let mut keys = |name, help, time: &dyn Fn(&Key) -> Option<i64>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (number, provider) in providers.iter().enumerate() {
                for key in state.keys.of(number) {
                    if let Some(time) = time(key) {
                        let id = key.id().to_string();
                        let labels = [("provider", provider.label.as_str()), ("key_id", &id)];
                        ConstGauge::new(time).encode(family.encode_family(&labels)?)?;
                    }
                }
            }
            Ok(())
        };
        keys(
            "dcr_api_key_not_after_timestamp_seconds",
            "From when on a key opens nothing, by the first 8 digits of its hash; keys that never end are not here",
            &|key| key.configured.expires_at.map(Timestamp::as_second),
        )?;
        keys(
            "dcr_api_key_last_used_timestamp_seconds",
            "When a key last opened its provider, by the first 8 digits of its hash",
            &Key::last_used,
        )?;

        let remotes: Vec<_> = providers
            .iter()
            .map(|provider| (provider.label.as_str(), provider.connector.state()))
            .collect();
        let help = "What each connector last said of itself";
        let mut info =
            encoder.encode_descriptor("dcr_connector_info", help, None, MetricType::Gauge)?;
        for (provider, remote) in &remotes {
            if let Some(said) = &remote.described {
                let minor = said.contract_minor.to_string();
                let labels = [
                    ("provider", *provider),
                    ("name", &said.name),
                    ("version", &said.version),
                    ("contract_minor", &minor),
                ];
                ConstGauge::new(1_i64).encode(info.encode_family(&labels)?)?;
            }
        }

        let mut count = |name, help, counted: &dyn Fn(&dcr_contract::RemoteState) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (provider, remote) in &remotes {
                let labels = [("provider", *provider)];
                let counter = ConstCounter::new(counted(remote));
                counter.encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        count(
            "dcr_retries",
            "Calls that were made once more because they were never sent",
            &|remote| remote.retried_calls,
        )?;
        count(
            "dcr_channels_replaced",
            "Connections to a connector that were replaced, because of their age or because no answers came",
            &|remote| remote.replaced_channels,
        )
    }
}
