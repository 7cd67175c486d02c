//! How long this machine had no time for a process that asked for it: what the verdict allows for messages that are on
//! their way is as much longer.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::journal::now;
use crate::verdict::Verdict;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(10);
/// A look that comes later than this tells of a stall.
const PUNCTUAL: Duration = Duration::from_millis(2);
/// One process may have been stalled somewhat before or after another (microseconds).
const NEAR: u64 = 1_000_000;

/// A machine that stands still for longer is no judge of anything (microseconds).
const TOO_LONG: u64 = 3_000_000;

/// One stall: when it was over, and how long it was (microseconds).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// All stalls since this was made.
#[derive(Debug, Default)]
pub(crate) struct Stalls(Arc<Mutex<Vec<Stall>>>);

impl Stalls {
    /// Looks from now on, in a thread of its own, for as long as this is kept.
    pub(crate) fn watch() -> Self {
        let stalls = Self::default();
        let kept = Arc::downgrade(&stalls.0);
        thread::spawn(move || {
            loop {
                let before = Instant::now();
                thread::sleep(TICK);
                let late = before.elapsed().saturating_sub(TICK);
                let Some(stalls) = kept.upgrade() else { return };
                if late > PUNCTUAL {
                    let stall = Stall {
                        at: now(),
                        length: u64::try_from(late.as_micros()).unwrap_or(u64::MAX),
                    };
                    let mut stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
                    stalls.push(stall);
                }
            }
        });
        stalls
    }

    pub(crate) fn all(&self) -> Vec<Stall> {
        let stalls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stalls.clone()
    }
}

/// Judges whether the verdict is worth anything.
pub(crate) fn judge(stalls: &[Stall], verdict: &mut Verdict) {
    let longest = stalls.iter().map(|stall| stall.length).max().unwrap_or(0);
    verdict.add(
        "longest stall of this machine (ms)",
        usize::try_from(longest / 1_000).unwrap_or(usize::MAX),
    );
    if longest > TOO_LONG {
        let what = format!(
            "it stood still for {} ms; run this again when it has less to do",
            longest / 1_000
        );
        verdict.harm("the machine is too busy to judge by", &what);
    }
}

/// The longest stall between two times or near them, in microseconds.
pub(crate) fn longest(stalls: &[Stall], from: u64, to: u64) -> u64 {
    let near = stalls
        .iter()
        .filter(|stall| stall.at + NEAR >= from && stall.at <= to + NEAR + stall.length);
    near.map(|stall| stall.length).max().unwrap_or(0)
}
