//! Requests that are no requests.

use dcr_proto::v1;
use tonic::Code;

use crate::bridge::{Bridge, USUAL_TIME};
use crate::check::{Stop, Verdict, broken, ensure, group};
use crate::refusal::Refusal;
use crate::requests::unknown_id;
use crate::rpc::Rpc;

group! {
    "errors",
    an_empty_request_is_refused_by_name [Core]
        "A required field that is missing is INVALID_ARGUMENT naming it, for every RPC" =>
        "Check caller, operation and client_id before anything else, and name each that is missing.";
    a_caller_that_is_none_is_refused [Core]
        "Installation and provider are 1 to 64 of a-z, 0-9 and -; another caller is INVALID_ARGUMENT naming caller" =>
        "Check the characters: both go into marks and searches at the IdP.";
    an_operation_id_that_is_no_uuidv7_is_refused [Core]
        "An operation id is a UUIDv7 in canonical text form; another is INVALID_ARGUMENT naming operation" =>
        "Check version and form: marks are compared as text.";
    an_abort_without_a_target_is_refused [Core]
        "AbortOperation names what the operation made; without that it is INVALID_ARGUMENT" =>
        "Refuse a target that is not set; never guess.";
    a_field_of_a_later_contract_is_ignored [Core]
        "Receivers ignore unknown fields" =>
        "Let the protobuf library skip what it does not know; turn strict decoding off.";
    a_message_beyond_the_limit_is_refused [Core]
        "A message is at most 1 MiB; what is larger is refused, and the connector lives on" =>
        "Set your gRPC library's limit for received messages to 1 MiB.";
}

async fn names<Q: Rpc>(bridge: &Bridge, request: Q, fields: &[&str]) -> Verdict {
    match bridge.ask(request).await {
        Ok(_) => Err(broken(format!(
            "{} succeeded, where INVALID_ARGUMENT is due",
            Q::NAME
        ))),
        // What a connector cannot do at all it may refuse unread.
        Err(refusal) if refusal.code == Code::Unimplemented => Ok(()),
        Err(refusal) => {
            ensure!(
                refusal.code == Code::InvalidArgument,
                "{refusal}; INVALID_ARGUMENT is due"
            );
            for field in fields {
                ensure!(refusal.names(field), "{field} is not named: {refusal}");
            }
            Ok(())
        }
    }
}

async fn an_empty_request_is_refused_by_name(bridge: &Bridge) -> Verdict {
    const CLIENT: &[&str] = &["caller", "operation", "client_id"];
    names(
        bridge,
        v1::CreateClientRequest::default(),
        &["caller", "operation", "name", "grant_types"],
    )
    .await?;
    names(bridge, v1::DeleteClientRequest::default(), CLIENT).await?;
    names(bridge, v1::RotateClientSecretRequest::default(), CLIENT).await?;
    names(
        bridge,
        v1::ListClientSecretsRequest::default(),
        &["caller", "client_id"],
    )
    .await?;
    names(bridge, v1::AddClientSecretRequest::default(), CLIENT).await?;
    names(
        bridge,
        v1::RemoveClientSecretRequest::default(),
        &["caller", "operation", "client_id", "secret_id"],
    )
    .await?;
    names(bridge, v1::UpdateClientRequest::default(), CLIENT).await?;
    names(
        bridge,
        v1::AddRegistrationRequest::default(),
        &["caller", "operation", "client_id", "entity"],
    )
    .await?;
    names(
        bridge,
        v1::RemoveRegistrationRequest::default(),
        &["caller", "operation", "client_id", "entity"],
    )
    .await?;
    names(
        bridge,
        v1::AbortOperationRequest::default(),
        &["caller", "operation"],
    )
    .await?;
    names(
        bridge,
        v1::ListManagedClientsRequest::default(),
        &["caller"],
    )
    .await
}

