//! Undoing what nobody got the answer to.
//!
//! What is undone is found again by its mark or label, under its lock, and never when there is a sign that its answer
//! was delivered: a delivered client or secret is worth more than a tidy provider.

use std::sync::Arc;
use std::time::Duration;

use dcr_runtime::telemetry::Cause;

use super::history::Known;
use super::operations::Armed;
use super::pending::{End, Place};
use super::protections::Protection;
use super::shared::{Owned, Shared};
use super::{OLDEST_ABORT, TIME_TO_UNDO};
use crate::fault::{Fault, FaultKind, Outcome, Violations};
use crate::idp::{FoundByOperation, Idp};
use crate::mark::{Made, Marked};
use crate::model::{
    Abort, AbortTarget, Caller, Capability, ClientId, Deadline, Field, OperationId, SecretId,
};

/// Between two tries; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the provider is asked again and again.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// When to ask again where too much waits to be undone.
const ROOM_AFTER: Duration = Duration::from_secs(30);

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
    /// It was there and is gone.
    Gone,
    /// Nothing is seen: there is nothing (yet), it has gone, or the provider's reads lag behind.
    Nothing,
    /// What is there must be left alone.
    LeftAlone,
}

/// When an undo looks before it believes that there is nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Looks {
    /// Now, and when a late commit would have shown itself.
    NowAndLater,
    /// When a late commit would have shown itself.
    Later,
}

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
        let made = match (target, self.history.abort(&caller, operation)) {
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
            (AbortTarget::AddSecret(_), _) => {
                self.history.settle(&caller, operation, Abort::Cannot);
                return Ok(Abort::Cannot);
            }
        };
        let undo = Undo {
            caller,
            operation,
            made,
        };
        // Where many wait already, this one need not be answered first.
        let mut looks = Looks::NowAndLater;
        if let Ok(_one_of_few) = self.pending.one_of_few_now() {
            match self.try_undo(&undo, deadline).await {
                Ok(Tried::Gone) => return Ok(Abort::Undone),
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
        let capabilities = self.idp.traits().capabilities;
        capabilities.contains(&Capability::AbortAddSecret)
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
                shared.settle(&undo, Looks::NowAndLater, place).await;
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

    fn place(&self, operation: OperationId) -> Option<Place> {
        self.pending.place(self.operations.undoing(operation))
    }

    /// Takes it on to undo an operation: from now on it counts as aborted. `None` when too much waits to be undone; then
    /// it is left to the gateway, whose abort is not told that somebody sees to it.
    fn claim(&self, undo: &Undo) -> Option<Place> {
        let (caller, operation) = (&undo.caller, undo.operation);
        let place = self.place(operation);
        if place.is_some() {
            self.history.abort(caller, operation);
        } else {
            let known = match undo.made.clone() {
                Target::Secret(client_id, secret_id) => Known::Added(client_id, secret_id),
                Target::Client | Target::LabelledSecret(_) => Known::Ended,
            };
            self.history.reopen(caller, operation, known);
            self.pending.count(End::GivenUp);
            tracing::error!(
                %operation, provider = %caller.provider_id,
                "too many operations wait to be undone, and this one is undone only if the gateway asks for it; find out \
                 why the identity provider does not let them be undone, and look there for what bears this operation"
            );
        }
        place
    }

    /// Undoes as a task of its own, and tries until it is done.
    fn undo_in_time(self: Arc<Self>, undo: Undo, looks: Looks) {
        if let Some(place) = self.claim(&undo) {
            self.settle_in_time(undo, looks, place);
        }
    }

    fn settle_in_time(self: Arc<Self>, undo: Undo, looks: Looks, place: Place) {
        let operations = self.operations.clone();
        operations.spawn_because_of(&Cause::current(), "undo", async move {
            self.settle(&undo, looks, place).await;
        });
    }

    /// Undoes, and tries until it is done.
    async fn settle(&self, undo: &Undo, looks: Looks, _place: Place) {
        let settle_after = self.idp.traits().settle_after;
        let pauses = match looks {
            Looks::NowAndLater => [Some(Duration::ZERO), Some(settle_after)],
            Looks::Later => [None, Some(settle_after)],
        };
        for pause in pauses.into_iter().flatten() {
            tokio::time::sleep(pause).await;
            if !pause.is_zero() && !self.protections.has(Protection::SettleLook) {
                return;
            }
            let known = self.history.of(&undo.caller, undo.operation);
            // Another undo of it was faster. Whoever has just made something looks nevertheless: where the request came
            // to two replicas, the other undo has removed what the other one made.
            if !pause.is_zero() && matches!(known, Some(Known::Settled(_))) {
                return;
            }
            if self.until_known(undo).await != Some(Tried::Nothing) {
                return;
            }
        }
        self.pending.count(End::Nothing);
    }

    /// Tries until the provider has answered; `None` when it never did.
    async fn until_known(&self, undo: &Undo) -> Option<Tried> {
        let operation = undo.operation;
        let mut pause = FIRST_PAUSE;
        let mut current = None;
        loop {
            let one_of_few = self.pending.one_of_few().await;
            let with = current.as_deref().unwrap_or(self);
            // Apart from this task, which is small while it waits.
            let tried = Box::pin(with.try_undo(undo, Deadline::after(TIME_TO_UNDO))).await;
            let fault = match tried {
                Ok(tried) => return Some(tried),
                Err(fault) => fault,
            };
            drop(one_of_few);
            if operation.age() > GIVE_UP_AFTER {
                self.pending.count(End::GivenUp);
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

    /// Tries once, and settles what came of it.
    async fn try_undo(&self, undo: &Undo, deadline: Deadline) -> Result<Tried, Fault> {
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
        match tried {
            Tried::Gone => {
                self.history.settle(caller, operation, Abort::Undone);
                self.pending.count(End::Gone);
                tracing::info!(%operation, "what nobody got the answer to has been removed");
            }
            Tried::LeftAlone => {
                self.history.settle(caller, operation, Abort::Left);
                self.pending.count(End::Left);
            }
            Tried::Nothing => {}
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
            // Another undo, here or of another replica, was faster; or what was read now is older than before.
            return Ok(Tried::Nothing);
        };
        let made_by_it = matches!(&found.mark, Marked::Yes(mark)
            if mark.caller == *caller && mark.operation_id == operation && mark.made == Made::ByUs);
        let checked = self.protections.has(Protection::MarkCheck);
        if checked && !made_by_it || self.idp.own_credential() == Some(&client_id) {
            tracing::warn!(%operation, "what was found by an operation does not bear its mark and is left alone");
            return Ok(Tried::LeftAlone);
        }
        let was_delivered = self.history.of(caller, operation) == Some(Known::Delivered);
        if was_delivered || !found.registrations.is_empty() {
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
        let Some((owned, standing)) = self.judge(caller, deadline, client_id).await? else {
            // When it is gone, its secrets went with it.
            return Ok(Tried::Nothing);
        };
        if standing.may_be_used(caller).is_err() {
            tracing::warn!(%operation, %client_id, "a secret was to be undone whose client is not the caller's; it is left alone");
            return Ok(Tried::LeftAlone);
        }
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
