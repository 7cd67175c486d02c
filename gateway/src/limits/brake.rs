//! What happened within the last hour, in bounded memory.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Loss, until};

const MINUTES: usize = 60;
const MINUTE: u64 = 60 * 1_000_000_000;

/// Counts losses by the minute, from before they happen. What happened counts for an hour, up to a minute more.
#[derive(Debug, Default)]
pub(super) struct LastHour(Mutex<Lost>);

#[derive(Debug, Default)]
struct Lost {
    deletes: Minutes,
    rotations: Minutes,
}

#[derive(Debug)]
struct Minutes {
    counts: [u32; MINUTES + 1],
    /// Those of them of which nobody knows yet whether they happen.
    open: u32,
    /// The minute of the last look.
    latest: u64,
}

impl Default for Minutes {
    fn default() -> Self {
        Self {
            counts: [0; MINUTES + 1],
            open: 0,
            latest: 0,
        }
    }
}

impl Lost {
    fn of(&mut self, loss: Loss) -> &mut Minutes {
        match loss {
            Loss::Delete => &mut self.deletes,
            Loss::Rotation => &mut self.rotations,
        }
    }

    fn happened(&self) -> u32 {
        self.deletes
            .happened()
            .saturating_add(self.rotations.happened())
    }
}

impl LastHour {
    /// Counts one that is about to happen.
    ///
    /// # Errors
    /// How long until the next is allowed, when there were `most` of its kind already; that one does not count.
    pub(super) fn take(&self, loss: Loss, most: Option<u32>, now: u64) -> Result<(), Duration> {
        let mut hour = self.lock(now);
        let minutes = hour.of(loss);
        if most.is_some_and(|most| minutes.sum() >= most) {
            return Err(until(minutes.oldest_ends(), now));
        }
        let latest = minutes.latest;
        if let Some(count) = minutes.of(latest) {
            *count = count.saturating_add(1);
        }
        minutes.open = minutes.open.saturating_add(1);
        Ok(())
    }

    /// One that was counted has happened; how many of both kinds have, with it.
    pub(super) fn happened(&self, loss: Loss, now: u64) -> u32 {
        let mut hour = self.lock(now);
        let minutes = hour.of(loss);
        minutes.open = minutes.open.saturating_sub(1);
        hour.happened()
    }

    /// One that was counted then has not happened.
    pub(super) fn give_back(&self, loss: Loss, then: u64) {
        let mut hour = self.lock(then);
        let minutes = hour.of(loss);
        minutes.open = minutes.open.saturating_sub(1);
        let minute = then / MINUTE;
        // Not if it counts no longer.
        if minute + MINUTES as u64 >= minutes.latest
            && let Some(count) = minutes.of(minute)
        {
            *count = count.saturating_sub(1);
        }
    }

    /// How many have happened.
    pub(super) fn count(&self, loss: Loss, now: u64) -> u32 {
        self.lock(now).of(loss).happened()
    }

    /// How many of both kinds have happened.
    pub(super) fn both(&self, now: u64) -> u32 {
        self.lock(now).happened()
    }

    /// Whether nothing that happened, or may yet, counts any more.
    pub(super) fn is_empty(&self, now: u64) -> bool {
        let hour = self.lock(now);
        hour.deletes.sum() == 0 && hour.rotations.sum() == 0
    }

    fn lock(&self, now: u64) -> MutexGuard<'_, Lost> {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.deletes.forget(now / MINUTE);
        lost.rotations.forget(now / MINUTE);
        lost
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

    fn happened(&self) -> u32 {
        self.sum().saturating_sub(self.open)
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

    fn lose(hour: &LastHour, loss: Loss, now: u64) {
        hour.take(loss, None, now).unwrap();
        hour.happened(loss, now);
    }

    #[test]
    fn what_happened_counts_for_an_hour() {
        let hour = LastHour::default();
        for minute in [0, 1, 1, 30] {
            lose(&hour, Loss::Delete, minute * MINUTE + 5);
        }
        for (now, count) in [
            (30 * MINUTE + 5, 4),
            (HOUR + 5, 4),
            (HOUR + MINUTE, 3),
            (HOUR + 2 * MINUTE, 1),
            (HOUR + 30 * MINUTE + 5, 1),
            (HOUR + 31 * MINUTE, 0),
        ] {
            assert_eq!(hour.count(Loss::Delete, now), count, "{now}");
        }
        lose(&hour, Loss::Delete, 2 * HOUR);
        assert!(!hour.is_empty(3 * HOUR));
        assert!(hour.is_empty(3 * HOUR + MINUTE));
        assert_eq!(hour.count(Loss::Delete, 100 * HOUR), 0);
    }

    #[test]
    fn a_brake_holds_until_the_oldest_is_an_hour_ago() {
        let hour = LastHour::default();
        lose(&hour, Loss::Delete, 0);
        lose(&hour, Loss::Delete, 30 * MINUTE);
        let wait = hour.take(Loss::Delete, Some(2), 40 * MINUTE).unwrap_err();
        assert_eq!(wait, Duration::from_mins(21));
        let then = 61 * MINUTE;
        assert!(hour.take(Loss::Delete, Some(2), then - 1).is_err());
        assert!(hour.take(Loss::Delete, Some(2), then).is_ok());
        assert!(hour.take(Loss::Delete, Some(2), then).is_err());
        // What was refused does not count.
        assert_eq!(hour.happened(Loss::Delete, then), 2);
    }

    #[test]
    fn what_did_not_happen_is_given_back() {
        let hour = LastHour::default();
        hour.take(Loss::Delete, Some(1), 5).unwrap();
        hour.give_back(Loss::Delete, 5);
        hour.take(Loss::Delete, Some(1), 5).unwrap();
        // Too late: the place is another minute's by now.
        lose(&hour, Loss::Delete, HOUR + MINUTE);
        hour.give_back(Loss::Delete, 5);
        assert_eq!(hour.count(Loss::Delete, HOUR + MINUTE), 1);
    }

    #[test]
    fn each_kind_has_its_brake_and_both_are_told() {
        let hour = LastHour::default();
        hour.take(Loss::Delete, Some(1), 0).unwrap();
        hour.take(Loss::Rotation, Some(1), 0).unwrap();
        assert!(hour.take(Loss::Rotation, Some(1), 0).is_err());
        assert_eq!(hour.happened(Loss::Rotation, 0), 1);
        hour.give_back(Loss::Delete, 0);
        assert_eq!((hour.count(Loss::Rotation, 0), hour.both(0)), (1, 1));
    }

    #[test]
    fn what_may_yet_happen_brakes_and_is_not_told() {
        let hour = LastHour::default();
        hour.take(Loss::Delete, Some(1), 0).unwrap();
        assert!(hour.take(Loss::Delete, Some(1), 0).is_err());
        assert_eq!((hour.count(Loss::Delete, 0), hour.both(0)), (0, 0));
        assert!(!hour.is_empty(0));
        hour.happened(Loss::Delete, 0);
        assert_eq!((hour.count(Loss::Delete, 0), hour.both(0)), (1, 1));
    }
}
