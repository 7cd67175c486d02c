//! Undoing what nobody got the answer to.
//!
//! What is undone is found again by its mark or label, under its lock, and never when there is a sign that its answer
//! was delivered: a delivered client or secret is worth more than a tidy provider.

use std::sync::Arc;
use std::time::Duration;

use dcr_runtime::telemetry::Cause;

use super::history::Known;
use super::operations::Armed;
use super::protections::Protection;
use super::shared::{Owned, Shared};
use super::{OLDEST_ABORT, TIME_TO_UNDO};
use crate::fault::{Fault, FaultKind, Outcome, Violations};
use crate::idp::{FoundByOperation, Idp};
use crate::mark::{Made, Marked};
use crate::model::{
    Abort, AbortTarget, Caller, Capability, ClientId, Deadline, Field, OperationId, SecretId,
};

/// How many undo at one time, so that a provider that comes back is not thrown over again.
pub(super) const AT_ONCE: usize = 16;
/// Between two tries; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the provider is asked again and again.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be undone.
#[derive(Debug, Clone)]
pub(super) struct Undo {
    pub(super) caller: Caller,
    pub(super) operation: OperationId,
    pub(super) made: Target,
}

/// What the operation made.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A client, found by its mark.
    Client,
    /// A secret of this client, found by its label.
    LabelledSecret(ClientId),
    /// A secret of this client.
    Secret(ClientId, SecretId),
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was there and is gone, or its client is gone.
    Gone,
    /// There is nothing (yet).
    Nothing,
    /// What is there must be left alone.
    LeftAlone,
}

/// How often an undo looks before it believes that there is nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Looks {
    /// Once: what is to be undone is there.
    Now,
    /// Now, and when a late commit would have shown itself.
    NowAndLater,
    /// When a late commit would have shown itself.
    Later,
}

