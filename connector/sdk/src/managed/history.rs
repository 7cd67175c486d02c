//! What this process knows of the operations of late: which run, which were aborted, whose answer has arrived.
//!
//! It is a memory, not a journal: a restart forgets it, another replica has its own, and the oldest are forgotten when
//! there are too many. The identity provider's own refusal of a second client with the same id, and the mark, hold
//! where it does not. An id counts for its caller alone: no provider can abort or block what is another's.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::OLDEST_ABORT;
use crate::fault::{Fault, FaultKind, Outcome, Reason};
use crate::model::{Abort, Caller, ClientId, OperationId, SecretId};

/// The most operations that are remembered: some 20 MB.
const MOST: usize = 50_000;

/// What is known of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Its task runs.
    Running,
    /// Its task has ended.
    Ended,
    /// Its task has ended and added this secret to this client.
    Added(ClientId, SecretId),
    /// A later call named the client that it made: its answer was delivered, whatever anybody says.
    Delivered,
    /// It is to be undone, and somebody sees to that.
    Aborted,
    /// It was to be undone, and this is what came of it.
    Settled(Abort),
}

/// The operations of late.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Operations>);

#[derive(Debug, Default)]
struct Operations {
    /// By id: two callers hardly ever have the same one.
    known: HashMap<OperationId, Vec<(Caller, Known)>>,
    /// Whose the ids are, in the order of their coming.
    order: VecDeque<(Caller, OperationId)>,
}

impl Operations {
    fn get(&self, caller: &Caller, operation: OperationId) -> Option<&Known> {
        let mut callers = self.known.get(&operation)?.iter();
        callers.find_map(|(of, known)| (of == caller).then_some(known))
    }

