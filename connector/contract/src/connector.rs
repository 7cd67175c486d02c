//! The trait at both ends of the wire.

use std::future::Future;

use crate::fault::Fault;
use crate::model::{
    Abort, AbortTarget, AddedSecret, Adjustment, Call, ClientId, ClientUpdate, ConnectorInfo,
    CreatedClient, Deadline, Deletion, Finding, ManagedClients, NewClient, OperationId, Origin,
    Page, Registration, RegistrationChange, Removal, RotatedSecret, SecretId, SecretMetadata,
};

/// Owns the clients of one IdP. `connector.proto` says what each call must do, when it is made and how it fails;
/// this is the same contract in Rust.
///
/// [`Served`](crate::Served) offers one over gRPC, [`Remote`](crate::Remote) *is* one, reached over gRPC.
/// Every call ends by the call's deadline. Dropping a call's future does not undo what was begun.
pub trait Connector: Send + Sync + 'static {
    /// Describes the connector without asking the IdP.
    ///
    /// # Errors
    /// `Unavailable` and `TimedOut` when a remote connector does not answer.
    fn describe(
        &self,
        deadline: Deadline,
    ) -> impl Future<Output = Result<ConnectorInfo, Fault>> + Send;

    /// Examines the IdP; what is wrong is a finding.
    ///
    /// # Errors
    /// `Unavailable` and `TimedOut` when a remote connector does not answer.
    fn check(&self, deadline: Deadline)
    -> impl Future<Output = Result<Vec<Finding>, Fault>> + Send;

    /// Creates a client.
    ///
    /// # Errors
    /// `Invalid`, `Conflict` for a repeated operation, `Limit`, `Internal` when Konnect could not take the id or
    /// secret, and what every call can meet: `Refused`, `Throttled`, `Unavailable`, `TimedOut`.
    fn create_client(
        &self,
        call: &Call,
        operation: OperationId,
        client: NewClient,
    ) -> impl Future<Output = Result<CreatedClient, Fault>> + Send;

    /// Deletes a client.
    ///
    /// # Errors
    /// `NotFound` for another provider's and for the connector's own, and what every call can meet.
    fn delete_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> impl Future<Output = Result<Deletion, Fault>> + Send;

    /// Replaces all secrets by a new one.
    ///
    /// # Errors
    /// `NotFound`, `Unsupported`, and what every call can meet.
    fn rotate_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> impl Future<Output = Result<RotatedSecret, Fault>> + Send;

    /// Lists the secrets without their values.
    ///
    /// # Errors
    /// `NotFound`, and what every call can meet.
    fn list_client_secrets(
        &self,
        call: &Call,
        client_id: &ClientId,
    ) -> impl Future<Output = Result<Vec<SecretMetadata>, Fault>> + Send;

    /// Adds a secret.
    ///
    /// # Errors
    /// `NotFound`, `Limit`, `Unsupported`, and what every call can meet.
    fn add_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> impl Future<Output = Result<AddedSecret, Fault>> + Send;

    /// Removes one secret.
    ///
    /// # Errors
    /// `NotFound` for the client, `Limit` for the last secret, `Unsupported`, and what every call can meet.
    fn remove_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        secret_id: &SecretId,
    ) -> impl Future<Output = Result<Removal, Fault>> + Send;

    /// Changes name, description and redirect URIs.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, `Unsupported` when an update would rotate the secret, and what every call can meet.
    fn update_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        update: ClientUpdate,
    ) -> impl Future<Output = Result<Vec<Adjustment>, Fault>> + Send;

    /// Registers a client for an entity.
    ///
    /// # Errors
    /// `NotFound`, `Limit`, and what every call can meet.
    fn add_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> impl Future<Output = Result<RegistrationChange, Fault>> + Send;

    /// Ends a registration.
    ///
    /// # Errors
    /// `NotFound`, and what every call can meet.
    fn remove_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> impl Future<Output = Result<RegistrationChange, Fault>> + Send;

    /// Undoes an operation whose answer was lost.
    ///
    /// # Errors
    /// `Invalid` when the operation is older than 15 minutes, and what every call can meet.
    fn abort_operation(
        &self,
        call: &Call,
        operation: OperationId,
        target: AbortTarget,
    ) -> impl Future<Output = Result<Abort, Fault>> + Send;

    /// Lists the clients of the caller's installation.
    ///
    /// # Errors
    /// `Invalid` for a foreign page token, `Unsupported`, and what every call can meet.
    fn list_managed_clients(
        &self,
        call: &Call,
        page: Page,
    ) -> impl Future<Output = Result<ManagedClients, Fault>> + Send;
}
