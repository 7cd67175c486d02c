//! The connector for the small identity provider of this repository.
//!
//! This file is the order of calls, `api` the IdP's JSON and paths, `map` what becomes of the model in it and back,
//! `config` the operator's section of the configuration.

mod api;
mod config;
mod map;

use std::time::Duration;

pub use api::Client as Handle;
pub use config::Config;
use dcr_connector::config::Problems;
use dcr_connector::fault::{Fault, FaultKind, Reason};
use dcr_connector::http::Client;
use dcr_connector::model::{
    Adjustment, Capability, ClientId, ClientUpdate, Deadline, Finding, Installation, Malformed,
    ManagedClients, NewClient, OperationId, Origin, Page, Registration, Removal, SecretId,
    SecretMetadata, Severity,
};
use dcr_connector::{
    Added, Created, Found, FoundByOperation, GrantMap, Idp, Mark, OAuthGrant, Owned, Registrations,
    Rotated, Settings, Traits,
};

/// The most live secrets of a client.
pub const MAX_SECRETS: u32 = 2;

/// One small identity provider.
#[derive(Debug)]
pub struct Memory {
    http: Client,
    own_client_id: String,
    grants: GrantMap<OAuthGrant>,
}

impl Idp for Memory {
    const NAME: &'static str = "memory";
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
                Capability::AddSecret,
                Capability::RemoveSecret,
                Capability::Update,
                Capability::Registrations,
                Capability::ListManaged,
                Capability::AbortCreate,
                Capability::AbortAddSecret,
            ],
            max_secrets: Some(MAX_SECRETS),
            settle_after: Duration::from_secs(30),
        }
    }

    fn instance(&self) -> String {
        self.http.base().to_string()
    }

    fn own_credential(&self) -> Option<&str> {
        Some(&self.own_client_id)
    }

    async fn check(&self, deadline: Deadline) -> Vec<Finding> {
        let own = api::get(&self.http, deadline, &self.own_client_id).await;
        let finding = match own {
            Ok(_) => {
                let sentence =
                    "The identity provider answers and accepts the connector's credential.";
                Finding::new(Severity::Ok, "ADMIN_API", sentence)
            }
            Err(fault) => {
                let (code, advice) = match (fault.kind(), fault.why()) {
                    (_, Reason::IdpCredentialRefused) => (
                        "CREDENTIAL_REFUSED",
                        "check idp.client_id and idp.client_secret_file",
                    ),
                    (FaultKind::Refused, _) => {
                        ("RIGHT_MISSING", "the client needs the scope admin")
                    }
                    _ => (
                        "UNREACHABLE",
                        "check idp.base_url and that the provider runs",
                    ),
                };
                Finding::new(Severity::Error, code, &format!("{advice}: {fault}"))
            }
        };
        vec![finding]
    }

    async fn find(
        &self,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> Result<Option<Found<Handle>>, Fault> {
        let client = api::get(&self.http, deadline, client_id.as_str()).await?;
        Ok(client.map(map::found))
    }

    async fn find_by_operation(
        &self,
        deadline: Deadline,
        operation: OperationId,
    ) -> Result<Option<FoundByOperation<Handle>>, Fault> {
        let client_id = operation.client_id();
        let client = api::get(&self.http, deadline, &client_id).await?;
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
        let client = map::new_client(mark, client)?;
        let created = api::create(&self.http, deadline, &client).await?;
        let secret = created.secret;
        Ok(Created {
            client_id: created.client_id,
            secret: secret.client_secret,
            secret_id: Some(secret.secret_id),
            issued_at: Some(secret.created_at),
            secret_expires_at: None,
            adjustments: Vec::new(),
        })
    }

    async fn write_mark(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        mark: &Mark,
    ) -> Result<(), Fault> {
        api::update(
            &self.http,
            deadline,
            client.client_id(),
            &map::marking(mark),
        )
        .await
    }

    async fn delete(&self, deadline: Deadline, client: &Owned<Handle>) -> Result<(), Fault> {
        api::delete(&self.http, deadline, client.client_id()).await
    }

    async fn update(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        update: &ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        api::update(
            &self.http,
            deadline,
            client.client_id(),
            &map::update(update),
        )
        .await?;
        Ok(Vec::new())
    }

    async fn rotate_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
    ) -> Result<Rotated, Fault> {
        let new = api::rotate(&self.http, deadline, client.client_id()).await?;
        Ok(Rotated {
            secret: new.client_secret,
            secret_id: Some(new.secret_id),
            expires_at: None,
        })
    }

    async fn list_secrets(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        let secrets = api::secrets(&self.http, deadline, client.client_id()).await?;
        secrets
            .iter()
            .map(map::secret)
            .collect::<Result<_, _>>()
            .map_err(|rule| unusable_id(&rule))
    }

    async fn add_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        operation: OperationId,
    ) -> Result<Added, Fault> {
        let label = operation.to_string();
        let new = api::add_secret(&self.http, deadline, client.client_id(), &label).await?;
        Ok(Added {
            secret_id: new.secret_id,
            secret: new.client_secret,
            created_at: Some(new.created_at),
            expires_at: None,
        })
    }

    async fn find_secret_by_operation(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        operation: OperationId,
    ) -> Result<Option<SecretId>, Fault> {
        let label = operation.to_string();
        let secrets = api::secrets(&self.http, deadline, client.client_id()).await?;
        let labelled = secrets
            .iter()
            .find(|secret| secret.label.as_ref() == Some(&label));
        labelled
            .map(|secret| map::secret(secret).map(|secret| secret.secret_id))
            .transpose()
            .map_err(|rule| unusable_id(&rule))
    }

    async fn remove_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        secret_id: &SecretId,
    ) -> Result<Removal, Fault> {
        let (http, id) = (&self.http, client.client_id());
        let was_there = api::remove_secret(http, deadline, id, secret_id.as_str()).await?;
        Ok(if was_there {
            Removal::Removed
        } else {
            Removal::Absent
        })
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
        _origin: &Origin,
    ) -> Result<bool, Fault> {
        let needed = self.grants.needed(after);
        let Some(patch) = map::register(client.handle(), added, &needed) else {
            return Ok(false);
        };
        api::update(&self.http, deadline, client.client_id(), &patch).await?;
        Ok(true)
    }

    async fn unregister(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        removed: &Registration,
        after: &Registrations,
    ) -> Result<(), Fault> {
        let patch = map::unregister(client.handle(), removed, &self.grants.freed(removed, after));
        api::update(&self.http, deadline, client.client_id(), &patch).await
    }

    async fn list_marked(
        &self,
        deadline: Deadline,
        installation: &Installation,
        page: &Page,
    ) -> Result<ManagedClients, Fault> {
        let mark = (Mark::INSTALLATION, installation.as_str());
        let api::Clients { clients, next } = api::list(&self.http, deadline, mark, page).await?;
        Ok(ManagedClients {
            clients: clients.into_iter().filter_map(map::managed).collect(),
            complete: next.is_none(),
            next,
        })
    }
}

fn unusable_id(rule: &Malformed) -> Fault {
    Fault::internal(format!("the id of a secret {rule}")).reason(Reason::IdpAnswerUnusable)
}
