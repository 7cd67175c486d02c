//! No more calls a second than were asked for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When the next call may be made.
pub(super) struct Pace {
    between: Option<Duration>,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many calls a second, or as many as there are.
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self {
            between: rate.map(|rate| Duration::from_secs(1) / rate.max(1)),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the turn of one call.
    pub(super) async fn turn(&self) {
        let Some(between) = self.between else { return };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + between;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}
