//! The connector for Ory Hydra, over its admin API.
//!
//! A client's id is derived from the operation that creates it; mark, registrations and what the client had before them
//! are members of its metadata. Hydra keeps one secret per client and takes the one that it is given.

mod api;
mod check;
mod config;
mod list;
mod map;

use std::time::Duration;

pub use api::Client as Handle;
pub use config::Config;
use dcr_connector::config::Problems;
use dcr_connector::fault::{Fault, Reason, Violation};
use dcr_connector::model::{
    Adjustment, Capability, ClientId, ClientUpdate, Deadline, Field, Finding, Installation,
    ManagedClients, NewClient, OperationId, Origin, Page, Registration, SecretMetadata,
};
use dcr_connector::{
    Created, Found, FoundByOperation, GrantMap, Idp, Mark, OAuthGrant, Owned, Registrations,
    Rotated, Settings, Traits, new_secret,
};

use crate::api::Api;
use crate::list::{LARGEST_PAGE, Place};

/// One Hydra, as a connector speaks to it.
#[derive(Debug)]
pub struct Hydra {
    api: Api,
    grants: GrantMap<OAuthGrant>,
}

impl Idp for Hydra {
    const NAME: &'static str = "hydra";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Config = Config;
    type Handle = Handle;

    fn open(config: Config, settings: &Settings) -> Result<Self, Problems> {
        config.open(settings)
    }

    fn traits(&self) -> Traits {
        Traits {
            capabilities: vec![
                Capability::RotateSecret,
                Capability::Update,
                Capability::Registrations,
                Capability::ListManaged,
                Capability::AbortCreate,
            ],
            max_secrets: Some(1),
            settle_after: Duration::from_secs(30),
        }
    }

    fn instance(&self) -> String {
        self.api.base().to_string()
    }

    /// Hydra's admin API knows no credential that is a client.
    fn own_credential(&self) -> Option<&str> {
        None
    }

    async fn check(&self, deadline: Deadline) -> Vec<Finding> {
        check::check(&self.api, deadline).await
    }

    async fn find(
        &self,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> Result<Option<Found<Handle>>, Fault> {
        let client = self.api.get(deadline, client_id.as_str()).await?;
        Ok(client.map(map::found))
    }

    async fn find_by_operation(
        &self,
        deadline: Deadline,
        operation: OperationId,
    ) -> Result<Option<FoundByOperation<Handle>>, Fault> {
        let client_id = operation.client_id();
        let client = self.api.get(deadline, &client_id).await?;
        Ok(client.map(|client| FoundByOperation {
            client_id,
            found: map::found(client),
        }))
    }

    async fn create(
        &self,
        deadline: Deadline,
        mark: &Mark,
        client: &NewClient,
    ) -> Result<Created, Fault> {
        let new = map::new_client(mark, client)?;
        let made = self.api.create(deadline, &new).await?;
        let none =
            || Fault::internal("a new client has no secret").reason(Reason::IdpAnswerUnusable);
        Ok(Created {
            client_id: made.client_id,
            secret: made.client_secret.ok_or_else(none)?,
            secret_id: None,
            issued_at: made.created_at,
            secret_expires_at: None,
            adjustments: map::adjustments(client),
        })
    }

    async fn write_mark(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        mark: &Mark,
    ) -> Result<(), Fault> {
        let changes = map::marking(client.handle(), mark)?;
        self.api.patch(deadline, client.client_id(), &changes).await
    }

    async fn delete(&self, deadline: Deadline, client: &Owned<Handle>) -> Result<(), Fault> {
        self.api.delete(deadline, client.client_id()).await
    }

    async fn update(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        update: &ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        let changes = map::update(client.handle(), update)?;
        self.api
            .patch(deadline, client.client_id(), &changes)
            .await?;
        Ok(Vec::new())
    }

    async fn rotate_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
    ) -> Result<Rotated, Fault> {
        let secret = new_secret()?;
        self.api
            .set_secret(deadline, client.client_id(), &secret)
            .await?;
        Ok(Rotated {
            secret,
            secret_id: None,
            expires_at: None,
        })
    }

    async fn list_secrets(
        &self,
        _deadline: Deadline,
        _client: &Owned<Handle>,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        Ok(map::secret().into_iter().collect())
    }

    fn maps(&self, registration: &Registration) -> bool {
        !self.grants.grants(registration).is_empty()
    }

    async fn register(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        added: &Registration,
        after: &Registrations,
        origin: &Origin,
    ) -> Result<bool, Fault> {
        let needed = self.grants.needed(after);
        let changes = map::register(client.handle(), added, &needed, origin)?;
        if changes.is_empty() {
            return Ok(false);
        }
        self.api
            .patch(deadline, client.client_id(), &changes)
            .await?;
        Ok(true)
    }

    async fn unregister(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        removed: &Registration,
        after: &Registrations,
    ) -> Result<(), Fault> {
        let freed = self.grants.freed(removed, after);
        let changes = map::unregister(client.handle(), removed, &freed)?;
        self.api.patch(deadline, client.client_id(), &changes).await
    }

    async fn list_marked(
        &self,
        deadline: Deadline,
        installation: &Installation,
        page: &Page,
    ) -> Result<ManagedClients, Fault> {
        let owner = map::owner(installation);
        let wanted = usize::from(page.size).min(LARGEST_PAGE);
        let place = match page.token.as_deref() {
            None => Place::first(owner, wanted),
            Some(token) => Place::parse(token, &owner)
                .map_err(|rule| Fault::invalid(vec![Violation::new(Field::Page, &rule)]))?,
        };
        let listed = list::page(&self.api, deadline, place, wanted).await?;
        let clients = listed.clients.into_iter();
        Ok(ManagedClients {
            clients: clients
                .filter_map(|client| map::managed(client, installation))
                .collect(),
            next: listed.next.map(|place| place.to_string()),
            complete: listed.complete,
        })
    }
}
