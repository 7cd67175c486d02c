//! Metrics that have a provider among their labels, and end with it.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use dcr_contract::model::ProviderId;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder,
};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::registry::Unit;

/// A provider's id as a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProviderLabel(Arc<str>);

impl ProviderLabel {
    pub(crate) fn new(id: &ProviderId) -> Self {
        Self(id.as_str().into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl EncodeLabelValue for ProviderLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(&self.0)
    }
}

/// Labels one of which is the provider.
pub(super) trait OfAProvider: Clone + Eq + Hash {
    fn provider(&self) -> &ProviderLabel;
}

macro_rules! labels_of_a_provider {
    ($($labels:ident),+) => {$(
        impl $crate::metrics::providers::OfAProvider for $labels {
            fn provider(&self) -> &ProviderLabel {
                &self.provider
            }
        }
    )+};
}
pub(super) use labels_of_a_provider;

/// A family of metrics, of which those of providers that are no more can be taken out.
#[derive(Debug)]
pub(super) struct Providers<L, M> {
    new: fn() -> M,
    all: RwLock<HashMap<L, M>>,
}

impl<L, M> Providers<L, M>
where
    L: OfAProvider + EncodeLabelSet,
    M: EncodeMetric + TypedMetric + Clone,
{
    pub(super) fn new(new: fn() -> M) -> Self {
        let all = RwLock::default();
        Self { new, all }
    }

    /// The metric with these labels.
    pub(super) fn get(&self, labels: &L) -> M {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(labels).cloned();
        drop(all);
        known.unwrap_or_else(|| {
            let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(labels.clone()).or_insert_with(self.new).clone()
        })
    }

    /// Tells those of the providers that are served, and forgets the others.
    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        is_served: impl Fn(&ProviderLabel) -> bool,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, unit, M::TYPE)?;
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|labels, _| is_served(labels.provider()));
        for (labels, metric) in &*all {
            metric.encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}
