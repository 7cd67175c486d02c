//! A gateway and a connector that do not know the same additions to the contract.

use std::time::Duration;

use dcr_tests::Provider;
use dcr_tests::bridge::INSTALLATION;
use dcr_tests::hostile::listening;
use dcr_tests::konnect::application;
use dcr_tests::versions::{newer, older};
use newer::connector_service_client::ConnectorServiceClient as NewerClient;
use newer::connector_service_server::{
    ConnectorService as NewerService, ConnectorServiceServer as NewerServer,
};
use older::connector_service_client::ConnectorServiceClient as OlderClient;
use older::connector_service_server::{
    ConnectorService as OlderService, ConnectorServiceServer as OlderServer,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::start::{Bridge, bridge, gateway};

const SECRET: &str = "a-secret-of-some-length";

/// A connector that was built before today's additions.
struct Older;

#[async_trait]
impl OlderService for Older {
    async fn describe_connector(
        &self,
        _: Request<older::DescribeConnectorRequest>,
    ) -> Result<Response<older::DescribeConnectorResponse>, Status> {
        Ok(Response::new(older::DescribeConnectorResponse {
            name: "older".to_owned(),
            version: "0.0.1".to_owned(),
            contract_minor: 0,
            capabilities: vec![older::Capability::RotateSecret.into()],
            settle_after: Some(prost_types::Duration::default()),
        }))
    }

    async fn create_client(
        &self,
        request: Request<older::CreateClientRequest>,
    ) -> Result<Response<older::CreateClientResponse>, Status> {
        let request = request.into_inner();
        assert!(request.caller.is_some() && request.operation.is_some());
        assert_eq!(request.grant_types, ["client_credentials"]);
        let secret = older::Secret {
            value: SECRET.to_owned(),
        };
        Ok(Response::new(older::CreateClientResponse {
            client_id: request.name,
            secret: Some(secret),
        }))
    }

    async fn delete_client(
        &self,
        _: Request<older::DeleteClientRequest>,
    ) -> Result<Response<older::DeleteClientResponse>, Status> {
        let deletion = older::Deletion::Deleted.into();
        Ok(Response::new(older::DeleteClientResponse { deletion }))
    }

    async fn list_client_secrets(
        &self,
        _: Request<older::ListClientSecretsRequest>,
    ) -> Result<Response<older::ListClientSecretsResponse>, Status> {
        let secret = older::ClientSecret {
            secret_id: "s-1".to_owned(),
            status: older::SecretStatus::Active.into(),
        };
        let secrets = vec![secret];
        Ok(Response::new(older::ListClientSecretsResponse { secrets }))
    }
}

/// A connector that fills every addition that today's gateway does not know.
struct Newer;

#[expect(
    clippy::unnecessary_wraps,
    reason = "what the field of a message takes"
)]
fn gloss() -> Option<newer::Gloss> {
    Some(newer::Gloss {
        wax: "carnauba".to_owned(),
        layers: vec![0, 1, u64::MAX],
    })
}

fn shiny(value: &str) -> newer::Secret {
    newer::Secret {
        value: value.to_owned(),
        gloss: gloss(),
    }
}

#[async_trait]
impl NewerService for Newer {
    async fn describe_connector(
        &self,
        _: Request<newer::DescribeConnectorRequest>,
    ) -> Result<Response<newer::DescribeConnectorResponse>, Status> {
        Ok(Response::new(newer::DescribeConnectorResponse {
            name: "newer".to_owned(),
            version: "9.9.9".to_owned(),
            contract_minor: 1,
            capabilities: vec![
                newer::Capability::Polish.into(),
                newer::Capability::RotateSecret.into(),
            ],
            settle_after: Some(prost_types::Duration::default()),
            gloss: gloss(),
        }))
    }

    async fn create_client(
        &self,
        request: Request<newer::CreateClientRequest>,
    ) -> Result<Response<newer::CreateClientResponse>, Status> {
        let request = request.into_inner();
        assert_eq!(request.gloss, None, "an older gateway does not know it");
        Ok(Response::new(newer::CreateClientResponse {
            client_id: request.name,
            secret: Some(shiny(SECRET)),
            gloss: gloss(),
        }))
    }

    async fn delete_client(
        &self,
        request: Request<newer::DeleteClientRequest>,
    ) -> Result<Response<newer::DeleteClientResponse>, Status> {
        let deletion = match request.into_inner().client_id.as_str() {
            "recyclable" => newer::Deletion::Recycled,
            _ => newer::Deletion::Deleted,
        };
        Ok(Response::new(newer::DeleteClientResponse {
            deletion: deletion.into(),
            gloss: gloss(),
        }))
    }

    async fn polish_client(
        &self,
        _: Request<newer::PolishClientRequest>,
    ) -> Result<Response<newer::PolishClientResponse>, Status> {
        Err(Status::internal("an older gateway does not know it"))
    }

    async fn list_client_secrets(
        &self,
        _: Request<newer::ListClientSecretsRequest>,
    ) -> Result<Response<newer::ListClientSecretsResponse>, Status> {
        let secret = newer::ClientSecret {
            secret_id: "s-1".to_owned(),
            status: newer::SecretStatus::Active.into(),
            gloss: gloss(),
        };
        Ok(Response::new(newer::ListClientSecretsResponse {
            secrets: vec![secret],
            gloss: gloss(),
        }))
    }
}

