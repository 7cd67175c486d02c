//! An IdP in memory whose reads lag and whose answers are what a test wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::config::Problems;
use crate::fault::{Fault, FaultKind};
use crate::grants::Registrations;
use crate::idp::{Added, Created, Found, FoundByOperation, Idp, Rotated, Traits};
use crate::managed::Owned;
use crate::mark::{Mark, Marked};
use crate::model::{
    Adjustment, Capability, ClientId, ClientUpdate, Deadline, Finding, Installation, ManagedClient,
    ManagedClients, NewClient, OperationId, Page, Removal, SecretId, SecretMetadata,
};
use crate::settings::Settings;

pub(super) const SETTLE_AFTER: Duration = Duration::from_secs(30);

/// Clones are the same IdP.
#[derive(Debug, Clone)]
pub(super) struct Scripted {
    /// Whether an added secret is found by its operation.
    pub(super) labels: bool,
    /// One permit for each change that may be made.
    pub(super) gate: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) clients: Vec<(String, Mark)>,
    pub(super) secrets: Vec<(String, OperationId)>,
    /// The id of the next client.
    pub(super) id: &'static str,
    /// Whether the answers to changes are lost.
    pub(super) loses_answers: bool,
    /// Whether the next searches by operation show what is there; later ones do.
    pub(super) shows: VecDeque<bool>,
    /// How often it was searched by operation.
    pub(super) searches: usize,
    /// The client that cannot be deleted.
    pub(super) stuck: &'static str,
    /// Whether the list of clients never ends.
    pub(super) is_circle: bool,
    /// How many pages of the list were read.
    pub(super) pages: usize,
}

impl Scripted {
    pub(super) fn new(labels: bool) -> Self {
        let table = Table {
            id: "made",
            ..Table::default()
        };
        Self {
            labels,
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            table: Arc::new(Mutex::new(table)),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn may_go_on(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

fn found(mark: &Mark) -> Found<()> {
    Found {
        handle: (),
        mark: Marked::Yes(mark.clone()),
        registrations: Registrations::default(),
    }
}

impl Table {
    fn shows(&mut self) -> bool {
        self.searches += 1;
        self.shows.pop_front().unwrap_or(true)
    }

    fn answered<T>(&self, answer: T) -> Result<T, Fault> {
        if self.loses_answers {
            return Err(Fault::new(FaultKind::TimedOut, "lost"));
        }
        Ok(answer)
    }
}

impl Idp for Scripted {
    const NAME: &'static str = "scripted";
    const VERSION: &'static str = "1";
    type Config = ();
    type Handle = ();

    fn open((): (), settings: &Settings) -> Result<Self, Problems> {
        Err(settings.problems())
    }

    fn traits(&self) -> Traits {
        let capabilities = self.labels.then_some(Capability::AbortAddSecret);
        Traits {
            capabilities: capabilities.into_iter().collect(),
            max_secrets: None,
            settle_after: SETTLE_AFTER,
        }
    }

    fn instance(&self) -> String {
        "memory".to_owned()
    }

    fn own_credential(&self) -> Option<&str> {
        None
    }

    async fn check(&self, _: Deadline) -> Vec<Finding> {
        Vec::new()
    }

    async fn find(&self, _: Deadline, id: &ClientId) -> Result<Option<Found<()>>, Fault> {
        let table = self.table();
        let mut clients = table.clients.iter();
        let client = clients.find(|(client, _)| client == id.as_str());
        Ok(client.map(|(_, mark)| found(mark)))
    }

    async fn find_by_operation(
        &self,
        _: Deadline,
        operation: OperationId,
    ) -> Result<Option<FoundByOperation<()>>, Fault> {
        let mut table = self.table();
        if !table.shows() {
            return Ok(None);
        }
        let mut clients = table.clients.iter();
        let client = clients.find(|(_, mark)| mark.operation_id == operation);
        Ok(client.map(|(id, mark)| FoundByOperation {
            client_id: id.clone(),
            found: found(mark),
        }))
    }

    async fn create(&self, _: Deadline, mark: &Mark, _: &NewClient) -> Result<Created, Fault> {
        self.may_go_on().await;
        let mut table = self.table();
        let id = table.id.to_owned();
        table.clients.push((id.clone(), mark.clone()));
        table.answered(Created {
            client_id: id,
            secret: "a-secret".to_owned().into(),
            secret_id: None,
            issued_at: None,
            secret_expires_at: None,
            adjustments: Vec::new(),
        })
    }

    async fn write_mark(&self, _: Deadline, _: &Owned<()>, _: &Mark) -> Result<(), Fault> {
        Err(Fault::unsupported("not asked"))
    }

    async fn delete(&self, _: Deadline, client: &Owned<()>) -> Result<(), Fault> {
        let mut table = self.table();
        if table.stuck == client.client_id() {
            return Err(Fault::new(FaultKind::TimedOut, "lost"));
        }
        table.clients.retain(|(id, _)| id != client.client_id());
        Ok(())
    }

    async fn update(
        &self,
        _: Deadline,
        _: &Owned<()>,
        _: &ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        Err(Fault::unsupported("not asked"))
    }

    async fn rotate_secret(&self, _: Deadline, _: &Owned<()>) -> Result<Rotated, Fault> {
        Err(Fault::unsupported("not asked"))
    }

    async fn list_secrets(&self, _: Deadline, _: &Owned<()>) -> Result<Vec<SecretMetadata>, Fault> {
        Ok(Vec::new())
    }

    async fn add_secret(
        &self,
        _: Deadline,
        _: &Owned<()>,
        operation: OperationId,
    ) -> Result<Added, Fault> {
        self.may_go_on().await;
        let mut table = self.table();
        let secret_id = format!("secret-{}", operation.simple());
        table.secrets.push((secret_id.clone(), operation));
        table.answered(Added {
            secret_id,
            secret: "a-secret".to_owned().into(),
            created_at: None,
            expires_at: None,
        })
    }

    async fn find_secret_by_operation(
        &self,
        _: Deadline,
        _: &Owned<()>,
        operation: OperationId,
    ) -> Result<Option<SecretId>, Fault> {
        let mut table = self.table();
        if !self.labels || !table.shows() {
            return Ok(None);
        }
        let mut secrets = table.secrets.iter();
        let secret = secrets.find(|(_, by)| *by == operation);
        Ok(secret.map(|(id, _)| SecretId::parse(id).unwrap()))
    }

    async fn remove_secret(
        &self,
        _: Deadline,
        _: &Owned<()>,
        secret_id: &SecretId,
    ) -> Result<Removal, Fault> {
        let mut table = self.table();
        table.secrets.retain(|(id, _)| id != secret_id.as_str());
        Ok(Removal::Removed)
    }

    /// One client a page.
    async fn list_marked(
        &self,
        _: Deadline,
        _: &Installation,
        page: &Page,
    ) -> Result<ManagedClients, Fault> {
        self.may_go_on().await;
        let mut table = self.table();
        table.pages += 1;
        assert!(table.pages < 10, "it goes on for ever");
        let number = page.token.as_deref().map_or(0, |t| t.parse().unwrap());
        let client = table.clients.get(number).map(|(id, mark)| ManagedClient {
            client_id: ClientId::parse(id).unwrap(),
            provider_id: mark.caller.provider_id.clone(),
            operation_id: mark.operation_id,
            created_at: None,
            probe: mark.probe,
        });
        let is_last = client.is_none();
        let next = if is_last { 0 } else { number + 1 };
        Ok(ManagedClients {
            clients: client.into_iter().collect(),
            next: (table.is_circle || !is_last).then(|| next.to_string()),
            complete: true,
        })
    }
}
