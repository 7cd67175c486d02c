//! How long processes had to wait for this machine: what the verdict allows for messages that are on their way is as much
//! longer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::journal::now;
use crate::verdict::Verdict;

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);
/// What is shorter is no stall (microseconds).
const SHORT: u64 = 2_000;
/// One process may have been stalled somewhat before or after what another one did (microseconds).
const NEAR: u64 = 1_000_000;
/// A machine that stands still for longer is no judge of anything (microseconds).
const TOO_LONG: u64 = 5_000_000;

/// One stall: when it was over, and how long it was (microseconds).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// All stalls since this was made.
#[derive(Debug)]
pub(crate) struct Stalls(Arc<Mutex<Watch>>);

#[derive(Debug, Default)]
struct Watch {
    /// Ids.
    processes: Vec<u32>,
    stalls: Vec<Stall>,
}

impl Stalls {
    /// Looks from now on, in a thread of its own, for as long as this is kept.
    pub(crate) fn watch() -> Self {
        let watch = Arc::<Mutex<Watch>>::default();
        let kept = Arc::downgrade(&watch);
        thread::spawn(move || {
            let mut known = HashMap::new();
            loop {
                let before = Instant::now();
                thread::sleep(TICK);
                let late = micros(before.elapsed().saturating_sub(TICK));
                let Some(watch) = kept.upgrade() else { return };
                let mut watch = lock(&watch);
                let mut length = late;
                watch.processes.retain(|process| {
                    let waited = waited(*process, &mut known);
                    length = length.max(waited.unwrap_or(0));
                    waited.is_some()
                });
                if length > SHORT {
                    watch.stalls.push(Stall { at: now(), length });
                }
            }
        });
        Self(watch)
    }

    /// Looks at this process as well, for as long as it lives.
    pub(crate) fn of(&self, process: u32) {
        lock(&self.0).processes.push(process);
    }

    pub(crate) fn all(&self) -> Vec<Stall> {
        lock(&self.0).stalls.clone()
    }
}

/// How long one of a process's threads has waited for a processor since the last look, in microseconds; nothing when the
/// process has ended. Linux tells the sum as the second number of `schedstat`, in nanoseconds.
fn waited(process: u32, known: &mut HashMap<PathBuf, u64>) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let waited = threads.flatten().filter_map(|thread| {
        let thread = thread.path();
        let told = fs::read_to_string(thread.join("schedstat")).ok()?;
        let sum: u64 = told.split(' ').nth(1)?.parse().ok()?;
        let before = known.insert(thread, sum).unwrap_or(sum);
        Some(sum.saturating_sub(before) / 1_000)
    });
    Some(waited.max().unwrap_or(0))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Judges whether the verdict is worth anything.
pub(crate) fn judge(stalls: &[Stall], verdict: &mut Verdict) {
    let longest = stalls.iter().map(|stall| stall.length).max().unwrap_or(0);
    let millis = longest / 1_000;
    verdict.add(
        "longest stall of this machine (ms)",
        usize::try_from(millis).unwrap_or(usize::MAX),
    );
    if longest > TOO_LONG {
        let what =
            format!("a process waited {millis} ms for it; run this again when it has less to do");
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
