//! What has been counted of all providers, which their limiters share, and which metrics tell.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::brake::LastHour;
use super::{Limiter, Limits, Loss, now};
use crate::metrics::ProviderLabel;

/// What has been counted for one provider.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// What has been lost.
    pub(super) lost: LastHour,
    /// As configured last, for the metric.
    pub(super) alarm_per_hour: AtomicU32,
}

impl Counts {
    fn is_alarming(&self, now: u64) -> bool {
        self.lost.both(now) > self.alarm_per_hour.load(Ordering::Relaxed)
    }
}

type ById = BTreeMap<ProviderLabel, Arc<Counts>>;

/// What has been counted of all providers, by their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limiters(Arc<Mutex<ById>>);

impl Limiters {
    /// The limiter of a provider. It counts on from any other of that provider's within the hour.
    pub(crate) fn of(&self, provider: &ProviderLabel, limits: &Limits) -> Limiter {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut all, now());
        let counts = Arc::clone(all.entry(provider.clone()).or_default());
        counts
            .alarm_per_hour
            .store(limits.alarm_per_hour, Ordering::Relaxed);
        Limiter {
            provider: provider.clone(),
            limits: limits.clone(),
            counts,
        }
    }

    /// Those of providers that are served.
    fn served(&self) -> ById {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut all, now());
        let served = all.iter().filter(|(_, counts)| is_served(counts));
        served
            .map(|(provider, counts)| (provider.clone(), Arc::clone(counts)))
            .collect()
    }
}

/// Forgets providers that are no more once their hour is empty: a file that is taken away and put back lets go of no
/// brake.
fn forget(all: &mut ById, now: u64) {
    all.retain(|_, counts| is_served(counts) || !counts.lost.is_empty(now));
}

/// Whether a limiter holds it.
fn is_served(counts: &Arc<Counts>) -> bool {
    Arc::strong_count(counts) > 1
}

/// An hour passes without a call, so these are counted when they are asked for.
impl Collector for Limiters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.served();
        let now = now();
        let mut gauge = |name, help, value: &dyn Fn(&Counts) -> u32| {
            let kind = prometheus_client::metrics::MetricType::Gauge;
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (provider, counts) in &all {
                let labels = [("provider", provider.as_str())];
                let gauge = ConstGauge::new(i64::from(value(counts)));
                gauge.encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        gauge(
            "dcr_deletes_last_hour",
            "Clients deleted within the last hour, or whose deletion has an unknown outcome",
            &|counts| counts.lost.count(Loss::Delete, now),
        )?;
        gauge(
            "dcr_rotations_last_hour",
            "Secrets replaced or removed within the last hour, or with an unknown outcome",
            &|counts| counts.lost.count(Loss::Rotation, now),
        )?;
        gauge(
            "dcr_deletes_and_rotations_alarm",
            "1 when there were more of both than the provider's alarm_per_hour",
            &|counts| u32::from(counts.is_alarming(now)),
        )
    }
}

#[cfg(test)]
mod tests {
    use dcr_contract::model::ProviderId;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn limiter(limiters: &Limiters, limits: &Limits) -> Limiter {
        let provider = ProviderLabel::new(&ProviderId::parse("okta").unwrap());
        limiters.of(&provider, limits)
    }

    #[test]
    fn a_provider_that_is_no_more_is_forgotten_when_its_hour_is_empty() {
        let limiters = Limiters::default();
        let limits = Limits::default();
        drop(limiter(&limiters, &limits).count(Loss::Delete));
        let known = |after_minutes: u64| {
            let mut all = limiters.0.lock().unwrap();
            forget(&mut all, now() + after_minutes * 60 * 1_000_000_000);
            all.len()
        };
        assert!(limiters.served().is_empty());
        assert_eq!(known(0), 1);
        let again = limiter(&limiters, &limits);
        assert_eq!(known(62), 1, "it is served");
        drop(again);
        assert_eq!(known(62), 0);
    }

    #[test]
    fn the_alarm_shows_in_the_metrics() {
        let limiters = Limiters::default();
        let limits = Limits {
            alarm_per_hour: 2,
            ..Limits::default()
        };
        let limiter = limiter(&limiters, &limits);
        let shows = |line: &str| {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(limiters.clone()));
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines().any(|l| l == line)
        };
        for loss in [Loss::Delete, Loss::Rotation] {
            drop(limiter.count(loss));
        }
        assert!(shows(r#"dcr_deletes_last_hour{provider="okta"} 1"#));
        assert!(shows(r#"dcr_rotations_last_hour{provider="okta"} 1"#));
        let alarm = r#"dcr_deletes_and_rotations_alarm{provider="okta"} 1"#;
        assert!(!shows(alarm));
        let third = limiter.count(Loss::Delete).unwrap();
        assert!(!shows(alarm), "it may not happen");
        drop(third);
        assert!(shows(alarm));
    }
}
