//! The trait that a connector's author implements.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::config::Problems;
use crate::fault::Fault;
use crate::grants::Registrations;
use crate::managed::Owned;
use crate::mark::{Mark, Marked};
use crate::model::{
    Adjustment, Capability, ClientId, ClientUpdate, Deadline, Finding, Installation,
    ManagedClients, NewClient, OperationId, Origin, Page, Registration, Removal, SecretId,
    SecretMetadata, Severity,
};
use crate::settings::Settings;

/// How one IdP is spoken to. Everything that acts on an existing client takes an [`Owned`] handle, which only
/// [`Managed`](crate::Managed) makes, after it has checked whose the client is and locked it.
///
/// Every call ends by its `deadline`, except that the answer to a mutating HTTP call is read to its end;
/// [`http::Client`](crate::http::Client) does both. What an IdP cannot do is left to the default, which refuses with
/// a sentence; [`Traits::capabilities`] must agree.
///
/// # Errors
/// The methods return the kinds of [`Fault`] that `connector.proto` lists for their RPC. What [`http::Client`]
/// classifies (`Refused`, `Throttled`, `Unavailable`, `TimedOut`) is passed on.
///
/// [`http::Client`]: crate::http::Client
pub trait Idp: Sized + Send + Sync + 'static {
    /// The kind of connector: 1 to 64 of `a-z`, `0-9` and `-`.
    const NAME: &'static str;
    /// The connector's own version, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// The section `idp` of the connector's configuration.
    type Config: DeserializeOwned + Send;
    /// The IdP's own way to name a client, and what was read of it when it was found.
    type Handle: Send + Sync + 'static;

    /// Validates the configuration and makes the HTTP client; asks the IdP nothing. Files are read through `settings`.
    /// Called again when the configuration or one of those files has changed: the new value serves the calls that
    /// begin from then on.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    fn open(config: Self::Config, settings: &Settings) -> Result<Self, Problems>;

    /// What this connector with this configuration can do.
    fn traits(&self) -> Traits;

    /// Which IdP this is, for operators: `https://idp.example/realms/a`. A configuration that leads to another takes a
    /// restart, for what is still to be undone would be looked for there.
    fn instance(&self) -> String;

    /// The id of the client that is the connector's own credential, if it is one: it is never touched.
    fn own_credential(&self) -> Option<&str>;

    /// Examines the IdP: reachable, the right one, credential accepted, rights complete, clocks close. Changes nothing.
    fn check(&self, deadline: Deadline) -> impl Future<Output = Vec<Finding>> + Send;

    /// Learns what cannot be asked for, by doing it: makes clients of its own, tries on them what the IdP does, removes
    /// them, and says how that fits the configuration. For `check --probe`, which an operator runs beside a connector
    /// that serves: it touches no other client. What it could not remove is a finding that names it.
    fn probe(&self, deadline: Deadline) -> impl Future<Output = Vec<Finding>> + Send {
        let _ = deadline;
        let sentence = "This kind of connector learns nothing from clients of its own.";
        async move { vec![Finding::new(Severity::Ok, "NOTHING_TO_PROBE", sentence)] }
    }

    /// Finds a client by exactly this id; `None` when there is none.
    fn find(
        &self,
        deadline: Deadline,
        client_id: &ClientId,
    ) -> impl Future<Output = Result<Option<Found<Self::Handle>>, Fault>> + Send;

    /// Finds the client that an operation created, with its id as the IdP gives it; `None` when there is none (yet).
    fn find_by_operation(
        &self,
        deadline: Deadline,
        operation: OperationId,
    ) -> impl Future<Output = Result<Option<FoundByOperation<Self::Handle>>, Fault>> + Send;

    /// Creates a client that bears the mark from its birth, or leaves none behind.
    fn create(
        &self,
        deadline: Deadline,
        mark: &Mark,
        client: &NewClient,
    ) -> impl Future<Output = Result<Created, Fault>> + Send;

    /// Writes a mark into a client that bears none: it is being adopted.
    fn write_mark(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        mark: &Mark,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Deletes a client and all its secrets. Already gone is a success.
    fn delete(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Changes name, description and redirect URIs, and never a secret.
    fn update(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        update: &ClientUpdate,
    ) -> impl Future<Output = Result<Vec<Adjustment>, Fault>> + Send;

    /// Replaces all secrets by a new one, whatever an earlier rotation left behind.
    fn rotate_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
    ) -> impl Future<Output = Result<Rotated, Fault>> + Send;

    /// Lists the secrets in a stable order; an IdP with one secret lists one entry with a stable id.
    fn list_secrets(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
    ) -> impl Future<Output = Result<Vec<SecretMetadata>, Fault>> + Send;

    /// Adds a secret beside the existing ones; never fakes one by rotating.
    fn add_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        operation: OperationId,
    ) -> impl Future<Output = Result<Added, Fault>> + Send {
        let _ = (deadline, client, operation);
        async { Err(Fault::unsupported(ONE_SECRET)) }
    }

    /// Finds the secret that an operation added, by its exact label; `None` when there is none (yet). Needed for the
    /// capability `AbortAddSecret`; never to be guessed from a list.
    fn find_secret_by_operation(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        operation: OperationId,
    ) -> impl Future<Output = Result<Option<SecretId>, Fault>> + Send {
        let _ = (deadline, client, operation);
        async { Ok(None) }
    }

    /// Removes one secret; already gone is a success.
    fn remove_secret(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        secret_id: &SecretId,
    ) -> impl Future<Output = Result<Removal, Fault>> + Send {
        let _ = (deadline, client, secret_id);
        async { Err(Fault::unsupported(ONE_SECRET)) }
    }

    /// Whether the configuration maps a registration to any grant.
    fn maps(&self, registration: &Registration) -> bool {
        let _ = registration;
        false
    }

    /// Records a registration with the client, then grants what all of `after` needs; whether anything changed.
    /// Repeating it completes what an earlier attempt left undone.
    fn register(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        added: &Registration,
        after: &Registrations,
        origin: &Origin,
    ) -> impl Future<Output = Result<bool, Fault>> + Send {
        let _ = (deadline, client, added, after, origin);
        async { Ok(false) }
    }

    /// Takes away what `removed` granted and `after` does not need, then forgets the registration.
    fn unregister(
        &self,
        deadline: Deadline,
        client: &Owned<Self::Handle>,
        removed: &Registration,
        after: &Registrations,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        let _ = (deadline, client, removed, after);
        async { Ok(()) }
    }

    /// Lists the clients that bear a mark of the installation, page by page.
    fn list_marked(
        &self,
        deadline: Deadline,
        installation: &Installation,
        page: &Page,
    ) -> impl Future<Output = Result<ManagedClients, Fault>> + Send {
        let _ = (deadline, installation, page);
        async {
            Err(Fault::unsupported(
                "This identity provider cannot list clients by mark.",
            ))
        }
    }
}

