//! Undoing until it is done: again and again while the provider cannot be reached, and once more when a late commit would
//! have shown itself.

use std::sync::Arc;
use std::time::Duration;

use dcr_runtime::telemetry::Cause;

use super::TIME_TO_UNDO;
use super::history::Known;
use super::pending::{End, Place};
use super::protections::Protection;
use super::shared::Shared;
use super::undo::{Target, Tried, Undo};
use crate::idp::Idp;
use crate::model::{Abort, Deadline, OperationId};

/// Between two tries; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long the provider is asked again and again.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// When an undo looks before it believes that there is nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Looks {
    /// Now, and when a late commit would have shown itself.
    NowAndLater,
    /// When a late commit would have shown itself.
    Later,
}

impl<I: Idp> Shared<I> {
    pub(super) fn place(&self, operation: OperationId) -> Option<Place> {
        self.pending.place(self.operations.undoing(operation))
    }

    /// Takes it on to undo an operation: from now on it counts as aborted. `None` when too much waits to be undone; then
    /// it is left to the gateway, whose abort is not told that somebody sees to it.
    pub(super) fn claim(&self, undo: &Undo) -> Option<Place> {
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
    pub(super) fn undo_in_time(self: Arc<Self>, undo: Undo, looks: Looks) {
        if let Some(place) = self.claim(&undo) {
            self.settle_in_time(undo, looks, place);
        }
    }

    pub(super) fn settle_in_time(self: Arc<Self>, undo: Undo, looks: Looks, place: Place) {
        let operations = self.operations.clone();
        operations.spawn_because_of(&Cause::current(), "undo", async move {
            self.settle(undo, looks, place).await;
        });
    }

    /// Undoes, and tries until it is done.
    pub(super) async fn settle(self: Arc<Self>, undo: Undo, looks: Looks, _place: Place) {
        // Also when its abort was settled meanwhile: where the request came to two replicas, that has removed what the other
        // one made.
        if matches!(looks, Looks::NowAndLater) {
            match self.until_known(&undo).await {
                Some(Tried::Nothing) => {}
                Some(Tried::Gone) => return self.look_once_more(undo),
                Some(Tried::LeftAlone) | None => return,
            }
        }
        if !self.protections.has(Protection::SettleLook) {
            return;
        }
        tokio::time::sleep(self.idp.traits().settle_after).await;
        self.look_late(&undo).await;
    }

    /// Looks once more when a late commit would have shown itself, though a client was found and undone: a network that
    /// sends a create to two replicas has it made by the other as well. Only where the gateway said that it has no answer:
    /// the other's may have been delivered, and its client is not to be touched. Nothing is known to be left, so this
    /// keeps no process from its end before it looks.
    pub(super) fn look_once_more(self: &Arc<Self>, undo: Undo) {
        let is_needed = undo.is_aborted && matches!(undo.made, Target::Client);
        if !is_needed || !self.protections.has(Protection::SettleLook) {
            return;
        }
        let Some(one_of_many) = self.pending.one_of_many() else {
            return;
        };
        let shared = Arc::clone(self);
        let look = async move {
            tokio::select! {
                () = shared.operations.stopping() => return,
                () = tokio::time::sleep(shared.idp.traits().settle_after) => {}
            }
            drop(one_of_many);
            if let Some(_place) = shared.place(undo.operation) {
                shared.look_late(&undo).await;
            }
        };
        self.operations
            .spawn_because_of(&Cause::current(), "look_once_more", look);
    }

    /// The last look. Also for what was undone meanwhile: it may have been made once more.
    async fn look_late(&self, undo: &Undo) {
        let known = self.history.of(&undo.caller, undo.operation);
        if matches!(known, Some(Known::Settled(Abort::Left | Abort::Cannot))) {
            return;
        }
        let is_undone = known == Some(Known::Settled(Abort::Undone));
        if self.until_known(undo).await == Some(Tried::Nothing) && !is_undone {
            self.pending.count(End::Nothing);
        }
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
}
