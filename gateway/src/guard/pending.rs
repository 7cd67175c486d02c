//! What of a provider is still to be undone: how much, and how much of it at once.
//!
//! While a connector does not answer, aborts gather. None is ever dropped; so when there are too many, it is new
//! creating calls that are refused, for whatever they made might have to be undone as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::reply::Refusal;

/// Aborts of a provider that are being asked for at once: a connector that comes back is not met by all of them.
const TRIES: usize = 16;
/// With these pending, nothing new is created. It is what 64 calls at a time, each hanging for 9 s, leave in 10 minutes.
const MOST: usize = 4096;

/// What of one provider is still to be undone. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Pending(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    aborts: AtomicUsize,
    tries: Semaphore,
}

/// One abort that is pending, until it is dropped.
#[derive(Debug)]
#[must_use = "an abort that is dropped is not pending"]
pub(crate) struct Counted(Pending);

impl Pending {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            aborts: AtomicUsize::new(0),
            tries: Semaphore::new(TRIES),
        }))
    }

    /// How many aborts are pending: not accepted by the connector yet, or not looked at again since.
    pub(crate) fn aborts(&self) -> usize {
        self.0.aborts.load(Ordering::Relaxed)
    }

    /// Whether a call that creates something may begin. Those that have begun already may make it a few more.
    ///
    /// # Errors
    /// When as many aborts are pending as may be.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        if self.aborts() < MOST {
            Ok(())
        } else {
            Err(Refusal::Undoing)
        }
    }

    /// Counts an abort.
    pub(crate) fn add(&self) -> Counted {
        self.0.aborts.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// Waits for the turn of a try, first come, first served.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore.
        self.0.tries.acquire().await.ok()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.aborts.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_new_begins_while_too_much_is_to_be_undone() {
        let pending = Pending::new();
        let mut aborts: Vec<_> = (1..MOST).map(|_| pending.add()).collect();
        assert!(pending.admit().is_ok());
        aborts.push(pending.clone().add());
        assert_eq!(pending.aborts(), MOST);
        assert!(matches!(pending.admit(), Err(Refusal::Undoing)));
        drop(aborts.pop());
        assert!(pending.admit().is_ok());
    }
}
