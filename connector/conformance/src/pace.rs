//! What the connector asks for when there are too many calls: all wait, and go on then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a call is made, or a check tried, that is answered that there are too many.
pub(crate) const PATIENT: usize = 5;
/// What the gateway caps a Retry-After at.
const LONGEST: Duration = Duration::from_mins(1);

/// The pace of a run's calls.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Paused>);

#[derive(Debug, Default)]
struct Paused {
    until: Option<Instant>,
    times: usize,
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, Paused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the connector has asked to slow down.
    pub(crate) fn times(&self) -> usize {
        self.lock().times
    }

    /// Waits for as long as the connector has asked for.
    pub(crate) async fn wait(&self) {
        let until = self.lock().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// The connector has asked for this long.
    pub(crate) fn slow_down(&self, time: Duration) {
        let until = Instant::now() + time.min(LONGEST);
        let mut paused = self.lock();
        paused.until = paused.until.max(Some(until));
        paused.times += 1;
    }
}
