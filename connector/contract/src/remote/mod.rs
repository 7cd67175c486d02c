//! A connector reached over gRPC: the other end of [`Served`](crate::Served).
//!
//! Sets the deadline of every call, names the call in the connector's log, and reads what comes back as distrustfully
//! as what comes from Konnect.

mod address;
mod dial;

use std::future::Future;
use std::time::Duration;

use dcr_proto::v1;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub use self::address::ConnectorAddress;
use crate::connector::Connector;
use crate::fault::{Fault, FaultKind, Reason};
use crate::model::{
    Abort, AbortTarget, AddedSecret, Adjustment, Call, ClientId, ClientUpdate, ConnectorInfo,
    CreatedClient, Deadline, Deletion, Finding, Malformed, ManagedClients, NewClient, OperationId,
    Origin, Page, Reference, Registration, RegistrationChange, Removal, RotatedSecret, SecretId,
    SecretMetadata,
};
use crate::served::LARGEST_MESSAGE;
use crate::wire::{self, client, describe, managed, registration, secret};

/// What the caller keeps of its time to bring the answer home.
const MARGIN: Duration = Duration::from_millis(500);

/// A connector at an address. Connects when it is first called and again whenever the connection is lost.
#[derive(Debug, Clone)]
pub struct Remote {
    client: ConnectorServiceClient<Channel>,
}

impl Remote {
    /// Prepares the connection; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` when the address is not one that HTTP can use.
    pub fn new(address: &ConnectorAddress) -> Result<Self, Malformed> {
        let channel = dial::lazily(address)?;
        let client = ConnectorServiceClient::new(channel)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        Ok(Self { client })
    }

    async fn call<Q, A, Fut>(
        &self,
        deadline: Deadline,
        reference: &Reference,
        message: Q,
        send: impl FnOnce(ConnectorServiceClient<Channel>, Request<Q>) -> Fut,
    ) -> Result<A, Fault>
    where
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = deadline.earlier_by(MARGIN);
        let time = deadline.remaining();
        if time.is_zero() {
            let message = "no time was left to call the connector; nothing was sent";
            return Err(Fault::new(FaultKind::Unavailable { after: None }, message)
                .reason(Reason::TimedOut));
        }
        let mut request = Request::new(message);
        request.set_timeout(time);
        if let Ok(value) = MetadataValue::try_from(reference.as_str()) {
            request.metadata_mut().insert("x-request-id", value);
        }
        // The header asks the connector; the timer holds when nobody is there to obey.
        match tokio::time::timeout_at(deadline.instant(), send(self.client.clone(), request)).await
        {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(wire::fault::from_status(&status)),
            Err(_) => Err(Fault::new(
                FaultKind::TimedOut,
                "the connector did not answer in time",
            )),
        }
    }
}

impl Connector for Remote {
    async fn describe(&self, deadline: Deadline) -> Result<ConnectorInfo, Fault> {
        let message = v1::DescribeConnectorRequest {};
        let answer = self
            .call(
                deadline,
                &Reference::generate(),
                message,
                |mut c, r| async move { c.describe_connector(r).await },
            )
            .await?;
        describe::info_from_proto(answer)
    }

    async fn check(&self, deadline: Deadline) -> Result<Vec<Finding>, Fault> {
        let message = v1::CheckIdentityProviderRequest {};
        let answer = self
            .call(
                deadline,
                &Reference::generate(),
                message,
                |mut c, r| async move { c.check_identity_provider(r).await },
            )
            .await?;
        Ok(describe::findings_from_proto(answer))
    }

    async fn create_client(
        &self,
        call: &Call,
        operation: OperationId,
        new: NewClient,
    ) -> Result<CreatedClient, Fault> {
        let message = client::create_to_proto(call, operation, &new);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.create_client(r).await },
            )
            .await?;
        client::created_from_proto(answer)
    }

    async fn delete_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<Deletion, Fault> {
        let message = client::delete_to_proto(call, operation, client_id);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.delete_client(r).await },
            )
            .await?;
        client::deletion_from_proto(answer)
    }

    async fn rotate_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<RotatedSecret, Fault> {
        let message = secret::rotate_to_proto(call, operation, client_id);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.rotate_client_secret(r).await },
            )
            .await?;
        secret::rotated_from_proto(answer)
    }

    async fn list_client_secrets(
        &self,
        call: &Call,
        client_id: &ClientId,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        let message = secret::list_to_proto(call, client_id);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.list_client_secrets(r).await },
            )
            .await?;
        secret::listed_from_proto(answer)
    }

    async fn add_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<AddedSecret, Fault> {
        let message = secret::add_to_proto(call, operation, client_id);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.add_client_secret(r).await },
            )
            .await?;
        secret::added_from_proto(answer)
    }

    async fn remove_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        secret_id: &SecretId,
    ) -> Result<Removal, Fault> {
        let message = secret::remove_to_proto(call, operation, client_id, secret_id);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.remove_client_secret(r).await },
            )
            .await?;
        secret::removal_from_proto(answer)
    }

    async fn update_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        update: ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        let message = client::update_to_proto(call, operation, client_id, &update);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.update_client(r).await },
            )
            .await?;
        Ok(client::updated_from_proto(answer))
    }

    async fn add_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> Result<RegistrationChange, Fault> {
        let message =
            registration::add_to_proto(call, operation, client_id, &registration, &origin);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.add_registration(r).await },
            )
            .await?;
        registration::added_from_proto(answer)
    }

    async fn remove_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> Result<RegistrationChange, Fault> {
        let message =
            registration::remove_to_proto(call, operation, client_id, &registration, &origin);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.remove_registration(r).await },
            )
            .await?;
        registration::removed_from_proto(answer)
    }

    async fn abort_operation(
        &self,
        call: &Call,
        operation: OperationId,
        target: AbortTarget,
    ) -> Result<Abort, Fault> {
        let message = managed::abort_to_proto(call, operation, target);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.abort_operation(r).await },
            )
            .await?;
        managed::aborted_from_proto(answer)
    }

    async fn list_managed_clients(&self, call: &Call, page: Page) -> Result<ManagedClients, Fault> {
        let message = managed::list_to_proto(call, page);
        let answer = self
            .call(
                call.deadline,
                &call.reference,
                message,
                |mut c, r| async move { c.list_managed_clients(r).await },
            )
            .await?;
        managed::listed_from_proto(answer)
    }
}
