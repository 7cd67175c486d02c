//! One lock per client, within this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout_at;

use super::protections::{Protection, Protections};
use crate::fault::{Fault, FaultKind, Reason};
use crate::model::Deadline;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The locks that are held or waited for; a client that nobody works on has none.
#[derive(Debug, Clone)]
pub(super) struct Locks {
    held: Arc<Mutex<HashMap<Box<str>, Lock>>>,
    protections: Protections,
}

/// The lock of one client, held until it is dropped.
#[derive(Debug)]
pub(super) struct Locked {
    locks: Locks,
    client_id: Box<str>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    pub(super) fn new(protections: Protections) -> Self {
        let held = Arc::default();
        Self { held, protections }
    }

    /// Waits for the client's lock.
    ///
    /// # Errors
    /// `Unavailable` when others hold it until the deadline; nothing was done.
    pub(super) async fn lock(&self, client_id: &str, deadline: Deadline) -> Result<Locked, Fault> {
        let lock = if self.protections.has(Protection::ClientLock) {
            let mut locks = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(client_id.into()).or_default())
        } else {
            Lock::default()
        };
        // Made before the wait, so that the entry goes also when the wait is given up.
        let mut locked = Locked {
            locks: self.clone(),
            client_id: client_id.into(),
            guard: None,
        };
        let Ok(guard) = timeout_at(deadline.instant(), lock.lock_owned()).await else {
            let message = "another call held the client until the deadline; nothing was done";
            return Err(Fault::new(
                FaultKind::Unavailable {
                    after: Some(Duration::from_secs(1)),
                },
                message,
            )
            .reason(Reason::TimedOut));
        };
        locked.guard = Some(guard);
        Ok(locked)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut locks = self
            .locks
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        if locks
            .get(&self.client_id)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_client_is_worked_on_by_one_call_at_a_time_and_leaves_no_lock_behind() {
        let locks = Locks::new(Protections::default());
        let soon = Deadline::after(Duration::from_secs(1));
        let first = locks.lock("a", soon).await.unwrap();
        let _other = locks.lock("b", soon).await.unwrap();
        let fault = locks.lock("a", soon).await.unwrap_err();
        assert!(matches!(fault.kind(), FaultKind::Unavailable { .. }));
        drop(first);
        let again = locks
            .lock("a", Deadline::after(Duration::from_secs(1)))
            .await
            .unwrap();
        drop(again);
        assert_eq!(locks.held.lock().unwrap().len(), 1);
    }
}