#[tokio::test]
async fn an_older_connector_is_served() {
    let (address, _server) = listening(OlderServer::new(Older)).await;
    let gateway = gateway(&[Provider::new("one", address)]).await;
    let konnect = gateway.konnect("one");
    let client = konnect.create(&application("ferry")).await.created();
    assert_eq!(
        (&*client.client_id, &*client.client_secret),
        ("ferry", SECRET)
    );
    assert_eq!(konnect.list("ferry").await.listed("ferry").len(), 1);
    konnect.delete("ferry").await.gone();
    // What it does not know at all is not faked: whether it was done cannot be told from such a status.
    let _ = konnect.rotate("ferry").await.refused(504);
}

#[tokio::test]
async fn a_newer_connector_is_served_and_its_version_is_told_once() {
    let (address, _server) = listening(NewerServer::new(Newer)).await;
    let mut gateway = gateway(&[Provider::new("one", address)]).await;
    let konnect = gateway.konnect("one");
    let client = konnect.create(&application("ferry")).await.created();
    assert_eq!(
        (&*client.client_id, &*client.client_secret),
        ("ferry", SECRET)
    );
    assert_eq!(konnect.list("ferry").await.listed("ferry").len(), 1);
    konnect.delete("ferry").await.gone();
    // An end that today's does not know is no success.
    let _ = konnect.delete("recyclable").await.refused(500);

    let told = "another minor version of the contract";
    let process = &mut gateway.process;
    process.line(|line| line.contains(told).then_some(())).await;
    // Every channel has been used by now, and asked what it leads to.
    for _ in 0..40 {
        konnect.delete("ferry").await.gone();
    }
    process.terminate().await;
    assert!(process.ended(Duration::from_secs(15)).await.success());
    assert_eq!(process.output().matches(told).count(), 1);
}

async fn channel(bridge: &Bridge) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", bridge.connector.address));
    endpoint.unwrap().connect().await.unwrap()
}

fn in_time<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(8));
    request
}

fn installation() -> String {
    INSTALLATION.to_owned()
}

fn operation_id() -> String {
    Uuid::now_v7().to_string()
}

#[tokio::test]
async fn an_older_gateway_is_served() {
    let bridge = bridge().await;
    let mut client = OlderClient::new(channel(&bridge).await);
    let caller = older::Caller {
        installation: installation(),
        provider_id: "one".to_owned(),
    };
    let operation = || {
        Some(older::Operation {
            operation_id: operation_id(),
        })
    };
    let described = client
        .describe_connector(in_time(older::DescribeConnectorRequest {}))
        .await
        .unwrap()
        .into_inner();
    // What it does not know among them is left out.
    assert_eq!(described.capabilities().count(), 1);
    let created = client
        .create_client(in_time(older::CreateClientRequest {
            caller: Some(caller.clone()),
            operation: operation(),
            name: "ferry".to_owned(),
            grant_types: vec!["client_credentials".to_owned()],
            ..Default::default()
        }))
        .await
        .unwrap()
        .into_inner();
    let (id, secret) = (created.client_id, created.secret.unwrap().value);
    assert!(bridge.tokens().opens(&id, &secret).await);
    let listed = client
        .list_client_secrets(in_time(older::ListClientSecretsRequest {
            caller: Some(caller.clone()),
            client_id: id.clone(),
        }))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.secrets.len(), 1);
    let deleted = client
        .delete_client(in_time(older::DeleteClientRequest {
            caller: Some(caller),
            operation: operation(),
            client_id: id,
        }))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(deleted.deletion(), older::Deletion::Deleted);
    bridge.nothing_left().await;
}

#[tokio::test]
async fn a_newer_gateway_is_served() {
    let bridge = bridge().await;
    let mut client = NewerClient::new(channel(&bridge).await);
    let caller = newer::Caller {
        installation: installation(),
        provider_id: "one".to_owned(),
        gloss: gloss(),
    };
    let operation = || {
        Some(newer::Operation {
            operation_id: operation_id(),
            gloss: gloss(),
        })
    };
    let created = client
        .create_client(in_time(newer::CreateClientRequest {
            caller: Some(caller.clone()),
            operation: operation(),
            name: "ferry".to_owned(),
            grant_types: vec!["client_credentials".to_owned()],
            gloss: gloss(),
            ..Default::default()
        }))
        .await
        .unwrap()
        .into_inner();
    let (id, secret) = (created.client_id, created.secret.unwrap().value);
    assert!(bridge.tokens().opens(&id, &secret).await);
    let polished = client
        .polish_client(in_time(newer::PolishClientRequest {
            caller: Some(caller.clone()),
            client_id: id.clone(),
        }))
        .await;
    assert_eq!(polished.unwrap_err().code(), Code::Unimplemented);
    let _ = client
        .delete_client(in_time(newer::DeleteClientRequest {
            caller: Some(caller),
            operation: operation(),
            client_id: id,
            gloss: gloss(),
        }))
        .await
        .unwrap();
    bridge.nothing_left().await;
}

#[tokio::test]
async fn a_call_that_comes_too_late_is_not_begun() {
    let bridge = bridge().await;
    let asked = bridge.proxy.count();
    let mut client = OlderClient::new(channel(&bridge).await);
    let mut request = Request::new(older::DeleteClientRequest {
        caller: Some(older::Caller {
            installation: installation(),
            provider_id: "one".to_owned(),
        }),
        operation: Some(older::Operation {
            operation_id: operation_id(),
        }),
        client_id: "c".to_owned(),
    });
    // As a header alone: tonic's own timer would end the call as well.
    request
        .metadata_mut()
        .insert("grpc-timeout", "150m".parse().unwrap());
    let status = client.delete_client(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(bridge.proxy.count(), asked, "the IdP was asked");
}
