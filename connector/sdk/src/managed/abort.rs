//! What makes an undo necessary: an abort, or the end of a task whose result nobody can have.

use std::sync::Arc;
use std::time::Duration;

use super::history::Known;
use super::operations::Armed;
use super::protections::Protection;
use super::settle::Looks;
use super::shared::Shared;
use super::undo::{Target, Tried, Undo, left_alone};
use super::{OLDEST_ABORT, TIME_TO_UNDO};
use crate::fault::{Fault, FaultKind, Outcome, Violations};
use crate::idp::Idp;
use crate::model::{Abort, AbortTarget, Caller, Capability, Deadline, Field, OperationId};

/// When to ask again where too much waits to be undone.
const ROOM_AFTER: Duration = Duration::from_secs(30);

impl<I: Idp> Shared<I> {
    /// Answers an abort: undoes what it finds, and sees to the rest itself.
    ///
    /// # Errors
    /// `Invalid` when the operation is older than 15 minutes: what it made has long been delivered. `Unavailable` when
    /// too much waits to be undone.
    pub(super) async fn abort(
        self: Arc<Self>,
        caller: Caller,
        operation: OperationId,
        target: AbortTarget,
        deadline: Deadline,
    ) -> Result<Abort, Fault> {
        if operation.age() > OLDEST_ABORT {
            let mut v = Violations::default();
            v.note(Field::Operation, "must not be older than 15 minutes");
            return Err(v.into_fault());
        }
        // Before it counts as aborted, for then somebody sees to it.
        let place = self.place(operation).ok_or_else(|| {
            let after = Some(ROOM_AFTER);
            let message = "too many operations wait to be undone; nothing was done";
            Fault::new(FaultKind::Unavailable { after }, message)
        })?;
        let undo = |made| Undo {
            caller: caller.clone(),
            operation,
            made,
            is_aborted: true,
        };
        let made = match (target, self.history.abort(&caller, operation)) {
            (AbortTarget::Create, Some(Known::Settled(Abort::Undone))) => {
                // Its own task undid it, or another abort; another replica may make it yet.
                self.look_once_more(undo(Target::Client));
                return Ok(Abort::Undone);
            }
            (_, Some(Known::Settled(abort))) => return Ok(abort),
            (_, Some(Known::Delivered)) => {
                left_alone(operation);
                return Ok(Abort::Left);
            }
            // Whoever aborted it first sees to it.
            (_, Some(Known::Aborted)) => return Ok(Abort::Accepted),
            (AbortTarget::Create, _) => Target::Client,
            (AbortTarget::AddSecret(_), Some(Known::Added(client_id, secret_id))) => {
                Target::Secret(client_id, secret_id)
            }
            (AbortTarget::AddSecret(client_id), _) if self.finds_secrets() => {
                Target::LabelledSecret(client_id)
            }
            // Its own task learns of it at its end, and undoes it by the secret's id.
            (AbortTarget::AddSecret(_), Some(Known::Running)) => return Ok(Abort::Accepted),
            (AbortTarget::AddSecret(_), known) => {
                // Its task ended without a secret, or no task can have added one; else another replica's may have.
                let is_nothing = known == Some(Known::Ended) || !self.can(Capability::AddSecret);
                let abort = if is_nothing {
                    Abort::Undone
                } else {
                    Abort::Cannot
                };
                self.history.settle(&caller, operation, abort);
                return Ok(abort);
            }
        };
        let undo = undo(made);
        // Where many wait already, this one need not be answered first.
        let mut looks = Looks::NowAndLater;
        if let Ok(_one_of_few) = self.pending.one_of_few_now() {
            match self.try_undo(&undo, deadline).await {
                Ok(Tried::Gone) => {
                    self.look_once_more(undo);
                    return Ok(Abort::Undone);
                }
                Ok(Tried::LeftAlone) => return Ok(Abort::Left),
                Ok(Tried::Nothing) => looks = Looks::Later,
                Err(fault) => {
                    tracing::warn!(%operation, "what was aborted cannot be undone yet; trying again: {fault}");
                }
            }
        }
        self.settle_in_time(undo, looks, place);
        Ok(Abort::Accepted)
    }

    /// Whether an added secret is found by its operation.
    fn finds_secrets(&self) -> bool {
        self.can(Capability::AbortAddSecret)
    }

    fn can(&self, capability: Capability) -> bool {
        self.idp.traits().capabilities.contains(&capability)
    }

    /// The result of a task, which undoes itself unless it is taken.
    ///
    /// # Errors
    /// `Conflict` when the operation was aborted while the task ran.
    pub(super) fn armed<T>(
        self: &Arc<Self>,
        value: T,
        known: Known,
        undo: Undo,
    ) -> Result<Armed<T>, Fault> {
        let shared = Arc::clone(self);
        if let Err(aborted) = self.history.end(&undo.caller, undo.operation, known) {
            shared.undo_in_time(undo, Looks::NowAndLater);
            return Err(aborted);
        }
        let undoing = async move {
            if let Some(place) = shared.claim(&undo) {
                shared.settle(undo, Looks::NowAndLater, place).await;
            }
        };
        Ok(self.operations.armed(value, undoing))
    }

    /// The fault of a task; what it may have made is undone where that can be found.
    pub(super) fn failed(self: &Arc<Self>, fault: Fault, undo: Undo) -> Fault {
        let may_be_made = fault.done() != Outcome::NotApplied;
        if !may_be_made || !self.protections.has(Protection::OwnUndo) {
            return self.made_nothing(&undo.caller, undo.operation, fault);
        }
        if matches!(undo.made, Target::LabelledSecret(_)) && !self.finds_secrets() {
            self.history
                .settle(&undo.caller, undo.operation, Abort::Cannot);
        } else {
            Arc::clone(self).undo_in_time(undo, Looks::NowAndLater);
        }
        fault
    }

    /// The fault of a task that leaves nothing to undo.
    pub(super) fn made_nothing(
        &self,
        caller: &Caller,
        operation: OperationId,
        fault: Fault,
    ) -> Fault {
        // Aborted or not: nothing is left to do.
        drop(self.history.end(caller, operation, Known::Ended));
        fault
    }

    /// The fault of a task whose answer Konnect could not keep; what it made is undone at once.
    pub(super) async fn unusable(self: &Arc<Self>, fault: Fault, undo: Undo) -> Fault {
        let looks = match self.try_undo(&undo, Deadline::after(TIME_TO_UNDO)).await {
            Ok(Tried::Gone) => return fault.outcome(Outcome::NotApplied),
            Ok(Tried::LeftAlone) => return fault,
            Ok(Tried::Nothing) => Looks::Later,
            Err(_) => Looks::NowAndLater,
        };
        Arc::clone(self).undo_in_time(undo, looks);
        fault
    }
}
