//! A connector that does what the client's name tells it, and tells what it was asked to undo.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dcr_contract::model::{
    Abort, AbortTarget, AddedSecret, Adjustment, Call, ClientId, ClientSecret, ClientUpdate,
    ConnectorInfo, CreatedClient, Deadline, Deletion, Finding, ManagedClients, NewClient,
    OperationId, Origin, Page, Registration, RegistrationChange, Removal, RotatedSecret, SecretId,
    SecretMetadata,
};
use dcr_contract::{Connector, Fault, FaultKind, Outcome};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Create(OperationId),
    AddSecret(OperationId),
    Abort(OperationId, AbortTarget),
}

/// Aborts that wait until the test lets them go.
#[derive(Debug)]
pub(super) struct Held {
    /// A permit lets one go.
    pub(super) released: Semaphore,
    waiting: AtomicUsize,
    /// How many have waited at once.
    pub(super) most: AtomicUsize,
}

impl Held {
    async fn wait(&self) {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(waiting, Ordering::SeqCst);
        self.released.acquire().await.unwrap().forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(super) struct Obedient {
    seen: UnboundedSender<Seen>,
    held: Arc<Held>,
    /// Whether it has accepted what it no longer knows of.
    forgetful: AtomicBool,
}

impl Obedient {
    pub(super) fn new(seen: UnboundedSender<Seen>) -> Self {
        Self {
            seen,
            held: Arc::new(Held {
                released: Semaphore::new(0),
                waiting: AtomicUsize::new(0),
                most: AtomicUsize::new(0),
            }),
            forgetful: AtomicBool::new(false),
        }
    }

    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    fn saw(&self, seen: Seen) {
        self.seen.send(seen).unwrap();
    }
}

/// Does what a name asks for.
async fn obey(name: &str) -> Result<(), Fault> {
    match name {
        "silent" => std::future::pending().await,
        "lost" | "held" | "cannot" | "left" | "forgetful" => {
            Err(Fault::new(FaultKind::TimedOut, "lost"))
        }
        "applied" => Err(Fault::internal("made, but not told").outcome(Outcome::Applied)),
        "limit" => Err(Fault::new(FaultKind::Limit, "full").saying("No more clients.")),
        _ => Ok(()),
    }
}

fn secret() -> ClientSecret {
    ClientSecret::parse("a-secret".to_owned().into()).unwrap()
}

impl Connector for Obedient {
    async fn describe(&self, _: Deadline) -> Result<ConnectorInfo, Fault> {
        Err(Fault::unsupported("not asked"))
    }

    async fn check(&self, _: Deadline) -> Result<Vec<Finding>, Fault> {
        Err(Fault::unsupported("not asked"))
    }

    async fn create_client(
        &self,
        _: &Call,
        operation: OperationId,
        client: NewClient,
    ) -> Result<CreatedClient, Fault> {
        self.saw(Seen::Create(operation));
        obey(client.name.as_str()).await?;
        Ok(CreatedClient {
            client_id: ClientId::parse("made").unwrap(),
            secret: secret(),
            secret_id: None,
            issued_at: None,
            secret_expires_at: None,
            adjustments: Vec::new(),
        })
    }

    async fn delete_client(
        &self,
        _: &Call,
        _: OperationId,
        id: &ClientId,
    ) -> Result<Deletion, Fault> {
        obey(id.as_str()).await?;
        match id.as_str() {
            "absent" => Ok(Deletion::Absent),
            "imported" => Ok(Deletion::LeftInPlace),
            _ => Ok(Deletion::Deleted),
        }
    }

    async fn rotate_client_secret(
        &self,
        _: &Call,
        _: OperationId,
        id: &ClientId,
    ) -> Result<RotatedSecret, Fault> {
        obey(id.as_str()).await?;
        Ok(RotatedSecret {
            secret: secret(),
            secret_id: None,
            expires_at: None,
        })
    }

    async fn list_client_secrets(
        &self,
        _: &Call,
        _: &ClientId,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        Ok(Vec::new())
    }

    async fn add_client_secret(
        &self,
        _: &Call,
        operation: OperationId,
        id: &ClientId,
    ) -> Result<AddedSecret, Fault> {
        self.saw(Seen::AddSecret(operation));
        obey(id.as_str()).await?;
        Ok(AddedSecret {
            secret_id: SecretId::parse("s-1").unwrap(),
            secret: secret(),
            created_at: None,
            expires_at: None,
        })
    }

    async fn remove_client_secret(
        &self,
        _: &Call,
        _: OperationId,
        _: &ClientId,
        _: &SecretId,
    ) -> Result<Removal, Fault> {
        Ok(Removal::Absent)
    }

    async fn update_client(
        &self,
        _: &Call,
        _: OperationId,
        _: &ClientId,
        _: ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        Ok(Vec::new())
    }

    async fn add_registration(
        &self,
        _: &Call,
        _: OperationId,
        _: &ClientId,
        _: Registration,
        _: Origin,
    ) -> Result<RegistrationChange, Fault> {
        Ok(RegistrationChange::NotMapped)
    }

    async fn remove_registration(
        &self,
        _: &Call,
        _: OperationId,
        _: &ClientId,
        _: Registration,
        _: Origin,
    ) -> Result<RegistrationChange, Fault> {
        Ok(RegistrationChange::Unchanged)
    }

    async fn abort_operation(
        &self,
        _: &Call,
        operation: OperationId,
        target: AbortTarget,
    ) -> Result<Abort, Fault> {
        self.saw(Seen::Abort(operation, target.clone()));
        let AbortTarget::AddSecret(id) = target else {
            return Ok(Abort::Accepted);
        };
        match id.as_str() {
            "silent" => std::future::pending().await,
            "held" => {
                self.held.wait().await;
                Ok(Abort::Undone)
            }
            "cannot" => Ok(Abort::Cannot),
            "left" => Ok(Abort::Left),
            "forgetful" if self.forgetful.swap(true, Ordering::Relaxed) => Ok(Abort::Cannot),
            _ => Ok(Abort::Accepted),
        }
    }

    async fn list_managed_clients(&self, _: &Call, _: Page) -> Result<ManagedClients, Fault> {
        Err(Fault::unsupported("not asked"))
    }
}
