//! Answers that come in time.

use std::time::Duration;

use dcr_proto::v1;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use super::cancellation::nothing_is_left;
use crate::bridge::Bridge;
use crate::check::{Stop, Verdict, broken, ensure, group};
use crate::rpc::Rpc;

group! {
    "deadlines",
    are_kept_when_they_are_short [Core]
        "A connector answers before grpc-timeout passes" =>
        "Take the deadline from grpc-timeout, keep a margin for the way home, and answer DEADLINE_EXCEEDED or UNAVAILABLE then.";
    that_are_too_short_leave_nothing_behind [Core, AbortCreate, List]
        "A create whose time is over before it ends is not begun, or is undone once it is aborted" =>
        "Do not begin a create without the time to end it; answer UNAVAILABLE with NOT_APPLIED.";
    come_in_any_unit [Core]
        "grpc-timeout is a number of at most 8 digits and a unit, one of H, M, S, m, u, n (gRPC over HTTP/2)" =>
        "Let your gRPC library read grpc-timeout.";
}

/// Long enough for the way there and back.
const SHORT: Duration = Duration::from_millis(1_500);
/// A machine that is busy with something else may be late; a connector that does not look at the time always is.
const TRIES: usize = 3;

async fn are_kept_when_they_are_short(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    in_time(bridge, || bridge.list_secrets(&client.id)).await?;
    in_time(bridge, || bridge.create()).await?;
    in_time(bridge, || bridge.delete(&client.id)).await
}

/// An answer, or a refusal for want of time, must come before it is over.
async fn in_time<Q: Rpc>(bridge: &Bridge, request: impl Fn() -> Q) -> Verdict {
    let mut answer = None;
    for _ in 1..TRIES {
        let mut request = Request::new(request());
        request.set_timeout(SHORT);
        answer = Some(bridge.send_quietly(request).await);
        let is_late = matches!(&answer, Some(Err(refusal)) if refusal.is_silence);
        if !is_late {
            break;
        }
        answer = None;
    }
    let answer = match answer {
        Some(answer) => answer,
        None => bridge.ask_within(SHORT, request()).await,
    };
    let Err(refusal) = answer else {
        return Ok(());
    };
    ensure!(!refusal.is_silence, "{refusal} within {SHORT:?}");
    let in_time = matches!(refusal.code, Code::DeadlineExceeded | Code::Unavailable);
    ensure!(
        in_time,
        "{refusal}; an answer, DEADLINE_EXCEEDED or UNAVAILABLE is due"
    );
    Ok(())
}

async fn that_are_too_short_leave_nothing_behind(bridge: &Bridge) -> Verdict {
    let mut operations = Vec::new();
    for milliseconds in [1, 2, 5, 10, 20, 50, 100, 300, 1_000] {
        let request = bridge.create();
        let operation = request.operation.clone().unwrap_or_default().operation_id;
        let answer = send_within(bridge, request, &format!("{milliseconds}m")).await;
        if answer.is_err() {
            bridge.done(bridge.abort_create(&operation)).await?;
            operations.push(operation);
        }
    }
    nothing_is_left(bridge, &operations).await
}

async fn send_within(
    bridge: &Bridge,
    request: v1::CreateClientRequest,
    time: &str,
) -> Result<(), Stop> {
    let mut request = Request::new(request);
    let time = MetadataValue::try_from(time).map_err(|error| broken(error.to_string()))?;
    request.metadata_mut().insert("grpc-timeout", time);
    match bridge.send_quietly(request).await {
        Ok(_) => Ok(()),
        Err(refusal) => Err(broken(refusal.to_string())),
    }
}

async fn come_in_any_unit(bridge: &Bridge) -> Verdict {
    for time in ["1H", "1M", "8S", "8000m", "8000000u", "99999999n"] {
        let mut request = Request::new(v1::DescribeConnectorRequest {});
        let value = MetadataValue::try_from(time).map_err(|error| broken(error.to_string()))?;
        request.metadata_mut().insert("grpc-timeout", value);
        // Of nanoseconds there are never enough; they are only to be understood.
        let is_short = time.ends_with('n');
        let answer = if is_short {
            bridge.send_quietly(request).await
        } else {
            bridge.send(bridge.channel(), request).await
        };
        if let Err(refusal) = answer {
            let is_late = matches!(refusal.code, Code::DeadlineExceeded | Code::Unavailable);
            let is_late = is_short && (is_late || refusal.is_silence);
            ensure!(is_late, "with grpc-timeout {time}: {refusal}");
        }
    }
    Ok(())
}
