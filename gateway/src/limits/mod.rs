//! How much a provider may be asked, and how much may be taken away there.
//!
//! All of it is counted in this process alone: with several replicas of the gateway each allows as much. What has been
//! lost counts for its hour with a provider's id, whatever becomes of its configuration.

mod brake;
mod strangers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dcr_contract::model::{OpaqueId, Origin};
use dcr_contract::{Fault, Outcome};
pub use dcr_runtime::rate::Rate;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use self::brake::LastHour;
pub(crate) use self::strangers::Strangers;
use crate::keys::Key;
use crate::metrics::ProviderLabel;
use crate::reply::Refusal;

/// What a provider's file says about limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls with each key. Default 20 a second and 40 at once: what a portal's developers do by hand stays far below, a
    /// burst of hooks passes, and a stolen key can use up neither an identity provider's own limits nor the rate of the
    /// key that takes its place.
    pub rate: Rate,
    /// More deletes and rotations within an hour than this set off the alarm. Default 60.
    pub alarm_per_hour: u32,
    /// Deletes of clients within an hour; `None`: any number.
    pub deletes_per_hour: Option<u32>,
    /// Rotations and removals of secrets within an hour; `None`: any number.
    pub rotations_per_hour: Option<u32>,
    /// The organizations of Konnect that are served; `None`: any.
    pub organizations: Option<Vec<OpaqueId>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: Rate::per_second(20, 40),
            alarm_per_hour: 60,
            deletes_per_hour: None,
            rotations_per_hour: None,
            organizations: None,
        }
    }
}

/// What takes something away from an application. A mistake, or a thief with the key, does many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A client is deleted.
    Delete,
    /// A secret is replaced or removed.
    Rotation,
}

/// Nanoseconds since the process has first asked.
fn now() -> u64 {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What has been counted for one provider.
#[derive(Debug, Default)]
struct Counts {
    lost: LastHour,
    /// As configured last, for the metric.
    alarm_per_hour: AtomicU32,
}

impl Counts {
    fn is_alarming(&self, now: u64) -> bool {
        self.lost.both(now) > self.alarm_per_hour.load(Ordering::Relaxed)
    }
}

/// The limits of one provider.
#[derive(Debug)]
pub(crate) struct Limiter {
    provider: ProviderLabel,
    limits: Limits,
    counts: Arc<Counts>,
}

impl Limiter {
    /// Counts a call with a key.
    ///
    /// # Errors
    /// When there were too many with that key.
    pub(crate) fn admit(&self, key: &Key) -> Result<(), Refusal> {
        let passed = key.pass(&self.limits.rate);
        passed.map_err(|after| Refusal::RateLimited { after })
    }

    /// Counts a loss that is about to happen.
    ///
    /// # Errors
    /// When the operator has set a brake, and there were as many within the hour.
    pub(crate) fn count(&self, loss: Loss) -> Result<Counted<'_>, Refusal> {
        let most = match loss {
            Loss::Delete => self.limits.deletes_per_hour,
            Loss::Rotation => self.limits.rotations_per_hour,
        };
        let at = now();
        let counted = self.counts.lost.take(loss, most, at);
        counted.map_err(|after| Refusal::Braked { loss, after })?;
        Ok(Counted {
            limiter: self,
            loss,
            at,
            happened: true,
        })
    }

    /// Sets off the alarm with the first loss that is more than the operator expects.
    fn happened(&self, loss: Loss) {
        let losses = self.counts.lost.happened(loss, now());
        let alarm = self.counts.alarm_per_hour.load(Ordering::Relaxed);
        if losses.checked_sub(1) == Some(alarm) {
            tracing::warn!(
                provider = self.provider.as_str(),
                losses,
                "more clients were deleted and secrets replaced within an hour than alarm_per_hour allows; if nobody \
                 can tell why, replace the provider's API key"
            );
        }
    }

    /// Whether a body may be acted on: with organizations configured, it has to name one of them.
    ///
    /// # Errors
    /// When it names another, or none.
    pub(crate) fn pinned(&self, origin: &Origin) -> Result<(), Refusal> {
        let Some(served) = &self.limits.organizations else {
            return Ok(());
        };
        let named = origin.organization_id.as_ref().map(OpaqueId::as_str);
        let is_served = |named: &str| {
            served
                .iter()
                .any(|s| s.as_str().eq_ignore_ascii_case(named))
        };
        if named.is_some_and(is_served) {
            Ok(())
        } else {
            Err(Refusal::OtherOrganization)
        }
    }
}

