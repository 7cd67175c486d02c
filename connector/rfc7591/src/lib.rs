//! The connector for any IdP that registers clients as RFC 7591 has it and, where it can, manages them as RFC 7592 has
//! it.
//!
//! Such a server holds no mark of ours and lists nothing, so the store is the mark: what it does not know is not ours.
//! What the server does beyond the RFCs is configuration (`behaviour`), learned on throw-away clients (`probe`).

mod api;
mod behaviour;
mod change;
mod check;
mod config;
mod create;
mod delete;
mod discovery;
mod kept;
mod map;
mod metadata;
mod probe;

use std::collections::BTreeSet;
use std::time::Duration;

pub use config::Config;
use dcr_connector::config::Problems;
use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::model::{
    Adjustment, Capability, ClientId, ClientUpdate, Deadline, Finding, Installation,
    ManagedClients, NewClient, OperationId, Origin, Page, Registration, SecretId, SecretMetadata,
    SecretStatus,
};
use dcr_connector::store::{Lookup, Row, Store, Stored};
use dcr_connector::{
    Created, Found, FoundByOperation, GrantMap, Idp, Mark, Marked, Owned, Registrations, Rotated,
    Settings, Traits,
};

use crate::api::{Api, Management, OwnCredential};
use crate::behaviour::Behaviour;
use crate::change::{Change, Registered, Secret};
use crate::config::UnauthorizedMeans;
use crate::kept::Kept;
use crate::map::Mapping;
use crate::metadata::{Information, Metadata};

/// The most registrations of a client: all of them are in its row.
const MOST_REGISTRATIONS: usize = 500;
/// The id of the one secret that such a server keeps.
const SECRET_ID: &str = "current";

/// One authorization server, as a connector speaks to it.
#[derive(Debug)]
pub struct Rfc7591 {
    api: Api,
    store: Store,
    behaviour: Behaviour,
    unauthorized_means: UnauthorizedMeans,
    mapping: Mapping,
    grants: GrantMap<String>,
}

impl Rfc7591 {
    fn is_managed(&self) -> bool {
        !matches!(self.api.management(), Management::Unsupported)
    }

    fn can_delete(&self) -> bool {
        self.is_managed() && self.behaviour.can_delete()
    }

    /// What the store has of a client, as the rest of the bridge knows it.
    fn known(found: Lookup) -> Option<Found<Row>> {
        match found {
            Lookup::Row(row) => Some(Found {
                mark: Marked::Yes(row.mark.clone()),
                registrations: row.registrations.clone(),
                handle: *row,
            }),
            Lookup::Tombstone | Lookup::Unknown => None,
        }
    }
}

impl Stored for Rfc7591 {
    fn store(&self) -> &Store {
        &self.store
    }
}

impl Idp for Rfc7591 {
    const NAME: &'static str = "rfc7591";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Config = Config;
    type Handle = Row;

    fn open(config: Config, settings: &Settings) -> Result<Self, Problems> {
        config.open(settings)
    }

    fn traits(&self) -> Traits {
        let updates = self.is_managed() && self.behaviour.update().is_some();
        let rotates = self.is_managed() && self.behaviour.can_rotate();
        let capabilities = [
            (true, Capability::ListManaged),
            (updates, Capability::Update),
            (updates, Capability::Registrations),
            (rotates, Capability::RotateSecret),
            (self.can_delete(), Capability::AbortCreate),
        ];
        Traits {
            capabilities: capabilities
                .into_iter()
                .filter_map(|(can, capability)| can.then_some(capability))
                .collect(),
            max_secrets: Some(1),
            settle_after: Duration::from_secs(30),
        }
    }

    fn instance(&self) -> String {
        self.api.instance()
    }

    fn own_credential(&self) -> Option<&str> {
        // A second one is as safe: what is not in the store is never touched.
        let own = match (self.api.registration(), self.api.management()) {
            (api::Registration::Credential { credential, .. }, _)
            | (_, Management::Credential(credential)) => Some(credential),
            _ => None,
        };
        own.map(|OwnCredential { client_id, .. }| client_id.as_str())
    }

    async fn check(&self, deadline: Deadline) -> Vec<Finding> {
        check::check(self, deadline).await
    }

    async fn probe(&self, deadline: Deadline) -> Vec<Finding> {
        probe::probe(self, deadline).await
    }

