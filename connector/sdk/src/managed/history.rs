//! What this process knows of the operations of late: which run, which were aborted, whose answer has arrived.
//!
//! It is a memory, not a journal: a restart forgets it, another replica has its own, and the oldest are forgotten when
//! there are too many. The identity provider's own refusal of a second client with the same id, and the mark, hold
//! where it does not.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::OLDEST_ABORT;
use crate::fault::{Fault, FaultKind, Outcome, Reason};
use crate::model::{OperationId, SecretId};

/// The most operations that are remembered: some 10 MB.
const MOST: usize = 100_000;

/// What is known of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Its task runs.
    Running,
    /// Its task has ended.
    Ended,
    /// Its task has ended and added this secret.
    Added(SecretId),
    /// A later call named the client that it made: its answer was delivered, whatever anybody says.
    Delivered,
    /// It is to be undone, and somebody sees to that.
    Aborted,
    /// What it made is gone.
    Undone,
}

/// The operations of late.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Operations>);

#[derive(Debug, Default)]
struct Operations {
    known: HashMap<OperationId, Known>,
    order: VecDeque<OperationId>,
}

impl Operations {
    fn set(&mut self, operation: OperationId, known: Known) {
        if self.known.insert(operation, known).is_some() {
            return;
        }
        self.order.push_back(operation);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl History {
    /// Begins an operation that must not be done twice.
    ///
    /// # Errors
    /// `Conflict` when it was begun or aborted before; this call does nothing.
    pub(super) fn begin(&self, operation: OperationId) -> Result<(), Fault> {
        let mut operations = self.lock();
        let (reason, message) = match operations.known.get(&operation) {
            None => {
                operations.set(operation, Known::Running);
                return Ok(());
            }
            Some(Known::Aborted | Known::Undone) => (
                Reason::OperationAborted,
                "the operation was aborted before this call arrived; this call did nothing",
            ),
            Some(_) => (
                Reason::OperationRepeated,
                "the operation id was used before; this call did nothing",
            ),
        };
        Err(Fault::new(FaultKind::Conflict, message).reason(reason))
    }

    /// The task of an operation has ended.
    ///
    /// # Errors
    /// `Conflict` with UNKNOWN when the operation was aborted meanwhile: the task must undo what it made.
    pub(super) fn end(&self, operation: OperationId, known: Known) -> Result<(), Fault> {
        let mut operations = self.lock();
        if let Some(Known::Aborted | Known::Undone) = operations.known.get(&operation) {
            let message = "the operation was aborted while it ran; what it made is undone";
            return Err(Fault::new(FaultKind::Conflict, message)
                .reason(Reason::OperationAborted)
                .outcome(Outcome::Unknown));
        }
        operations.set(operation, known);
        Ok(())
    }

    /// A caller named the client that an operation made. Nobody asks after operations that are too old to be aborted.
    pub(super) fn delivered(&self, operation: OperationId) {
        if operation.age() <= OLDEST_ABORT {
            self.lock().set(operation, Known::Delivered);
        }
    }

    /// Whether a caller has named the client that an operation made.
    pub(super) fn was_delivered(&self, operation: OperationId) -> bool {
        self.lock().known.get(&operation) == Some(&Known::Delivered)
    }

    /// Marks an operation as one to be undone, and tells what was known of it until now. What was delivered or is
    /// undone stays so.
    pub(super) fn abort(&self, operation: OperationId) -> Option<Known> {
        let mut operations = self.lock();
        let before = operations.known.get(&operation).cloned();
        if !matches!(before, Some(Known::Delivered | Known::Undone)) {
            operations.set(operation, Known::Aborted);
        }
        before
    }

    /// What an operation made is gone.
    pub(super) fn undone(&self, operation: OperationId) {
        self.lock().set(operation, Known::Undone);
    }

    fn lock(&self) -> MutexGuard<'_, Operations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(result: Result<(), Fault>) -> Reason {
        let fault = result.unwrap_err();
        assert_eq!(fault.kind(), &FaultKind::Conflict);
        fault.why()
    }

    #[test]
    fn an_operation_is_begun_once() {
        let (history, operation) = (History::default(), OperationId::generate());
        history.begin(operation).unwrap();
        assert_eq!(reason(history.begin(operation)), Reason::OperationRepeated);
        history.end(operation, Known::Ended).unwrap();
        assert_eq!(reason(history.begin(operation)), Reason::OperationRepeated);
    }

    #[test]
    fn an_operation_that_was_aborted_before_it_arrived_is_refused() {
        let (history, operation) = (History::default(), OperationId::generate());
        assert_eq!(history.abort(operation), None);
        assert_eq!(reason(history.begin(operation)), Reason::OperationAborted);
        history.undone(operation);
        assert_eq!(reason(history.begin(operation)), Reason::OperationAborted);
        assert_eq!(history.abort(operation), Some(Known::Undone));
    }

    #[test]
    fn a_task_learns_at_its_end_that_it_was_aborted() {
        let (history, operation) = (History::default(), OperationId::generate());
        history.begin(operation).unwrap();
        assert_eq!(history.abort(operation), Some(Known::Running));
        let ended = history.end(operation, Known::Ended);
        assert_eq!(
            ended.as_ref().map_err(Fault::done),
            Err(Outcome::Unknown),
            "what it made is still there"
        );
        assert_eq!(reason(ended), Reason::OperationAborted);
    }

    #[test]
    fn what_was_delivered_stays_so_however_often_it_is_aborted() {
        let (history, operation) = (History::default(), OperationId::generate());
        history.begin(operation).unwrap();
        history.end(operation, Known::Ended).unwrap();
        history.delivered(operation);
        assert_eq!(history.abort(operation), Some(Known::Delivered));
        assert!(history.was_delivered(operation));
    }

    #[test]
    fn old_operations_and_too_many_are_forgotten() {
        let history = History::default();
        let old = OperationId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        history.delivered(old);
        assert!(!history.was_delivered(old));
        let first = OperationId::generate();
        history.begin(first).unwrap();
        for _ in 0..MOST {
            history.begin(OperationId::generate()).unwrap();
        }
        assert_eq!(history.lock().known.len(), MOST);
        assert_eq!(history.lock().order.len(), MOST);
        history.begin(first).unwrap();
    }
}
