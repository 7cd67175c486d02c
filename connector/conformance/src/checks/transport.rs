//! Connections, and the service beside the service.

use std::time::Duration;

use dcr_proto::v1;
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::bridge::{Bridge, USUAL_TIME};
use crate::check::{Verdict, broken, ensure, group};
use crate::held::Held;
use crate::refusal::Refusal;
use crate::requests::unknown_id;
use crate::rpc::Client;

const SERVICE: &str = "dcr.connector.v1.ConnectorService";
/// As many as the gateway makes at once for one provider.
const CALLS: usize = 64;
/// Closer together than the gateway's, for which a check cannot wait.
const PING: Duration = Duration::from_millis(1_500);
/// gRPC servers that are left as they are hang up on the fourth that comes too soon.
const PINGS: u32 = 4;

group! {
    "transport",
    health_tells_serving [Core]
        "grpc.health.v1 tells SERVING for the service's name and for the server as a whole" =>
        "Add your gRPC library's health service and set both names; orchestrators and meshes ask it.";
    many_calls_at_once_are_answered [Core]
        "The gateway makes up to 64 calls at once for one provider, on several connections" =>
        "Allow at least 256 concurrent streams, and queue for the IdP where you must, within the deadline.";
    pings_while_calls_are_open_are_tolerated [Core]
        "The gateway pings while calls are open, and a connector does not hang up on that" =>
        "The gateway pings every 30 s while calls are open, this check every 1.5 s to be done soon: permit a ping each second (in Go: keepalive.EnforcementPolicy with MinTime: time.Second).";
}

async fn health_tells_serving(bridge: &Bridge) -> Verdict {
    let mut health = HealthClient::new(bridge.channel());
    for service in ["", SERVICE] {
        let mut request = Request::new(HealthCheckRequest {
            service: service.to_owned(),
        });
        request.set_timeout(USUAL_TIME);
        let answer = health.check(request).await;
        let status = answer.map_err(|status| {
            broken(format!(
                "Health/Check of {service:?}: {:?}: {}",
                status.code(),
                status.message()
            ))
        })?;
        let status = status.into_inner().status();
        ensure!(
            status == ServingStatus::Serving,
            "{service:?} is {}",
            status.as_str_name()
        );
    }
    Ok(())
}

async fn many_calls_at_once_are_answered(bridge: &Bridge) -> Verdict {
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let channel = bridge.connections().open().await;
        let channel = channel.map_err(|error| broken(error.to_string()))?;
        for _ in 0..CALLS / 4 {
            // Each about a client of its own: calls about one may wait for one another.
            let mut request = Request::new(bridge.list_secrets(&unknown_id()));
            request.set_timeout(USUAL_TIME);
            let mut grpc = Client::new(channel.clone());
            calls.spawn(async move { grpc.list_client_secrets(request).await });
        }
    }
    let mut failed = Vec::new();
    while let Some(joined) = calls.join_next().await {
        match joined {
            Ok(Err(status)) if status.code() == Code::NotFound => {}
            // What the IdP says of so many is an answer as well.
            Ok(Err(status))
                if Refusal::of("ListClientSecrets", &status)
                    .throttled()
                    .is_some() => {}
            Ok(Ok(_)) => failed.push("OK".to_owned()),
            Ok(Err(status)) => failed.push(format!("{:?}: {}", status.code(), status.message())),
            Err(error) => failed.push(error.to_string()),
        }
    }
    let first = failed.first().cloned().unwrap_or_default();
    ensure!(
        failed.is_empty(),
        "{} of {CALLS} reads at once were not answered NOT_FOUND, but the first with {first}",
        failed.len()
    );
    Ok(())
}

async fn pings_while_calls_are_open_are_tolerated(bridge: &Bridge) -> Verdict {
    let channel = bridge.connections().pinging(PING).await;
    let channel = channel.map_err(|error| broken(error.to_string()))?;
    let call = Held::open(&channel).await;
    tokio::time::sleep(PING * PINGS + PING / 2).await;
    let answer = call.say(v1::DescribeConnectorRequest {}).await;
    answer.map_err(|refusal| broken(format!("after {PINGS} pings: {refusal}")))?;
    Ok(())
}
