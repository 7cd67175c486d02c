//! What happened within the last hour, in bounded memory.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::until;

const MINUTES: usize = 60;
const MINUTE: u64 = 60 * 1_000_000_000;

/// Counts by the minute. What happened counts for an hour, up to a minute more.
#[derive(Debug, Default)]
pub(super) struct LastHour(Mutex<Minutes>);

#[derive(Debug)]
struct Minutes {
    counts: [u32; MINUTES + 1],
    /// The minute of the last look.
    latest: u64,
}

impl Default for Minutes {
    fn default() -> Self {
        Self {
            counts: [0; MINUTES + 1],
            latest: 0,
        }
    }
}

impl LastHour {
    /// Counts one, and tells how many there are with it.
    ///
    /// # Errors
    /// How long until the next is allowed, when there were `most` already; that one does not count.
    pub(super) fn take(&self, most: Option<u32>, now: u64) -> Result<u32, Duration> {
        let mut minutes = self.lock(now);
        let before = minutes.sum();
        if most.is_some_and(|most| before >= most) {
            return Err(until(minutes.oldest_ends(), now));
        }
        let latest = minutes.latest;
        if let Some(count) = minutes.of(latest) {
            *count = count.saturating_add(1);
        }
        Ok(before.saturating_add(1))
    }

    /// Takes back one that was counted then.
    pub(super) fn give_back(&self, then: u64) {
        let mut minutes = self.lock(then);
        let minute = then / MINUTE;
        // Not if it counts no longer.
        if minute + MINUTES as u64 >= minutes.latest
            && let Some(count) = minutes.of(minute)
        {
            *count = count.saturating_sub(1);
        }
    }

    /// How many there were.
    pub(super) fn count(&self, now: u64) -> u32 {
        self.lock(now).sum()
    }

    fn lock(&self, now: u64) -> MutexGuard<'_, Minutes> {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minutes.forget(now / MINUTE);
        minutes
    }
}

impl Minutes {
    fn of(&mut self, minute: u64) -> Option<&mut u32> {
        let place = usize::try_from(minute).unwrap_or_default() % self.counts.len();
        self.counts.get_mut(place)
    }

    /// Forgets what happened longer ago than an hour.
    fn forget(&mut self, minute: u64) {
        let passed = minute.saturating_sub(self.latest);
        if passed >= self.counts.len() as u64 {
            self.counts = [0; MINUTES + 1];
        } else {
            for new in self.latest + 1..=minute {
                if let Some(count) = self.of(new) {
                    *count = 0;
                }
            }
        }
        self.latest = self.latest.max(minute);
    }

    fn sum(&self) -> u32 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// When the oldest that counts will count no longer.
    fn oldest_ends(&mut self) -> u64 {
        let first = self.latest.saturating_sub(MINUTES as u64);
        let mut all = first..=self.latest;
        let counted = |minute: &u64| self.of(*minute).is_some_and(|count| *count > 0);
        let oldest = all.find(counted).unwrap_or(first);
        (oldest + MINUTES as u64 + 1) * MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * MINUTE;

    #[test]
    fn what_happened_counts_for_an_hour() {
        let hour = LastHour::default();
        for minute in [0, 1, 1, 30] {
            hour.take(None, minute * MINUTE + 5).unwrap();
        }
        for (now, count) in [
            (30 * MINUTE + 5, 4),
            (HOUR + 5, 4),
            (HOUR + MINUTE, 3),
            (HOUR + 2 * MINUTE, 1),
            (HOUR + 30 * MINUTE + 5, 1),
            (HOUR + 31 * MINUTE, 0),
        ] {
            assert_eq!(hour.count(now), count, "{now}");
        }
        hour.take(None, 2 * HOUR).unwrap();
        assert_eq!(hour.count(100 * HOUR), 0);
    }

    #[test]
    fn a_brake_holds_until_the_oldest_is_an_hour_ago() {
        let hour = LastHour::default();
        hour.take(Some(2), 0).unwrap();
        hour.take(Some(2), 30 * MINUTE).unwrap();
        let wait = hour.take(Some(2), 40 * MINUTE).unwrap_err();
        assert_eq!(wait, Duration::from_secs(21 * 60));
        let then = 61 * MINUTE;
        assert!(hour.take(Some(2), then - 1).is_err());
        assert!(hour.take(Some(2), then).is_ok());
        assert!(hour.take(Some(2), then).is_err());
        // What was refused does not count.
        assert_eq!(hour.count(then), 2);
    }

    #[test]
    fn what_did_not_happen_is_given_back() {
        let hour = LastHour::default();
        hour.take(Some(1), 5).unwrap();
        hour.give_back(5);
        assert_eq!(hour.count(5), 0);
        hour.take(Some(1), 5).unwrap();
        // Too late: the place is another minute's by now.
        hour.take(None, HOUR + MINUTE).unwrap();
        hour.give_back(5);
        assert_eq!(hour.count(HOUR + MINUTE), 1);
    }
}