    async fn find(
        &self,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> Result<Option<Found<Row>>, Fault> {
        let found = self.store.find(deadline, client_id).await?;
        Ok(Self::known(found))
    }

    async fn find_by_operation(
        &self,
        deadline: Deadline,
        operation: OperationId,
    ) -> Result<Option<FoundByOperation<Row>>, Fault> {
        let found = self.store.find_by_operation(deadline, operation).await?;
        Ok(Self::known(found).map(|found| FoundByOperation {
            client_id: found.handle.client_id.clone(),
            found,
        }))
    }

    async fn create(
        &self,
        deadline: Deadline,
        mark: &Mark,
        client: &NewClient,
    ) -> Result<Created, Fault> {
        self.register_client(deadline, mark, client).await
    }

    async fn write_mark(
        &self,
        _deadline: Deadline,
        _client: &Owned<Row>,
        _mark: &Mark,
    ) -> Result<(), Fault> {
        // Nothing without a mark is ever found, so nobody gets here.
        Err(Fault::unsupported(
            "A client that the bridge did not register cannot be managed: the server gave it no token.",
        ))
    }

    async fn delete(&self, deadline: Deadline, client: &Owned<Row>) -> Result<(), Fault> {
        self.delete_client(deadline, client.handle()).await
    }

    async fn update(
        &self,
        deadline: Deadline,
        client: &Owned<Row>,
        update: &ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        self.sends(Secret::Stays)?;
        self.mapping
            .has_room(update.redirect_uris.as_deref().unwrap_or_default())?;
        if update.name.is_none() && update.redirect_uris.is_none() {
            return map::compare_update(update, &Metadata::new());
        }
        let change = Change {
            secret: Secret::Stays,
            registration: None,
            edit: &mut |kept, _| {
                self.mapping.apply(update, &mut kept.metadata);
                Ok(true)
            },
        };
        let changed = self.change(deadline, client.handle(), change).await?;
        map::compare_update(update, &changed.kept.metadata)
    }

    async fn rotate_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Row>,
    ) -> Result<Rotated, Fault> {
        let change = Change {
            secret: Secret::IsReplaced,
            registration: None,
            edit: &mut |_, _| Ok(true),
        };
        let changed = self.change(deadline, client.handle(), change).await?;
        let information = changed.information;
        let expires_at = information
            .as_ref()
            .and_then(Information::secret_expires_at);
        let secret = information.and_then(|information| information.client_secret);
        let Some(secret) = secret else {
            let message = "the server was to make a new secret and answered with none: run `check --probe` and correct \
                           idp.behaviour.put_secret";
            return Err(Fault::internal(message).reason(Reason::IdpAnswerUnusable));
        };
        Ok(Rotated {
            secret,
            secret_id: Some(SECRET_ID.to_owned()),
            expires_at,
        })
    }

    async fn list_secrets(
        &self,
        _deadline: Deadline,
        client: &Owned<Row>,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        let kept = Kept::from_json(&client.handle().metadata)?;
        let secret_id = SecretId::parse(SECRET_ID)
            .map_err(|rule| Fault::internal(format!("the id of the secret {rule}")))?;
        let is_over = kept
            .secret_expires_at
            .is_some_and(|end| end <= jiff::Timestamp::now());
        Ok(vec![SecretMetadata {
            secret_id,
            status: if is_over {
                SecretStatus::Inactive
            } else {
                SecretStatus::Active
            },
            created_at: None,
            expires_at: kept.secret_expires_at,
        }])
    }

    fn maps(&self, registration: &Registration) -> bool {
        !self.grants.grants(registration).is_empty()
    }

    async fn register(
        &self,
        deadline: Deadline,
        client: &Owned<Row>,
        added: &Registration,
        _after: &Registrations,
        _origin: &Origin,
    ) -> Result<bool, Fault> {
        let mut needed = BTreeSet::new();
        let change = Change {
            secret: Secret::Stays,
            registration: Some(Registered::Begins(added)),
            edit: &mut |kept, after| {
                if after.len() > MOST_REGISTRATIONS {
                    return Err(too_many_registrations());
                }
                needed = self.grants.needed(after);
                Ok(kept.grant(&needed))
            },
        };
        let changed = self.change(deadline, client.handle(), change).await?;
        if changed.information.is_none() {
            return Ok(changed.registrations);
        }
        // A server that does not tell the scope has done as it was told.
        let has = changed.kept.scopes();
        if needed.iter().any(|scope| !has.contains(scope)) {
            let sentence = "The identity provider did not give the client all scopes of this API; the connector's operator \
                            has to correct idp.grants, or the server.";
            return Err(Fault::unsupported(sentence).outcome(Outcome::Unknown));
        }
        Ok(true)
    }

    async fn unregister(
        &self,
        deadline: Deadline,
        client: &Owned<Row>,
        removed: &Registration,
        _after: &Registrations,
    ) -> Result<(), Fault> {
        let change = Change {
            secret: Secret::Stays,
            registration: Some(Registered::Ends(removed)),
            edit: &mut |kept, after| {
                let changes = kept.withdraw(&self.grants.freed(removed, after));
                if after.is_empty() {
                    kept.own_scopes = None;
                }
                Ok(changes)
            },
        };
        self.change(deadline, client.handle(), change)
            .await
            .map(drop)
    }

    async fn list_marked(
        &self,
        deadline: Deadline,
        installation: &Installation,
        page: &Page,
    ) -> Result<ManagedClients, Fault> {
        self.store.list(deadline, installation, page).await
    }
}

fn too_many_registrations() -> Fault {
    let sentence = "This application is registered for too many APIs; end a registration first.";
    Fault::new(FaultKind::Limit, sentence)
        .reason(Reason::RegistrationLimit)
        .saying(sentence)
}
