//! Clients made for Konnect's Verify, of which Konnect keeps nothing: the one kind that is removed without being asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dcr_runtime::telemetry::Cause;

use super::TIME_TO_UNDO;
use super::shared::{Owned, Shared};
use crate::fault::{Fault, FaultKind};
use crate::idp::Idp;
use crate::mark::{Made, Marked};
use crate::model::{Caller, Deadline, Installation, ManagedClient, Page};

/// Konnect's Verify has ended long before this.
const LIFETIME: Duration = Duration::from_mins(10);
/// For one page of the list.
const TIME_TO_LIST: Duration = Duration::from_secs(30);
/// Of a hundred clients each. A list that is longer leads back to its own beginning, or nowhere.
pub(super) const MOST_PAGES: usize = 10_000;

/// Whether a clean-up runs: one at a time is enough.
#[derive(Debug, Default)]
pub(super) struct CleaningUp(AtomicBool);

/// The one that runs, until it is dropped, however it ends.
struct Running(Arc<CleaningUp>);

impl CleaningUp {
    /// Begins one, unless one runs.
    fn begin(self: &Arc<Self>) -> Option<Running> {
        let runs = self.0.swap(true, Ordering::AcqRel);
        (!runs).then(|| Running(Arc::clone(self)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

impl<I: Idp> Shared<I> {
    /// Removes an installation's probes that are older than 10 minutes, as a task of its own.
    pub(super) fn remove_old_probes(self: Arc<Self>, installation: Installation) {
        let Some(running) = self.cleaning_up.begin() else {
            return;
        };
        let operations = self.operations.clone();
        operations.spawn_because_of(&Cause::current(), "remove_old_probes", async move {
            let _running = running;
            let stopping = self.operations.stopping();
            let ended = tokio::select! {
                // They keep nobody waiting who wants to end.
                () = stopping => return,
                ended = self.clean_up(&installation) => ended,
            };
            match ended {
                Ok(()) => tracing::debug!("old clients of Konnect's Verify are cleaned up"),
                Err(fault) => {
                    tracing::warn!("clients of Konnect's Verify could not be cleaned up; the next Verify tries again: {fault}");
                }
            }
        });
    }

    /// Goes through all pages, whatever becomes of one client.
    async fn clean_up(&self, installation: &Installation) -> Result<(), Fault> {
        let mut page = Page::default();
        let mut failed = Ok(());
        for _ in 0..MOST_PAGES {
            let deadline = Deadline::after(TIME_TO_LIST);
            let list = match self.idp.list_marked(deadline, installation, &page).await {
                Err(fault) if fault.kind() == &FaultKind::Unsupported => return Ok(()),
                list => list?,
            };
            for client in list.clients {
                if client.probe && client.operation_id.age() > LIFETIME {
                    let removed = self.remove_probe(installation, &client).await;
                    failed = failed.and(removed);
                }
            }
            let Some(token) = list.next else {
                tracing::debug!("the clients of Konnect's Verify have been looked through");
                return failed;
            };
            page.token = Some(token);
        }
        failed.and(Err(Fault::internal(format!(
            "the list of clients does not end after {MOST_PAGES} pages"
        ))))
    }

    /// Removes a probe, unless it turns out to be anything else.
    async fn remove_probe(
        &self,
        installation: &Installation,
        listed: &ManagedClient,
    ) -> Result<(), Fault> {
        let deadline = Deadline::after(TIME_TO_UNDO);
        let client_id = &listed.client_id;
        let locked = self.locks.lock(client_id.as_str(), deadline).await?;
        let Some(found) = self.idp.find(deadline, client_id).await? else {
            return Ok(());
        };
        let caller = Caller {
            installation: installation.clone(),
            provider_id: listed.provider_id.clone(),
        };
        let is_a_probe = matches!(&found.mark, Marked::Yes(mark)
            if mark.probe && mark.made == Made::ByUs && mark.caller == caller && mark.operation_id == listed.operation_id);
        if !is_a_probe
            || !found.registrations.is_empty()
            || self.idp.own_credential() == Some(client_id.as_str())
        {
            return Ok(());
        }
        let owned = Owned::new(client_id.as_str(), found, locked);
        self.idp.delete(deadline, &owned).await?;
        tracing::info!(%client_id, "a client that was made for Konnect's Verify has been removed");
        Ok(())
    }
}
