//! How much a provider may be asked, and how much may be taken away there.
//!
//! All of it is counted in this process alone: with several replicas of the gateway each allows as much. What has been
//! lost counts for its hour with a provider's id, whatever becomes of its configuration.

mod brake;
mod counts;
mod strangers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dcr_contract::model::{OpaqueId, Origin};
use dcr_contract::{Fault, Outcome};
pub use dcr_runtime::rate::Rate;

use self::counts::Counts;
pub(crate) use self::counts::Limiters;
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

/// How long until a moment.
fn until(then: u64, now: u64) -> Duration {
    Duration::from_nanos(then.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use dcr_contract::FaultKind;
    use dcr_contract::model::ProviderId;

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
