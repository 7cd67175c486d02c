//! A [`Connector`](crate::Connector) made of an [`Idp`]: what no team can forget.
//!
//! Every call about an existing client goes the same way: lock the client, find it, judge whose it is, act. Every
//! mutation runs as a task of its own, see `operations`. What the IdP answers is checked here before it is
//! delivered; what Konnect could not keep is undone.

mod abort;
pub(crate) mod awaited;
mod calls;
mod clean_up;
mod history;
mod locks;
mod operations;
mod ownership;
mod pending;
mod protections;
mod settle;
mod shared;
#[cfg(test)]
pub(crate) mod tests;
mod undo;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use dcr_runtime::Shutdown;
use prometheus_client::registry::Registry;

use self::locks::Locks;
use self::operations::Operations;
pub use self::ownership::Imported;
use self::pending::Pending;
pub use self::protections::{Protection, Protections};
pub use self::shared::Owned;
use self::shared::Shared;
use crate::fault::{Fault, FaultKind};
use crate::idp::Idp;
use crate::mark::{Made, Mark, Marked};
use crate::model::{Call, Caller, ClientId, Deadline, Installation, OperationId};

/// How long undoing may take; nobody waits for it.
const TIME_TO_UNDO: Duration = Duration::from_secs(30);
/// Older operations are not aborted: what they made has long been delivered.
const OLDEST_ABORT: Duration = Duration::from_mins(15);

/// The [`Connector`](crate::Connector) of an [`Idp`].
pub struct Managed<I> {
    current: Arc<ArcSwap<Shared<I>>>,
}

/// Clones are the same connector.
impl<I> Clone for Managed<I> {
    fn clone(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
        }
    }
}

impl<I: Idp> fmt::Debug for Managed<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed")
            .field("idp", &I::NAME)
            .finish_non_exhaustive()
    }
}

impl<I: Idp> Managed<I> {
    /// Wraps an IdP; must be called within a tokio runtime. The drain of `shutdown` waits for what it
    /// has begun.
    pub fn new(idp: I, imported: Imported, shutdown: &Shutdown) -> Self {
        Self::protected(idp, imported, shutdown, Protections::default())
    }

    /// The same with a protection off: for tests alone.
    #[doc(hidden)]
    pub fn protected(
        idp: I,
        imported: Imported,
        shutdown: &Shutdown,
        protections: Protections,
    ) -> Self {
        Self::bounded(idp, imported, shutdown, protections, pending::MOST)
    }

    /// The same with room for so many undos.
    fn bounded(
        idp: I,
        imported: Imported,
        shutdown: &Shutdown,
        protections: Protections,
        most: usize,
    ) -> Self {
        let operations = Operations::new(shutdown.clone(), protections);
        let shared = |current: &Weak<_>| {
            ArcSwap::from_pointee(Shared {
                idp,
                imported,
                current: Weak::clone(current),
                locks: Locks::new(protections),
                operations,
                history: Arc::default(),
                pending: Arc::new(Pending::new(most)),
                cleaning_up: Arc::default(),
                protections,
            })
        };
        Self {
            current: Arc::new_cyclic(shared),
        }
    }

    /// Replaces the IdP and the imported clients for the calls that begin from now on. Running operations end with
    /// what they began with; locks and what is known of operations are common to both.
    pub fn replace(&self, idp: I, imported: Imported) {
        self.current
            .store(Arc::new(self.shared().succeeded_by(idp, imported)));
    }

    /// Shows what came of undoing, and what is still to be undone, in a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        pending::register(&self.shared().pending, registry);
    }

    /// What the identity provider of today needs until a late commit shows.
    pub(crate) fn settle_after(&self) -> Duration {
        self.shared().idp.traits().settle_after
    }

    fn shared(&self) -> Arc<Shared<I>> {
        self.current.load_full()
    }

    /// Removes clients that were made for Konnect's Verify of an installation more than 10 minutes ago, as a task of
    /// its own. A process does so at its start; afterwards every Verify does.
    pub fn remove_old_probes(&self, installation: &Installation) {
        self.shared().remove_old_probes(installation.clone());
    }

    /// Runs a mutation of an existing client as a task of its own; its result needs no undo.
    async fn detached<T, Fut>(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        act: impl FnOnce(Arc<Shared<I>>, Call, ClientId) -> Fut,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let shared = self.shared();
        let (operations, keep) = (shared.operations.clone(), shared.operations.clone());
        let act = act(shared, call.clone(), client_id.clone());
        let task = async move { act.await.map(|value| keep.plain(value)) };
        operations.run(call.deadline, operation, task).await
    }

    /// Writes the caller's mark into a client that bears none, so that it is served from now on.
    ///
    /// # Errors
    /// `NotFound` when there is no such client or it is the connector's own credential, `Conflict` when it bears a
    /// mark already, and what every call can meet.
    pub async fn adopt(
        &self,
        caller: &Caller,
        client_id: &ClientId,
        made: Made,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let shared = &self.shared();
        let locked = shared.locks.lock(client_id.as_str(), deadline).await?;
        let found = shared
            .idp
            .find(deadline, client_id)
            .await?
            .ok_or_else(Fault::no_such_client)?;
        if shared.idp.own_credential() == Some(client_id.as_str()) {
            return Err(Fault::no_such_client()
                .saying("This client is the connector's own credential and is never served."));
        }
        match &found.mark {
            Marked::No => {}
            Marked::Yes(mark) => {
                let whose = format!(
                    "The client bears the mark of installation {}, provider {} already.",
                    mark.caller.installation, mark.caller.provider_id
                );
                return Err(Fault::new(FaultKind::Conflict, whose.clone()).saying(&whose));
            }
            Marked::Damaged => {
                let how = "The client bears a damaged mark: remove its dcr_… attributes first.";
                return Err(Fault::new(FaultKind::Conflict, how).saying(how));
            }
        }
        let owned = Owned::new(client_id.as_str(), found, locked);
        let operation_id = OperationId::generate();
        let mark = Mark {
            caller: caller.clone(),
            operation_id,
            made,
            probe: false,
        };
        shared.idp.write_mark(deadline, &owned, &mark).await
    }
}
