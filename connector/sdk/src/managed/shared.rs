//! Finding clients and judging whose they are; undoing what was not delivered.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::locks::{Locked, Locks};
use super::operations::Operations;
use super::ownership::{Imported, Standing};
use super::{OLDEST_ABORT, TIME_TO_UNDO};
use crate::fault::Fault;
use crate::grants::Registrations;
use crate::idp::{Found, FoundByOperation, Idp};
use crate::mark::{Made, Marked};
use crate::model::{Call, Caller, ClientId, Deadline, OperationId, SecretId};

/// What the tasks of one connector share.
pub(super) struct Shared<I> {
    pub(super) idp: I,
    pub(super) imported: Imported,
    pub(super) locks: Locks,
    pub(super) operations: Operations,
    pub(super) undone: Undone,
}

/// The creates that were undone lately: an abort of one has nothing left to look for.
#[derive(Debug, Default)]
pub(super) struct Undone(Mutex<HashSet<OperationId>>);

impl Undone {
    fn remember(&self, operation: OperationId) {
        let mut undone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        undone.retain(|operation| operation.age() <= OLDEST_ABORT);
        undone.insert(operation);
    }

    fn has(&self, operation: OperationId) -> bool {
        let undone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        undone.contains(&operation)
    }
}

/// A client that the caller may act on: locked, found and judged. Only [`Managed`](super::Managed) makes one.
pub struct Owned<H> {
    client_id: Box<str>,
    handle: H,
    registrations: Registrations,
    _locked: Locked,
}

impl<H> Owned<H> {
    pub(super) fn new(client_id: &str, found: Found<H>, locked: Locked) -> Self {
        let Found {
            handle,
            registrations,
            ..
        } = found;
        Self {
            client_id: client_id.into(),
            handle,
            registrations,
            _locked: locked,
        }
    }

    /// The client's id as the IdP gives it.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The IdP's way to name it.
    #[must_use]
    pub fn handle(&self) -> &H {
        &self.handle
    }

    /// The registrations that were kept with it when it was found.
    #[must_use]
    pub fn registrations(&self) -> &Registrations {
        &self.registrations
    }
}

impl<H> fmt::Debug for Owned<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl<I: Idp> Shared<I> {
    /// Locks a client, finds it and judges whose it is.
    pub(super) async fn judge(
        &self,
        call: &Call,
        client_id: &ClientId,
    ) -> Result<Option<(Owned<I::Handle>, Standing)>, Fault> {
        let locked = self.locks.lock(client_id.as_str(), call.deadline).await?;
        let Some(found) = self.idp.find(call.deadline, client_id).await? else {
            return Ok(None);
        };
        let own = self.idp.own_credential();
        if found.mark == Marked::Damaged {
            tracing::warn!(client_id = %client_id, "a client bears a damaged mark and is served to nobody");
        }
        let standing = Standing::of(
            &call.caller,
            client_id.as_str(),
            &found.mark,
            &self.imported,
            own,
        );
        Ok(Some((
            Owned::new(client_id.as_str(), found, locked),
            standing,
        )))
    }

    /// A client that the caller may use.
    pub(super) async fn own(
        &self,
        call: &Call,
        client_id: &ClientId,
    ) -> Result<Owned<I::Handle>, Fault> {
        let (owned, standing) = self
            .judge(call, client_id)
            .await?
            .ok_or_else(Fault::no_such_client)?;
        standing.may_be_used(&call.caller)?;
        Ok(owned)
    }

    /// Removes what a create made, found by its operation and bearing exactly this mark; whether it is known to be gone.
    pub(super) async fn undo_create(
        &self,
        caller: &Caller,
        operation: OperationId,
        deadline: Deadline,
    ) -> Result<bool, Fault> {
        let Some(first) = self.idp.find_by_operation(deadline, operation).await? else {
            return Ok(self.undone.has(operation));
        };
        let locked = self.locks.lock(&first.client_id, deadline).await?;
        let Some(FoundByOperation { client_id, found }) =
            self.idp.find_by_operation(deadline, operation).await?
        else {
            return Ok(self.undone.has(operation));
        };
        let made_by_it = matches!(&found.mark, Marked::Yes(mark)
            if mark.caller == *caller && mark.operation_id == operation && mark.made == Made::ByUs);
        if !made_by_it || self.idp.own_credential() == Some(&client_id) {
            tracing::warn!(%operation, "what was found by an operation does not bear its mark and is left alone");
            return Ok(false);
        }
        let owned = Owned::new(&client_id, found, locked);
        self.idp.delete(deadline, &owned).await?;
        self.undone.remember(operation);
        tracing::info!(%operation, "a client that was not delivered has been removed");
        Ok(true)
    }

    /// Undoes a create that nobody took.
    pub(super) async fn undo_undelivered(&self, caller: Caller, operation: OperationId) {
        let deadline = Deadline::after(TIME_TO_UNDO);
        if let Err(fault) = self.undo_create(&caller, operation, deadline).await {
            tracing::error!(
                %operation, provider = %caller.provider_id,
                "a client that was not delivered could not be removed: {fault}"
            );
        }
    }

    pub(super) async fn undo_added(&self, call: Call, client_id: ClientId, secret_id: SecretId) {
        let call = Call {
            deadline: Deadline::after(TIME_TO_UNDO),
            ..call
        };
        let undone = async {
            let owned = self.own(&call, &client_id).await?;
            self.idp
                .remove_secret(call.deadline, &owned, &secret_id)
                .await
        };
        if let Err(fault) = undone.await {
            tracing::error!(
                %client_id, %secret_id,
                "a secret that was not delivered could not be removed: {fault}"
            );
        }
    }
}
