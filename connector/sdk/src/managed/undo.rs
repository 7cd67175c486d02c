//! Undoing what nobody got the answer to.
//!
//! What is undone is found again by its mark or label, under its lock, and never when there is a sign that its answer
//! was delivered: a delivered client or secret is worth more than a tidy provider.

use std::time::Duration;

use super::history::Known;
use super::pending::End;
use super::protections::Protection;
use super::shared::{Owned, Shared};
use crate::fault::Fault;
use crate::idp::{FoundByOperation, Idp};
use crate::mark::{Made, Marked};
use crate::model::{Abort, Caller, ClientId, Deadline, OperationId, SecretId};

/// For a client that others work on. One of the few that undo at one time gives way then and comes again, so that those
/// who wait for one client do not keep all others.
const FOR_A_LOCK: Duration = Duration::from_secs(1);

/// What is to be undone.
#[derive(Debug, Clone)]
pub(super) struct Undo {
    pub(super) caller: Caller,
    pub(super) operation: OperationId,
    pub(super) made: Target,
    /// Whether the gateway asked for it: then no answer to the operation was delivered, whichever replica gave it.
    pub(super) is_aborted: bool,
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

impl<I: Idp> Shared<I> {
    /// Tries once, and settles what came of it.
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
        let locked = self
            .locks
            .lock(&first.client_id, deadline.at_most(FOR_A_LOCK))
            .await?;
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
        let locked = self
            .locks
            .lock(client_id.as_str(), deadline.at_most(FOR_A_LOCK))
            .await?;
        let judged = self.judge_locked(caller, deadline, client_id, locked);
        let Some((owned, standing)) = judged.await? else {
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

pub(super) fn left_alone(operation: OperationId) {
    tracing::error!(
        %operation,
        "an operation was to be undone, but what it made has been used since, so its answer was delivered; it is left \
         alone. The gateway that asked for this has a fault"
    );
}
