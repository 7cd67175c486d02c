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

pub(crate) const SETTLE_AFTER: Duration = Duration::from_secs(30);

/// Clones are the same IdP.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    /// Whether an added secret is found by its operation.
    pub(crate) labels: bool,
    /// Whether secrets can be added.
    pub(crate) adds: bool,
    /// One permit for each change that may be made.
    pub(crate) gate: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) clients: Vec<(String, Mark)>,
    pub(crate) secrets: Vec<(String, OperationId)>,
    /// How many clients were made.
    pub(crate) made: usize,
    /// The id of the next client.
    pub(crate) id: &'static str,
    /// Whether the answers to changes are lost.
    pub(crate) loses_answers: bool,
    /// Whether the next searches by operation show what is there; later ones do.
    pub(crate) shows: VecDeque<bool>,
    /// How often it was searched by operation.
    pub(crate) searches: usize,
    /// The client that cannot be deleted.
    pub(crate) stuck: &'static str,
    /// Whether the list of clients never ends, though each page has a token of its own.
    pub(crate) is_endless: bool,
    /// How many pages of the list were read.
    pub(crate) pages: usize,
    /// Whether reading the list panics.
    pub(crate) panics: bool,
    /// What an examination finds.
    pub(crate) findings: Vec<Finding>,
    /// How often it was examined.
    pub(crate) checks: usize,
}

impl Scripted {
    pub(crate) fn new(labels: bool) -> Self {
        let table = Table {
            id: "made",
            ..Table::default()
        };
        Self {
            labels,
            adds: true,
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            table: Arc::new(Mutex::new(table)),
        }
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
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
        let adds = self.adds.then_some(Capability::AddSecret);
        let labels = self.labels.then_some(Capability::AbortAddSecret);
        Traits {
            capabilities: adds.into_iter().chain(labels).collect(),
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
        let mut table = self.table();
        table.checks += 1;
        table.findings.clone()
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
        table.made += 1;
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
        if !self.adds {
            return Err(Fault::unsupported("one secret"));
        }
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
        assert!(!table.panics, "as the test wants it");
        assert!(table.pages < 100_000, "it goes on for ever");
        let number = page.token.as_deref().map_or(0, |t| t.parse().unwrap());
        let client = table.clients.get(number).map(|(id, mark)| ManagedClient {
            client_id: ClientId::parse(id).unwrap(),
            provider_id: mark.caller.provider_id.clone(),
            operation_id: mark.operation_id,
            created_at: None,
            probe: mark.probe,
        });
        let is_last = client.is_none();
        Ok(ManagedClients {
            clients: client.into_iter().collect(),
            next: (table.is_endless || !is_last).then(|| (number + 1).to_string()),
            complete: true,
        })
    }
}