const ONE_SECRET: &str = "This identity provider keeps one secret per client. Use \"refresh secret\" instead, and \
                          switch allow_multiple_credentials off for this provider in Konnect.";

/// What a connector can do; the rest of its description comes from [`Idp`]'s constants.
#[derive(Debug, Clone)]
pub struct Traits {
    /// What it can do beyond the core.
    pub capabilities: Vec<Capability>,
    /// The most live secrets of a client, where that is known.
    pub max_secrets: Option<u32>,
    /// How long after an abort a late commit may still show itself; usually 30 s.
    pub settle_after: Duration,
}

/// A client that was found at the IdP.
#[derive(Debug)]
pub struct Found<H> {
    /// The IdP's way to name it.
    pub handle: H,
    /// The mark it bears.
    pub mark: Marked,
    /// The registrations kept with it.
    pub registrations: Registrations,
}

/// A client that was found by the operation that created it.
#[derive(Debug)]
pub struct FoundByOperation<H> {
    /// Its id as the IdP gives it, which need not be one that could be delivered.
    pub client_id: String,
    /// The client.
    pub found: Found<H>,
}

/// What an IdP answered to a create, not yet checked: [`Managed`](crate::Managed) undoes what Konnect could not keep.
#[derive(Debug)]
pub struct Created {
    /// The client's id.
    pub client_id: String,
    /// Its first secret.
    pub secret: SecretString,
    /// The secret's id where the IdP has one.
    pub secret_id: Option<String>,
    /// When the client was made.
    pub issued_at: Option<Timestamp>,
    /// When the secret stops working; `None`: never.
    pub secret_expires_at: Option<Timestamp>,
    /// What was done differently from what was asked.
    pub adjustments: Vec<Adjustment>,
}

/// What an IdP answered to a rotation, not yet checked.
#[derive(Debug)]
pub struct Rotated {
    /// The new secret.
    pub secret: SecretString,
    /// Its id where the IdP has one.
    pub secret_id: Option<String>,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// What an IdP answered to an added secret, not yet checked.
#[derive(Debug)]
pub struct Added {
    /// The secret's id.
    pub secret_id: String,
    /// Its value.
    pub secret: SecretString,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}
