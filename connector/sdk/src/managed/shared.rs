//! Finding clients and judging whose they are.

use std::fmt;
use std::sync::{Arc, Weak};

use super::awaited;
use super::clean_up::CleaningUp;
use super::history::History;
use super::locks::{Locked, Locks};
use super::operations::Operations;
use super::ownership::{Imported, Standing};
use super::pending::Pending;
use super::protections::{Protection, Protections};
use crate::fault::Fault;
use crate::grants::Registrations;
use crate::idp::{Found, Idp};
use crate::mark::Marked;
use crate::model::{Caller, ClientId, Deadline, OperationId};
use arc_swap::ArcSwap;

/// What the tasks of one connector share. A new configuration makes a new value, in which all but the first two members
/// are the same.
pub(super) struct Shared<I> {
    pub(super) idp: I,
    pub(super) imported: Imported,
    /// What calls begin with now; gone when nobody serves them any more.
    pub(super) current: Weak<ArcSwap<Self>>,
    pub(super) locks: Locks,
    pub(super) operations: Operations,
    pub(super) history: Arc<History>,
    pub(super) pending: Arc<Pending>,
    pub(super) cleaning_up: Arc<CleaningUp>,
    pub(super) protections: Protections,
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

impl<I> Shared<I> {
    /// The same with another IdP.
    pub(super) fn succeeded_by(&self, idp: I, imported: Imported) -> Self {
        Self {
            idp,
            imported,
            current: Weak::clone(&self.current),
            locks: self.locks.clone(),
            operations: self.operations.clone(),
            history: Arc::clone(&self.history),
            pending: Arc::clone(&self.pending),
            cleaning_up: Arc::clone(&self.cleaning_up),
            protections: self.protections,
        }
    }

    /// What calls begin with now; `None` when nobody serves them any more.
    pub(super) fn current(&self) -> Option<Arc<Self>> {
        self.current.upgrade().map(|current| current.load_full())
    }
}

impl<I: Idp> Shared<I> {
    /// Begins an operation that must not be done twice.
    ///
    /// # Errors
    /// `Conflict` when it was begun or aborted before.
    pub(super) fn begin(&self, caller: &Caller, operation: OperationId) -> Result<(), Fault> {
        match self.history.begin(caller, operation) {
            Err(_) if !self.protections.has(Protection::OnlyOnce) => Ok(()),
            begun => begun,
        }
    }

    /// Locks a client, finds it and judges whose it is. Fails when nobody waits for the operation any more.
    pub(super) async fn judge(
        &self,
        caller: &Caller,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> Result<Option<(Owned<I::Handle>, Standing)>, Fault> {
        let locked = self.locks.lock(client_id.as_str(), deadline).await?;
        awaited::still()?;
        let judged = self.judge_locked(caller, deadline, client_id, locked);
        let judged = judged.await?;
        awaited::still()?;
        Ok(judged)
    }

    /// Finds a client that is locked already, and judges whose it is.
    pub(super) async fn judge_locked(
        &self,
        caller: &Caller,
        deadline: Deadline,
        client_id: &ClientId,
        locked: Locked,
    ) -> Result<Option<(Owned<I::Handle>, Standing)>, Fault> {
        let own = self.idp.own_credential();
        let Some(found) = self.idp.find(deadline, client_id).await? else {
            // Where a store is the mark, the connector's own credential is not found. It is not absent either.
            return if own == Some(client_id.as_str()) {
                Err(Fault::no_such_client())
            } else {
                Ok(None)
            };
        };
        let standing = Standing::of(caller, client_id.as_str(), &found.mark, &self.imported, own);
        match &found.mark {
            Marked::Damaged => {
                tracing::warn!(client_id = %client_id, "a client bears a damaged mark and is served to nobody");
            }
            // Whoever can name a client has had the answer that told its id.
            Marked::Yes(mark) if standing == Standing::Ours => {
                self.history.delivered(caller, mark.operation_id);
            }
            Marked::Yes(_) | Marked::No => {}
        }
        Ok(Some((
            Owned::new(client_id.as_str(), found, locked),
            standing,
        )))
    }

    /// A client that the caller may use.
    pub(super) async fn own(
        &self,
        caller: &Caller,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> Result<Owned<I::Handle>, Fault> {
        let (owned, standing) = self
            .judge(caller, deadline, client_id)
            .await?
            .ok_or_else(Fault::no_such_client)?;
        standing.may_be_used(caller)?;
        Ok(owned)
    }
}
