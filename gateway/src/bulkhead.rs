//! One provider's slow identity provider takes nothing from the others: each has a number of calls in flight of its own.
//!
//! Undoing ([`guard`](crate::guard)) does not pass here: it must not wait behind what it has to undo.

use std::sync::Arc;
use std::time::Duration;

use dcr_contract::model::Deadline;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::reply::Refusal;

/// Calls of one provider in flight.
const CALLS: usize = 64;
/// For a call to end, so that another can begin.
const PATIENCE: Duration = Duration::from_secs(1);

/// The calls of one provider. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Bulkhead(Arc<Semaphore>);

/// A call's place, given back when dropped.
#[must_use = "a slot that is dropped is free"]
pub(crate) struct Slot<'a>(#[expect(dead_code, reason = "held, never read")] SemaphorePermit<'a>);

impl Bulkhead {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CALLS)))
    }

    /// Waits for a slot, first come, first served.
    ///
    /// # Errors
    /// `Busy` when there was none within a second, or within half of the time that the call has left.
    pub(crate) async fn enter(&self, deadline: Deadline) -> Result<Slot<'_>, Refusal> {
        let patience = deadline.at_most(PATIENCE.min(deadline.remaining() / 2));
        match tokio::time::timeout_at(patience.instant(), self.0.acquire()).await {
            Ok(Ok(permit)) => Ok(Slot(permit)),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn ample() -> Deadline {
        Deadline::after(Duration::from_secs(9))
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_too_many_waits_a_second_and_is_told_to_come_back() {
        let bulkhead = Bulkhead::new();
        let mut slots = Vec::new();
        for _ in 0..CALLS {
            slots.push(bulkhead.enter(ample()).await.unwrap());
        }
        let began = Instant::now();
        let refusal = bulkhead.clone().enter(ample()).await.err().unwrap();
        assert_eq!(began.elapsed().as_millis(), 1_000);
        assert!(matches!(refusal, Refusal::Busy), "{refusal:?}");

        let late = Deadline::after(Duration::from_millis(100));
        let began = Instant::now();
        assert!(bulkhead.enter(late).await.is_err());
        assert!(began.elapsed() < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_ends_lets_another_in() {
        let bulkhead = Bulkhead::new();
        let mut slots = Vec::new();
        for _ in 0..CALLS {
            slots.push(bulkhead.enter(ample()).await.unwrap());
        }
        let another = async { bulkhead.enter(ample()).await.is_ok() };
        let end = async { drop(slots.pop()) };
        assert!(tokio::join!(another, end).0);
    }
}
