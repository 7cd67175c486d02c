//! The connector for one Keycloak realm, over the Admin REST API with a service account.
//!
//! A client's id at Keycloak is derived from the operation that creates it; mark, registrations and what the client had
//! before them are attributes of the client.

mod api;
mod check;
mod config;
mod grants;
mod list;
mod map;

use std::time::Duration;

pub use api::Client as Handle;
pub use config::Config;
use dcr_connector::config::Problems;
use dcr_connector::fault::{Fault, Outcome};
use dcr_connector::model::{
    Adjustment, Capability, ClientId, ClientUpdate, Deadline, Field, Finding, Installation,
    Malformed, ManagedClients, NewClient, OperationId, Origin, Page, Registration, SecretMetadata,
};
use dcr_connector::{
    Created, Found, FoundByOperation, GrantMap, Idp, Mark, Owned, Registrations, Rotated, Settings,
    Traits, fault,
};
use jiff::Timestamp;

use crate::api::{Api, Assigned};
use crate::config::{Grant, MissingScopes};
use crate::grants::{Absent, Change};
use crate::list::Place;
use crate::map::fitting::adjustments;
use crate::map::scopes::Before;
use crate::map::{scopes, secrets};

/// One Keycloak realm, as a connector speaks to it.
#[derive(Debug)]
pub struct Keycloak {
    api: Api,
    own_client_id: String,
    missing_scopes: MissingScopes,
    grants: GrantMap<Grant>,
}

impl Keycloak {
    /// Settles which scopes a new client is assigned. Unless scopes are asked for, the realm's own choice stands.
    async fn assign_scopes(
        &self,
        deadline: Deadline,
        client: &NewClient,
        new: &mut api::NewClient<'_>,
    ) -> Result<(), Fault> {
        let requested = scopes::requested(client);
        if requested.is_empty() {
            return Ok(());
        }
        // Keycloak takes both lists or none: with one alone the client would lose the realm's.
        let (realm, defaults, optionals) = tokio::try_join!(
            self.api.scopes(deadline),
            self.api.realm_scopes(deadline, Assigned::Default),
            self.api.realm_scopes(deadline, Assigned::Optional),
        )?;
        let missing = scopes::missing(client, &realm);
        if !missing.is_empty() {
            match self.missing_scopes {
                MissingScopes::Refuse => return Err(Fault::invalid(missing)),
                MissingScopes::Create => {
                    for scope in &requested {
                        if realm.iter().all(|known| known.name != **scope) {
                            self.api.create_scope(deadline, scope).await?;
                        }
                    }
                }
            }
        }
        let (defaults, optionals) = scopes::assigned(&requested, defaults, optionals);
        new.default_client_scopes = Some(defaults);
        new.optional_client_scopes = Some(optionals);
        Ok(())
    }

    /// Changes members of a client, unless Keycloak would replace its secret as well.
    async fn change(
        &self,
        deadline: Deadline,
        client: &Handle,
        members: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Fault> {
        secrets::may_be_updated(client, Timestamp::now())?;
        self.api.update(deadline, client, members).await
    }

    /// Reads a new client back: its secret, and whether it has what was asked for. Keycloak drops a scope that it does
    /// not know with a 201.
    async fn read_back(
        &self,
        deadline: Deadline,
        id: &str,
        client: &NewClient,
    ) -> Result<api::Client, Fault> {
        let made = self.api.read(deadline, id).await?;
        let lists = [&made.default_client_scopes, &made.optional_client_scopes];
        let dropped = scopes::requested(client).into_iter().find(|scope| {
            lists
                .iter()
                .all(|list| list.iter().all(|known| known != scope))
        });
        match dropped {
            None => Ok(made),
            Some(scope) => {
                let rule = format!("holds {scope}, which Keycloak did not assign to the client");
                let rule = Malformed::new(rule);
                Err(Fault::invalid(vec![fault::Violation::new(
                    Field::Scopes,
                    &rule,
                )]))
            }
        }
    }
}

impl Idp for Keycloak {
    const NAME: &'static str = "keycloak";
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
        self.api.issuer()
    }

    fn own_credential(&self) -> Option<&str> {
        Some(&self.own_client_id)
    }

    async fn check(&self, deadline: Deadline) -> Vec<Finding> {
        check::check(&self.api, &self.own_client_id, &self.grants.all(), deadline).await
    }