async fn a_caller_that_is_none_is_refused(bridge: &Bridge) -> Verdict {
    let label = |installation: &str, provider: &str| v1::Caller {
        installation: installation.to_owned(),
        provider_id: provider.to_owned(),
    };
    let long = "a".repeat(65);
    for caller in [
        label("", "p"),
        label("i", ""),
        label("Upper", "p"),
        label("i", "a_b"),
        label("i", "a.b"),
        label(&long, "p"),
        label("i", &long),
        label("i", "a*"),
        label("i'--", "p"),
    ] {
        let caller = Some(caller);
        let create = v1::CreateClientRequest {
            caller: caller.clone(),
            ..bridge.create()
        };
        names(bridge, create, &["caller"]).await?;
        let delete = v1::DeleteClientRequest {
            caller: caller.clone(),
            ..bridge.delete(&unknown_id())
        };
        names(bridge, delete, &["caller"]).await?;
        let read = v1::ListClientSecretsRequest {
            caller,
            ..bridge.list_secrets(&unknown_id())
        };
        names(bridge, read, &["caller"]).await?;
    }
    Ok(())
}

async fn an_operation_id_that_is_no_uuidv7_is_refused(bridge: &Bridge) -> Verdict {
    for id in [
        "",
        "1",
        "01234567-89ab-4def-8123-456789abcdef",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
    ] {
        let operation = Some(v1::Operation {
            operation_id: id.to_owned(),
        });
        let create = v1::CreateClientRequest {
            operation: operation.clone(),
            ..bridge.create()
        };
        names(bridge, create, &["operation"]).await?;
        let delete = v1::DeleteClientRequest {
            operation,
            ..bridge.delete(&unknown_id())
        };
        names(bridge, delete, &["operation"]).await?;
        names(bridge, bridge.abort_create(id), &["operation"]).await?;
    }
    Ok(())
}

async fn an_abort_without_a_target_is_refused(bridge: &Bridge) -> Verdict {
    let abort = bridge.abort_create(&crate::requests::operation_id());
    names(
        bridge,
        v1::AbortOperationRequest {
            target: None,
            ..abort
        },
        &[],
    )
    .await
}

/// ListClientSecrets with a field that this version of the file does not have.
#[derive(Clone, PartialEq, prost::Message)]
struct Newer {
    #[prost(message, optional, tag = "1")]
    caller: Option<v1::Caller>,
    #[prost(string, tag = "2")]
    client_id: String,
    #[prost(string, tag = "2000")]
    addition: String,
}

/// Reads a new client's secrets with this addition; how that was refused.
async fn refusal_of(bridge: &Bridge, addition: String) -> Result<Option<Refusal>, Stop> {
    let client = bridge.client().await?;
    let mut request = tonic::Request::new(Newer {
        caller: Some(bridge.caller()),
        client_id: client.id,
        addition,
    });
    request.set_timeout(USUAL_TIME);
    let mut grpc = tonic::client::Grpc::new(bridge.channel());
    grpc.ready()
        .await
        .map_err(|error| broken(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(
        "/dcr.connector.v1.ConnectorService/ListClientSecrets",
    );
    let codec = tonic_prost::ProstCodec::<Newer, v1::ListClientSecretsResponse>::default();
    let answer = grpc.unary(request, path, codec).await;
    let refusal = answer.err().map(|status| {
        let refusal = Refusal::of(v1::ListClientSecretsRequest::NAME, &status);
        bridge.without_secrets(refusal)
    });
    Ok(refusal)
}

async fn a_field_of_a_later_contract_is_ignored(bridge: &Bridge) -> Verdict {
    let addition = "an addition of a later contract".to_owned();
    match refusal_of(bridge, addition).await? {
        None => Ok(()),
        Some(refusal) => Err(broken(format!("with an unknown field {refusal}"))),
    }
}

async fn a_message_beyond_the_limit_is_refused(bridge: &Bridge) -> Verdict {
    // In what nobody reads, so that nothing else is wrong with it.
    let refusal = refusal_of(bridge, "n".repeat(2 * 1024 * 1024)).await?;
    ensure!(refusal.is_some(), "a request of 2 MiB was answered");
    bridge.done(v1::DescribeConnectorRequest {}).await?;
    Ok(())
}
