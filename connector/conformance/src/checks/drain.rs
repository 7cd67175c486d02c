//! The end of the connector: told to end while it has calls to answer, which is done once and judged by each check.

use std::fmt::Display;
use std::time::Duration;

use dcr_proto::v1;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::bridge::{Answer, Bridge, LOOK, TestClient};
use crate::check::{Stop, Verdict, broken, ensure, group};
use crate::held::Held;
use crate::process::Process;
use crate::refusal::Refusal;
use crate::requests::unknown_id;

group! {
    "drain",
    calls_that_have_arrived_are_answered [Core, Terminate]
        "A connector that is told to end (SIGTERM) answers the calls that have arrived before it closes their connections" =>
        "At SIGTERM take no new connection, send GOAWAY and wait for the calls in flight, some 10 s (gRPC libraries call it a graceful stop); what the signal cancels must not be what calls wait for.";
    health_tells_of_it [Core, Terminate]
        "A connector that is told to end tells NOT_SERVING, or takes no connection any more, while it answers what has arrived" =>
        "Set both names of the health service to NOT_SERVING at SIGTERM, and close the listener.";
    calls_that_come_later_are_answered_or_not_begun [Core, Terminate]
        "A call that comes later is answered, or fails so that nothing can have been done: no connection, GOAWAY or REFUSED_STREAM, or UNAVAILABLE with reason DRAINING and NOT_APPLIED" =>
        "Let your gRPC library refuse what comes after its GOAWAY; do not answer it with a status of your own without its details, and do not let the connection break.";
    the_process_ends_in_time [Core, Terminate]
        "The process ends when its calls are answered and its undoing is done, settle_after and 45 s later at most" =>
        "Bound the wait for calls (some 10 s), and that for what is to be undone (settle_after).";
}

/// How soon the signal must show.
const NOTICE: Duration = Duration::from_secs(5);
/// For a call that comes later.
const LATE: Duration = Duration::from_secs(5);
/// A listener that closes may break a connection that it has not taken yet; later there is none.
const TRIES: usize = 3;
/// What the end may take beside `settle_after`.
const END: Duration = Duration::from_secs(45);

/// What was seen when the connector was told to end.
#[derive(Debug)]
pub(crate) struct Drained {
    process: Process,
    told: Instant,
    /// How calls that had arrived failed.
    arrived: Vec<String>,
    /// How calls that came later failed.
    later: Vec<String>,
    /// Whether health told of it, or no connection was taken any more.
    is_noticed: bool,
}

async fn calls_that_have_arrived_are_answered(bridge: &Bridge) -> Verdict {
    none_of(&drained(bridge).await?.arrived)
}

async fn health_tells_of_it(bridge: &Bridge) -> Verdict {
    ensure!(
        drained(bridge).await?.is_noticed,
        "{NOTICE:?} after SIGTERM a new connection is taken, and told SERVING"
    );
    Ok(())
}

async fn calls_that_come_later_are_answered_or_not_begun(bridge: &Bridge) -> Verdict {
    none_of(&drained(bridge).await?.later)
}