    async fn find(
        &self,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> Result<Option<Found<Handle>>, Fault> {
        let client = self.api.find(deadline, client_id.as_str()).await?;
        Ok(client.map(map::found))
    }

    async fn find_by_operation(
        &self,
        deadline: Deadline,
        operation: OperationId,
    ) -> Result<Option<FoundByOperation<Handle>>, Fault> {
        let client_id = operation.client_id();
        let client = self.api.find(deadline, &client_id).await?;
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
        let mut new = map::new_client(mark, client)?;
        self.assign_scopes(deadline, client, &mut new).await?;
        let id = self.api.create(deadline, &new).await?;
        let made = self.read_back(deadline, &id, client).await;
        let secret = made.and_then(|made| {
            let none = || Fault::internal("a new client has no secret");
            let expires_at = secrets::expiry(&made);
            Ok((made.client_id, made.secret.ok_or_else(none)?, expires_at))
        });
        match secret {
            Ok((client_id, secret, expires_at)) => Ok(Created {
                client_id,
                secret,
                secret_id: None,
                issued_at: None,
                secret_expires_at: expires_at,
                adjustments: adjustments(Some(&client.name), client.description.as_ref()),
            }),
            // It was made and cannot be delivered: an unknown outcome has it removed.
            Err(fault) => Err(fault.outcome(Outcome::Unknown)),
        }
    }

    async fn write_mark(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        mark: &Mark,
    ) -> Result<(), Fault> {
        let mark = mark
            .attributes()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        self.change(deadline, client.handle(), map::attributes(mark))
            .await
    }

    async fn delete(&self, deadline: Deadline, client: &Owned<Handle>) -> Result<(), Fault> {
        self.api.delete(deadline, &client.handle().id).await
    }

    async fn update(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        update: &ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        let members = map::update(update)?;
        self.change(deadline, client.handle(), members).await?;
        Ok(adjustments(
            update.name.as_ref(),
            update.description.as_ref(),
        ))
    }

    async fn rotate_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
    ) -> Result<Rotated, Fault> {
        let id = &client.handle().id;
        let secret = self.api.rotate(deadline, id).await?;
        // A client policy may keep the old one alive; after a rotation only the new one lives.
        self.api
            .forget_rotated(deadline, id)
            .await
            .map_err(|fault| {
                let message = "a new secret was made, and whether the old one is dead is not known";
                Fault::internal(message)
                    .outcome(Outcome::Unknown)
                    .because(fault)
            })?;
        Ok(Rotated {
            secret,
            secret_id: None,
            expires_at: None,
        })
    }

    async fn list_secrets(
        &self,
        _deadline: Deadline,
        client: &Owned<Handle>,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        Ok(secrets::secrets(client.handle(), Timestamp::now()))
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
        let (api, handle) = (&self.api, client.handle());
        let granted = self.grants.grants(added);
        let needed = self.grants.needed(after);
        let change =
            Change::plan(api, deadline, handle, &granted, &needed, Absent::Refused).await?;
        let kept: Vec<_> = [
            Registrations::attribute(added),
            Before::of(handle).attribute(),
        ]
        .into_iter()
        .chain(
            origin
                .attributes()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
        .collect();
        let is_kept = kept
            .iter()
            .all(|(name, value)| handle.attributes.get(name) == Some(value));
        let changes = !is_kept || change.moves_scopes();
        if !is_kept {
            self.change(deadline, handle, map::attributes(kept)).await?;
        }
        let granted = change.grant(api, deadline, handle).await;
        granted.map_err(halfway)?;
        Ok(changes)
    }

    async fn unregister(
        &self,
        deadline: Deadline,
        client: &Owned<Handle>,
        removed: &Registration,
        after: &Registrations,
    ) -> Result<(), Fault> {
        let (api, handle) = (&self.api, client.handle());
        let freed = self.grants.freed(removed, after);
        let needed = self.grants.needed(after);
        let change = Change::plan(api, deadline, handle, &freed, &needed, Absent::Skipped).await?;
        let gone = [(
            Registrations::attribute_name(&removed.entity),
            String::new(),
        )];
        let done = async {
            change.withdraw(api, deadline, handle).await?;
            self.change(deadline, handle, map::attributes(gone)).await
        };
        done.await.map_err(halfway)
    }

    async fn list_marked(
        &self,
        deadline: Deadline,
        installation: &Installation,
        page: &Page,
    ) -> Result<ManagedClients, Fault> {
        let place = page
            .token
            .as_deref()
            .map_or(Ok(Place::default()), Place::parse);
        let place = place
            .map_err(|rule| Fault::invalid(vec![fault::Violation::new(Field::Page, &rule)]))?;
        // A client can take 3 KB, and an answer may have 1 MiB.
        let size = usize::from(page.size).min(list::LARGEST_PAGE);
        let listed = list::after(&self.api, deadline, place, size).await?;
        let installation = installation.as_str();
        Ok(ManagedClients {
            complete: listed.complete,
            next: listed.next.map(|place| place.to_string()),
            // By attribute Keycloak searches only where it was told to at its start, so all clients are looked at.
            clients: listed
                .clients
                .into_iter()
                .filter_map(|client| map::managed(client, installation))
                .collect(),
        })
    }
}

/// A failure between several changes: some of them may have been made.
fn halfway(fault: Fault) -> Fault {
    fault.outcome(Outcome::Unknown)
}