    fn set(&mut self, caller: &Caller, operation: OperationId, new: Known) {
        let callers = self.known.entry(operation);
        let callers = callers.or_insert_with(|| Vec::with_capacity(1));
        if let Some((_, known)) = callers.iter_mut().find(|(of, _)| of == caller) {
            *known = new;
            return;
        }
        callers.push((caller.clone(), new));
        self.order.push_back((caller.clone(), operation));
        if self.order.len() > MOST {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((caller, operation)) = self.order.pop_front() else {
            return;
        };
        if let Entry::Occupied(mut callers) = self.known.entry(operation) {
            callers.get_mut().retain(|(of, _)| *of != caller);
            if callers.get().is_empty() {
                callers.remove();
            }
        }
    }
}

impl History {
    /// Begins an operation that must not be done twice.
    ///
    /// # Errors
    /// `Conflict` when it was begun or aborted before; this call does nothing.
    pub(super) fn begin(&self, caller: &Caller, operation: OperationId) -> Result<(), Fault> {
        let mut operations = self.lock();
        let (reason, message) = match operations.get(caller, operation) {
            None => {
                operations.set(caller, operation, Known::Running);
                return Ok(());
            }
            Some(Known::Aborted | Known::Settled(_)) => (
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
    pub(super) fn end(
        &self,
        caller: &Caller,
        operation: OperationId,
        known: Known,
    ) -> Result<(), Fault> {
        let mut operations = self.lock();
        if let Some(Known::Aborted | Known::Settled(_)) = operations.get(caller, operation) {
            let message = "the operation was aborted while it ran; what it made is undone";
            return Err(Fault::new(FaultKind::Conflict, message)
                .reason(Reason::OperationAborted)
                .outcome(Outcome::Unknown));
        }
        operations.set(caller, operation, known);
        Ok(())
    }

    /// A caller named the client that an operation made. Nobody asks after operations that are too old to be aborted,
    /// except for an undo that still tries: it knows them.
    pub(super) fn delivered(&self, caller: &Caller, operation: OperationId) {
        let mut operations = self.lock();
        let may_be_asked = match operations.get(caller, operation) {
            Some(Known::Delivered) => false,
            Some(_) => true,
            None => operation.age() <= OLDEST_ABORT,
        };
        if may_be_asked {
            operations.set(caller, operation, Known::Delivered);
        }
    }

    /// Marks an operation as one to be undone, and tells what was known of it until now. What was delivered or is
    /// settled stays so.
    pub(super) fn abort(&self, caller: &Caller, operation: OperationId) -> Option<Known> {
        let mut operations = self.lock();
        let before = operations.get(caller, operation).cloned();
        if !matches!(before, Some(Known::Delivered | Known::Settled(_))) {
            operations.set(caller, operation, Known::Aborted);
        }
        before
    }

    /// Nobody sees to an operation that was to be undone; the next abort of it finds this.
    pub(super) fn reopen(&self, caller: &Caller, operation: OperationId, known: Known) {
        let mut operations = self.lock();
        if let Some(Known::Running | Known::Aborted) = operations.get(caller, operation) {
            operations.set(caller, operation, known);
        }
    }

    /// This came of undoing an operation, and every abort of it is answered so. What was delivered stays so.
    pub(super) fn settle(&self, caller: &Caller, operation: OperationId, abort: Abort) {
        let mut operations = self.lock();
        if operations.get(caller, operation) != Some(&Known::Delivered) {
            operations.set(caller, operation, Known::Settled(abort));
        }
    }

    /// What is known of an operation.
    pub(super) fn of(&self, caller: &Caller, operation: OperationId) -> Option<Known> {
        self.lock().get(caller, operation).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Operations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Installation, ProviderId};

    fn caller(provider: &str) -> Caller {
        Caller {
            installation: Installation::parse("i").unwrap(),
            provider_id: ProviderId::parse(provider).unwrap(),
        }
    }

    fn reason(result: Result<(), Fault>) -> Reason {
        let fault = result.unwrap_err();
        assert_eq!(fault.kind(), &FaultKind::Conflict);
        fault.why()
    }

    #[test]
    fn an_operation_is_begun_once() {
        let (history, us, id) = (History::default(), caller("p"), OperationId::generate());
        history.begin(&us, id).unwrap();
        assert_eq!(reason(history.begin(&us, id)), Reason::OperationRepeated);
        history.end(&us, id, Known::Ended).unwrap();
        assert_eq!(reason(history.begin(&us, id)), Reason::OperationRepeated);
    }

    #[test]
    fn an_operation_that_was_aborted_before_it_arrived_is_refused() {
        let (history, us, id) = (History::default(), caller("p"), OperationId::generate());
        assert_eq!(history.abort(&us, id), None);
        assert_eq!(reason(history.begin(&us, id)), Reason::OperationAborted);
        history.settle(&us, id, Abort::Undone);
        assert_eq!(reason(history.begin(&us, id)), Reason::OperationAborted);
        let settled = Some(Known::Settled(Abort::Undone));
        assert_eq!(history.abort(&us, id), settled);
    }

    #[test]
    fn what_one_caller_aborts_or_begins_is_nothing_to_another() {
        let (history, id) = (History::default(), OperationId::generate());
        history.begin(&caller("p"), id).unwrap();
        assert_eq!(history.abort(&caller("q"), id), None);
        history.end(&caller("p"), id, Known::Ended).unwrap();
        let (history, id) = (History::default(), OperationId::generate());
        history.begin(&caller("q"), id).unwrap();
        history.begin(&caller("p"), id).unwrap();
    }

    #[test]
    fn a_task_learns_at_its_end_that_it_was_aborted() {
        let (history, us, id) = (History::default(), caller("p"), OperationId::generate());
        history.begin(&us, id).unwrap();
        assert_eq!(history.abort(&us, id), Some(Known::Running));
        let ended = history.end(&us, id, Known::Ended);
        assert_eq!(
            ended.as_ref().map_err(Fault::done),
            Err(Outcome::Unknown),
            "what it made is still there"
        );
        assert_eq!(reason(ended), Reason::OperationAborted);
    }

    #[test]
    fn what_was_delivered_stays_so_however_often_it_is_aborted() {
        let (history, us, id) = (History::default(), caller("p"), OperationId::generate());
        history.begin(&us, id).unwrap();
        history.end(&us, id, Known::Ended).unwrap();
        history.delivered(&us, id);
        assert_eq!(history.abort(&us, id), Some(Known::Delivered));
        history.settle(&us, id, Abort::Undone);
        assert_eq!(history.of(&us, id), Some(Known::Delivered));
    }

    #[test]
    fn what_is_still_to_be_undone_is_known_as_delivered_however_old_it_is() {
        let (history, us) = (History::default(), caller("p"));
        let old = OperationId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        history.abort(&us, old);
        history.delivered(&us, old);
        assert_eq!(history.of(&us, old), Some(Known::Delivered));
    }

    #[test]
    fn old_operations_and_too_many_are_forgotten() {
        let (history, us) = (History::default(), caller("p"));
        let old = OperationId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        history.delivered(&us, old);
        assert_eq!(history.of(&us, old), None);
        let first = OperationId::generate();
        history.begin(&us, first).unwrap();
        history.begin(&caller("q"), first).unwrap();
        for _ in 1..MOST {
            history.begin(&us, OperationId::generate()).unwrap();
        }
        assert_eq!(history.lock().known.len(), MOST);
        assert_eq!(history.lock().order.len(), MOST);
        assert_eq!(
            reason(history.begin(&caller("q"), first)),
            Reason::OperationRepeated
        );
        history.begin(&us, first).unwrap();
    }
}