async fn the_process_ends_in_time(bridge: &Bridge) -> Verdict {
    let Drained { process, told, .. } = drained(bridge).await?;
    let usual = bridge.settle_after() + END;
    let time = bridge.options().terminate_within.unwrap_or(usual);
    while !process.has_ended() {
        ensure!(told.elapsed() < time, "it runs {time:?} after SIGTERM");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn none_of(failed: &[String]) -> Verdict {
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Ends the connector when it is first asked for.
async fn drained(bridge: &Bridge) -> Result<&Drained, Stop> {
    let drained = bridge.drained.get_or_init(|| drain(bridge)).await;
    drained.as_ref().map_err(|seen| broken(seen.clone()))
}

async fn drain(bridge: &Bridge) -> Result<Drained, String> {
    let seen = |stop: Stop| match stop {
        Stop::Broken(seen) | Stop::Skipped(seen) => seen,
    };
    let id = bridge.options().terminate.unwrap_or_default();
    let process = Process::of(id).ok_or("the process has ended before it was told to")?;
    let client = bridge.client().await.map_err(seen)?;
    let begun = Calls::open(bridge).await.and_then(|calls| {
        process.terminate().map_err(cannot)?;
        Ok(calls)
    });
    let calls = match begun {
        Ok(calls) => calls,
        Err(seen) => {
            let _ = bridge.ask(bridge.delete(&client.id)).await;
            return Err(seen);
        }
    };
    let told = Instant::now();
    let is_noticed = is_noticed(bridge).await;
    // While the others keep the connection from its end.
    let later = later(bridge, &calls.channel).await;
    let arrived = calls.end(bridge, &client).await;
    Ok(Drained {
        process,
        told,
        arrived,
        later,
        is_noticed,
    })
}

fn cannot(error: impl Display) -> String {
    format!(
        "the process cannot be told to end ({error}): run as its user, or leave out --terminate"
    )
}

/// Calls that have arrived, all on one connection.
struct Calls {
    channel: Channel,
    read: Held<v1::ListClientSecretsRequest>,
    create: Held<v1::CreateClientRequest>,
    /// Of what the create makes: afterwards nobody could ask for it any more.
    delete_created: Held<v1::DeleteClientRequest>,
    delete: Held<v1::DeleteClientRequest>,
}

impl Calls {
    async fn open(bridge: &Bridge) -> Result<Self, String> {
        let channel = bridge.connections().open().await;
        let channel = channel.map_err(|error| error.to_string())?;
        let calls = Self {
            read: Held::open(&channel).await,
            create: Held::open(&channel).await,
            delete_created: Held::open(&channel).await,
            delete: Held::open(&channel).await,
            channel,
        };
        // What is answered on the same connection has come after them.
        let request = timed(v1::DescribeConnectorRequest {});
        let arrived = bridge.send(calls.channel.clone(), request).await;
        arrived.map_err(|refusal| refusal.to_string())?;
        Ok(calls)
    }

    /// Has them answered; tells what failed, and what is left then.
    async fn end(self, bridge: &Bridge, client: &TestClient) -> Vec<String> {
        let mut failed = Vec::new();
        let read = self.read.say(bridge.list_secrets(&client.id)).await;
        failed.extend(unanswered(read.err()));
        let create = v1::CreateClientRequest {
            // Whatever goes wrong here, a connector deletes old probes by itself.
            probe: true,
            ..bridge.create()
        };
        let operation = create.operation.clone().unwrap_or_default().operation_id;
        match self.create.say(create).await {
            Ok(created) => {
                let id = created.client_id;
                let deleted = self.delete_created.say(bridge.delete(&id)).await;
                failed.extend(undeleted(&id, deleted));
            }
            Err(refusal) => {
                let is_left = refusal.outcome != Some(v1::Outcome::NotApplied);
                let is_left = is_left && !refusal.is_not_begun;
                failed.extend(unanswered(Some(refusal)));
                failed.extend(is_left.then(|| {
                    format!("look at the IdP for a client of the operation {operation}, which may be left")
                }));
            }
        }
        let deleted = self.delete.say(bridge.delete(&client.id)).await;
        failed.extend(undeleted(&client.id, deleted));
        failed
    }
}

/// A call whose head has arrived and whose message has not may still be refused, if nothing was done.
fn unanswered(refusal: Option<Refusal>) -> Option<String> {
    let refusal = refusal.filter(|refusal| !is_of_a_drain(refusal));
    refusal.map(|refusal| format!("a call that had arrived before SIGTERM: {refusal}"))
}

fn undeleted(client_id: &str, answer: Answer<v1::DeleteClientResponse>) -> Vec<String> {
    let Err(refusal) = answer else {
        return Vec::new();
    };
    let is_left = format!("client {client_id} is left at the IdP ({refusal}): delete it there");
    unanswered(Some(refusal))
        .into_iter()
        .chain([is_left])
        .collect()
}

/// UNAVAILABLE, reason DRAINING, and of a mutation NOT_APPLIED.
fn is_of_a_drain(refusal: &Refusal) -> bool {
    let outcomes = [None, Some(v1::Outcome::NotApplied)];
    refusal.code == Code::Unavailable
        && refusal.reason() == Some("DRAINING")
        && outcomes.contains(&refusal.outcome)
}

async fn is_noticed(bridge: &Bridge) -> bool {
    let noticed = async {
        while tells_serving(bridge).await {
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(NOTICE, noticed).await.is_ok()
}

/// What an orchestrator learns on a connection of its own.
async fn tells_serving(bridge: &Bridge) -> bool {
    let Ok(channel) = bridge.connections().open().await else {
        return false;
    };
    let request = timed(HealthCheckRequest::default());
    let answer = HealthClient::new(channel).check(request).await;
    answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}

/// How calls failed that came later, on the connection of the others and on a new one. They change nothing.
async fn later(bridge: &Bridge, channel: &Channel) -> Vec<String> {
    let mut failed = Vec::new();
    failed.extend(
        late(bridge, channel.clone())
            .await
            .map(|seen| format!("on a connection from before SIGTERM: {seen}")),
    );
    let mut last = None;
    for _ in 0..TRIES {
        last = match bridge.connections().open().await {
            Ok(channel) => late(bridge, channel).await,
            Err(_) => None,
        };
        if last.is_none() {
            break;
        }
    }
    failed.extend(last.map(|seen| format!("on a new connection: {seen}")));
    failed
}

async fn late(bridge: &Bridge, channel: Channel) -> Option<String> {
    let request = timed(bridge.delete(&unknown_id()));
    let refusal = bridge.send(channel, request).await.err()?;
    let is_applied_not = refusal.outcome == Some(v1::Outcome::NotApplied);
    let is_certain = refusal.is_not_begun || (is_of_a_drain(&refusal) && is_applied_not);
    (!is_certain).then(|| refusal.to_string())
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(LATE);
    request
}