impl<I: Idp> Shared<I> {
    /// Answers an abort: undoes what it finds, and sees to the rest itself.
    ///
    /// # Errors
    /// `Invalid` when the operation is older than 15 minutes: what it made has long been delivered.
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
        let known = self.history.abort(operation);
        let made = match (target, &known) {
            (_, Some(Known::Undone)) => return Ok(Abort::Undone),
            // Whoever aborted it first saw to it; an added secret is undone by its own task.
            (_, Some(Known::Aborted)) | (AbortTarget::AddSecret(_), Some(Known::Running)) => {
                return Ok(Abort::Accepted);
            }
            (_, Some(Known::Delivered)) => {
                left_alone(operation);
                return Ok(Abort::Left);
            }
            (AbortTarget::Create, _) => Target::Client,
            (AbortTarget::AddSecret(client_id), Some(Known::Added(secret_id))) => {
                Target::Secret(client_id, secret_id.clone())
            }
            (AbortTarget::AddSecret(client_id), _) if self.finds_secrets() => {
                Target::LabelledSecret(client_id)
            }
            (AbortTarget::AddSecret(_), _) => return Ok(Abort::Cannot),
        };
        let undo = Undo {
            caller,
            operation,
            made,
        };
        // Where many wait already, this one need not be answered first.
        let mut looks = Looks::NowAndLater;
        if let Ok(_one_of_few) = self.undoing.try_acquire() {
            match self.try_undo(&undo, deadline).await {
                Ok(Tried::Gone) => return Ok(Abort::Undone),
                Ok(Tried::LeftAlone) => return Ok(Abort::Left),
                Ok(Tried::Nothing) => looks = Looks::Later,
                Err(fault) => {
                    tracing::warn!(%operation, "what was aborted cannot be undone yet; trying again: {fault}");
                }
            }
        }
        self.undo_in_time(undo, looks);
        Ok(Abort::Accepted)
    }

    /// Whether an added secret is found by its operation.
    fn finds_secrets(&self) -> bool {
        let capabilities = self.idp.traits().capabilities;
        capabilities.contains(&Capability::AbortAddSecret)
    }

    /// What to undo when it is not known whether a secret was added; `None` when it could not be found.
    pub(super) fn perhaps_added(&self, client_id: ClientId) -> Option<Target> {
        self.finds_secrets()
            .then_some(Target::LabelledSecret(client_id))
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
        if let Err(aborted) = self.history.end(undo.operation, known) {
            shared.undo_in_time(undo, Looks::Now);
            return Err(aborted);
        }
        let undoing = async move {
            shared.history.abort(undo.operation);
            shared.settle(&undo, Looks::Now).await;
        };
        Ok(self.operations.armed(value, undoing))
    }

    /// The fault of a task; what it may have made is undone where that can be found.
    pub(super) fn failed(
        self: &Arc<Self>,
        operation: OperationId,
        fault: Fault,
        undo: Option<Undo>,
    ) -> Fault {
        let own_undo = self.protections.has(Protection::OwnUndo);
        match undo {
            Some(undo) if fault.done() != Outcome::NotApplied && own_undo => {
                Arc::clone(self).undo_in_time(undo, Looks::NowAndLater);
            }
            // Aborted or not: nothing is left to do.
            _ => drop(self.history.end(operation, Known::Ended)),
        }
        fault
    }

    /// The fault of a task whose answer Konnect could not keep; what it made is undone at once.
    pub(super) async fn unusable(self: &Arc<Self>, fault: Fault, undo: Undo) -> Fault {
        self.history.abort(undo.operation);
        match self.try_undo(&undo, Deadline::after(TIME_TO_UNDO)).await {
            Ok(Tried::Gone) => fault.outcome(Outcome::NotApplied),
            Ok(Tried::Nothing | Tried::LeftAlone) => fault,
            Err(_) => {
                Arc::clone(self).undo_in_time(undo, Looks::Now);
                fault
            }
        }
    }

    /// Undoes as a task of its own, and tries until it is done. From now on the operation counts as aborted.
    pub(super) fn undo_in_time(self: Arc<Self>, undo: Undo, looks: Looks) {
        self.history.abort(undo.operation);
        let operations = self.operations.clone();
        operations.spawn_because_of(&Cause::current(), "undo", async move {
            self.settle(&undo, looks).await;
        });
    }

    /// Undoes, and tries until it is done.
    pub(super) async fn settle(&self, undo: &Undo, looks: Looks) {
        let _unfinished = self.operations.undoing(undo.operation);
        let settle_after = self.idp.traits().settle_after;
        let pauses = match looks {
            Looks::Now => [None, Some(Duration::ZERO)],
            Looks::NowAndLater => [Some(Duration::ZERO), Some(settle_after)],
            Looks::Later => [None, Some(settle_after)],
        };
        for pause in pauses.into_iter().flatten() {
            tokio::time::sleep(pause).await;
            if !pause.is_zero() && !self.protections.has(Protection::SettleLook) {
                return;
            }
            if self.until_known(undo).await != Some(Tried::Nothing) {
                return;
            }
        }
    }

    /// Tries until the provider has answered; `None` when it never did.
    async fn until_known(&self, undo: &Undo) -> Option<Tried> {
        let operation = undo.operation;
        let mut pause = FIRST_PAUSE;
        let mut current = None;
        loop {
            let one_of_few = self.undoing.acquire().await;
            let with = current.as_deref().unwrap_or(self);
            let fault = match with.try_undo(undo, Deadline::after(TIME_TO_UNDO)).await {
                Ok(tried) => return Some(tried),
                Err(fault) => fault,
            };
            drop(one_of_few);
            if operation.age() > GIVE_UP_AFTER {
                tracing::error!(
                    %operation, provider = %undo.caller.provider_id,
                    "what nobody got the answer to could not be undone in 24 hours and is given up; look at the \
                     identity provider for what bears this operation: {fault}"
                );
                return None;
            }
            tracing::warn!(
                %operation, provider = %undo.caller.provider_id,
                "what nobody got the answer to cannot be undone yet; trying again: {fault}"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // The credential that made it may have ended meanwhile.
            current = self.current();
        }
    }

    /// Tries once.
    pub(super) async fn try_undo(&self, undo: &Undo, deadline: Deadline) -> Result<Tried, Fault> {
        let (caller, operation) = (&undo.caller, undo.operation);
        let tried = match &undo.made {
            Target::Client => self.remove_client(caller, operation, deadline).await?,
            Target::LabelledSecret(client_id) => {
                self.remove_secret(caller, operation, client_id, None, deadline)
                    .await?
            }
            Target::Secret(client_id, secret_id) => {
                self.remove_secret(caller, operation, client_id, Some(secret_id), deadline)
                    .await?
            }
        };
        if tried == Tried::Gone {
            self.history.undone(operation);
            tracing::info!(%operation, "what nobody got the answer to has been removed");
        }
        Ok(tried)
    }

    /// Removes the client that bears exactly this mark.
    async fn remove_client(
        &self,
        caller: &Caller,
        operation: OperationId,
        deadline: Deadline,
    ) -> Result<Tried, Fault> {
        let Some(first) = self.idp.find_by_operation(deadline, operation).await? else {
            return Ok(Tried::Nothing);
        };
        let locked = self.locks.lock(&first.client_id, deadline).await?;
        let Some(FoundByOperation { client_id, found }) =
            self.idp.find_by_operation(deadline, operation).await?
        else {
            // Somebody else, most likely another replica's undo, was faster.
            return Ok(Tried::Gone);
        };
        let made_by_it = matches!(&found.mark, Marked::Yes(mark)
            if mark.caller == *caller && mark.operation_id == operation && mark.made == Made::ByUs);
        let checked = self.protections.has(Protection::MarkCheck);
        if checked && !made_by_it || self.idp.own_credential() == Some(&client_id) {
            tracing::warn!(%operation, "what was found by an operation does not bear its mark and is left alone");
            return Ok(Tried::LeftAlone);
        }
        if self.history.was_delivered(operation) || !found.registrations.is_empty() {
            left_alone(operation);
            return Ok(Tried::LeftAlone);
        }
        let owned = Owned::new(&client_id, found, locked);
        self.idp.delete(deadline, &owned).await?;
        Ok(Tried::Gone)
    }

    /// Removes a secret of a client, by its id or by its label.
    async fn remove_secret(
        &self,
        caller: &Caller,
        operation: OperationId,
        client_id: &ClientId,
        secret_id: Option<&SecretId>,
        deadline: Deadline,
    ) -> Result<Tried, Fault> {
        let owned = match self.own(caller, deadline, client_id).await {
            Ok(owned) => owned,
            // Its secrets went with it.
            Err(fault) if fault.kind() == &FaultKind::NotFound => return Ok(Tried::Gone),
            Err(fault) => return Err(fault),
        };
        let labelled;
        let secret_id = if let Some(id) = secret_id {
            id
        } else {
            let find = self
                .idp
                .find_secret_by_operation(deadline, &owned, operation);
            let Some(found) = find.await? else {
                return Ok(Tried::Nothing);
            };
            labelled = found;
            &labelled
        };
        self.idp.remove_secret(deadline, &owned, secret_id).await?;
        Ok(Tried::Gone)
    }
}

fn left_alone(operation: OperationId) {
    tracing::error!(
        %operation,
        "an operation was to be undone, but what it made has been used since, so its answer was delivered; it is left \
         alone. The gateway that asked for this has a fault"
    );
}
