//! A rate with a burst: the generic cell rate algorithm (ITU-T I.371), which needs one number.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;

/// How often something may happen. `burst` times at once, then evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between two.
    interval: u64,
    /// Nanoseconds that a burst takes from the time to come.
    burst: u64,
}

impl Rate {
    /// So many a second; 0 counts as 1.
    #[must_use]
    pub const fn per_second(times: u32, burst: u32) -> Self {
        Self::every(SECOND, times, burst)
    }

    /// So many a minute; 0 counts as 1.
    #[must_use]
    pub const fn per_minute(times: u32, burst: u32) -> Self {
        Self::every(60 * SECOND, times, burst)
    }

    const fn every(time: u64, times: u32, burst: u32) -> Self {
        let interval = time / at_least_one(times);
        Self {
            interval,
            burst: interval.saturating_mul(at_least_one(burst)),
        }
    }
}

/// Only `as` is constant.
const fn at_least_one(times: u32) -> u64 {
    if times == 0 { 1 } else { times as u64 }
}

/// Keeps to a rate. It holds only when the next would be due if all had come evenly, so the rate may change.
#[derive(Debug, Default)]
pub struct Gate(AtomicU64);

impl Gate {
    /// Counts one.
    ///
    /// # Errors
    /// How long to wait, when there were too many; that one does not count.
    pub fn pass(&self, rate: &Rate) -> Result<(), Duration> {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let now = u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.pass_at(rate, now)
    }

    fn pass_at(&self, rate: &Rate, now: u64) -> Result<(), Duration> {
        let next = |due: u64| {
            let next = due.max(now).saturating_add(rate.interval);
            (next <= now.saturating_add(rate.burst)).then_some(next)
        };
        let passed = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        passed.map(drop).map_err(|due| {
            let earliest = due.saturating_add(rate.interval).saturating_sub(rate.burst);
            Duration::from_nanos(earliest.saturating_sub(now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(gate: &Gate, rate: &Rate, now: u64, tries: usize) -> usize {
        (0..tries)
            .filter(|_| gate.pass_at(rate, now).is_ok())
            .count()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let (gate, rate) = (Gate::default(), Rate::per_second(20, 40));
        let began = 7 * SECOND;
        assert_eq!(passed(&gate, &rate, began, 100), 40);
        assert_eq!(gate.pass_at(&rate, began), Err(Duration::from_millis(50)));
        assert_eq!(passed(&gate, &rate, began + SECOND, 100), 20);
        // What was refused has used nothing up, and no more than a burst is saved.
        assert_eq!(passed(&gate, &rate, began + 3 * SECOND, 100), 40);
        assert_eq!(passed(&gate, &rate, began + 60 * SECOND, 100), 40);
    }

    #[test]
    fn who_waits_as_told_passes() {
        let (gate, rate) = (Gate::default(), Rate::per_minute(5, 10));
        assert_eq!(passed(&gate, &rate, 0, 100), 10);
        let wait = gate.pass_at(&rate, SECOND).unwrap_err();
        assert_eq!(wait, Duration::from_secs(11));
        let then = SECOND + u64::try_from(wait.as_nanos()).unwrap();
        assert!(gate.pass_at(&rate, then - 1).is_err());
        assert!(gate.pass_at(&rate, then).is_ok());
    }

    #[test]
    fn a_rate_may_change() {
        let gate = Gate::default();
        assert_eq!(passed(&gate, &Rate::per_second(1, 10), 0, 100), 10);
        assert_eq!(passed(&gate, &Rate::per_second(1000, 1), 0, 100), 0);
        assert_eq!(
            passed(&gate, &Rate::per_second(1000, 20_000), 0, 20_000),
            10_000
        );
    }
}
