//! The thirteen calls, as the generated client has them.

use std::future::Future;

use dcr_proto::v1;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::shape::Shape;

/// The generated client.
pub(crate) type Client = ConnectorServiceClient<Channel>;

/// A request, and what is answered to it.
pub(crate) trait Rpc: prost::Message + Clone + 'static {
    const NAME: &'static str;
    /// Whether its failures tell an outcome.
    const MUTATES: bool;
    type Answer: prost::Message + Shape;

    /// Whether it gives a secret. Such a call is never sent again.
    fn gives_a_secret() -> bool {
        let all = ["CreateClient", "RotateClientSecret", "AddClientSecret"];
        all.contains(&Self::NAME)
    }

    fn send(
        client: Client,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

macro_rules! rpcs {
    ($($request:ident -> $answer:ident, $name:literal, $method:ident, $mutates:literal;)+) => {
        $(impl Rpc for v1::$request {
            const NAME: &'static str = $name;
            const MUTATES: bool = $mutates;
            type Answer = v1::$answer;

            async fn send(
                mut client: Client,
                request: Request<Self>,
            ) -> Result<Response<Self::Answer>, Status> {
                client.$method(request).await
            }
        })+
    };
}

rpcs! {
    DescribeConnectorRequest -> DescribeConnectorResponse, "DescribeConnector", describe_connector, false;
    CheckIdentityProviderRequest -> CheckIdentityProviderResponse, "CheckIdentityProvider", check_identity_provider, false;
    CreateClientRequest -> CreateClientResponse, "CreateClient", create_client, true;
    DeleteClientRequest -> DeleteClientResponse, "DeleteClient", delete_client, true;
    RotateClientSecretRequest -> RotateClientSecretResponse, "RotateClientSecret", rotate_client_secret, true;
    ListClientSecretsRequest -> ListClientSecretsResponse, "ListClientSecrets", list_client_secrets, false;
    AddClientSecretRequest -> AddClientSecretResponse, "AddClientSecret", add_client_secret, true;
    RemoveClientSecretRequest -> RemoveClientSecretResponse, "RemoveClientSecret", remove_client_secret, true;
    UpdateClientRequest -> UpdateClientResponse, "UpdateClient", update_client, true;
    AddRegistrationRequest -> AddRegistrationResponse, "AddRegistration", add_registration, true;
    RemoveRegistrationRequest -> RemoveRegistrationResponse, "RemoveRegistration", remove_registration, true;
    AbortOperationRequest -> AbortOperationResponse, "AbortOperation", abort_operation, false;
    ListManagedClientsRequest -> ListManagedClientsResponse, "ListManagedClients", list_managed_clients, false;
}