/// A loss that was counted before it happened. What becomes of it is known when this is dropped.
#[derive(Debug)]
#[must_use = "what did not happen is to be given back"]
pub(crate) struct Counted<'l> {
    limiter: &'l Limiter,
    loss: Loss,
    at: u64,
    /// Unless the outcome tells otherwise: the caller may go while nobody knows it.
    happened: bool,
}

impl Counted<'_> {
    /// Looks at what came of the call: what took nothing away does not count. Unknown outcomes do.
    pub(crate) fn judge<T>(
        mut self,
        result: Result<T, Fault>,
        is_loss: impl FnOnce(&T) -> bool,
    ) -> Result<T, Fault> {
        self.happened = match &result {
            Ok(done) => is_loss(done),
            Err(fault) => fault.done() != Outcome::NotApplied,
        };
        result
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.happened {
            self.limiter.happened(self.loss);
        } else {
            self.limiter.counts.lost.give_back(self.loss, self.at);
        }
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

/// How long until a moment.
fn until(then: u64, now: u64) -> Duration {
    Duration::from_nanos(then.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use dcr_contract::FaultKind;
    use dcr_contract::model::ProviderId;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn limiter(limiters: &Limiters, limits: &Limits) -> Limiter {
        let provider = ProviderLabel::new(&ProviderId::parse("okta").unwrap());
        limiters.of(&provider, limits)
    }

    fn braked(limiter: &Limiter, loss: Loss) -> bool {
        limiter.count(loss).is_err()
    }

    #[test]
    fn what_was_counted_outlives_a_change_of_configuration() {
        let limiters = Limiters::default();
        let limits = Limits {
            deletes_per_hour: Some(1),
            ..Limits::default()
        };
        let before = limiter(&limiters, &limits);
        assert!(!braked(&before, Loss::Delete));
        let after = limiter(&limiters, &limits);
        drop(before);
        assert!(braked(&after, Loss::Delete));
        assert!(!braked(&after, Loss::Rotation));
        // Nor is it gone with the provider's file.
        drop(after);
        let anew = limiter(&limiters, &limits);
        assert!(braked(&anew, Loss::Delete));
    }

    #[test]
    fn a_provider_that_is_no_more_is_forgotten_when_its_hour_is_empty() {
        let limiters = Limiters::default();
        let limits = Limits::default();
        assert!(!braked(&limiter(&limiters, &limits), Loss::Delete));
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
    fn only_what_was_lost_counts() {
        let limits = Limits {
            deletes_per_hour: Some(1),
            ..Limits::default()
        };
        let limiter = limiter(&Limiters::default(), &limits);
        let not_applied = Fault::no_such_client();
        let unknown = Fault::new(FaultKind::TimedOut, "x");
        let count = || limiter.count(Loss::Delete).unwrap();
        assert!(
            count()
                .judge::<bool>(Err(not_applied), |lost| *lost)
                .is_err()
        );
        assert!(count().judge(Ok(false), |lost| *lost).is_ok());
        assert!(count().judge::<bool>(Err(unknown), |lost| *lost).is_err());
        assert!(braked(&limiter, Loss::Delete));
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

    #[test]
    fn a_pin_lets_its_own_organizations_pass() {
        let id = |text: &str| OpaqueId::parse(text).unwrap();
        let limits = Limits {
            organizations: Some(vec![id("5C0A6a54"), id("other")]),
            ..Limits::default()
        };
        let limiter = limiter(&Limiters::default(), &limits);
        let from = |organization_id: Option<&str>| Origin {
            organization_id: organization_id.map(id),
            ..Origin::default()
        };
        assert!(limiter.pinned(&from(Some("5c0a6a54"))).is_ok());
        assert!(limiter.pinned(&from(Some("5c0a6a5"))).is_err());
        assert!(limiter.pinned(&from(None)).is_err());
    }
}
