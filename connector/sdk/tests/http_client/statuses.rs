//! What a status means, for a read and for a change.

use std::time::Duration;

use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::http::Effect::{self, Changes, Creates, Reads};
use dcr_connector::http::StatusCode;

use crate::common::{ample, bytes, client, told};
use crate::server::{Reply, Server};

/// The fault that a call of this effect gets by this answer.
async fn fault(effect: Effect, status: u16, headers: &'static str, body: &'static str) -> Fault {
    let idp = Server::start(move |asked| match asked.nth {
        1 => Reply::Answer(bytes(status, headers, body)),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    let call = match effect {
        Effect::Reads => client.get(&["thing"]),
        Effect::Changes => client.put(&["thing"]),
        Effect::Creates => client.create(&["thing"]),
    };
    let answer = call.send(ample()).await.unwrap();
    answer.expect(&[StatusCode::OK]).unwrap_err()
}

#[tokio::test]
async fn each_status_is_a_fault_that_tells_what_was_done() {
    use Outcome::{NotApplied, Unknown};
    use Reason::{
        ClientExists, IdpAnswerUnclear, IdpAnswerUnusable, IdpCredentialRefused, IdpRightMissing,
        IdpThrottled, IdpUnavailable, Internal,
    };
    for (status, kind, reason) in [
        (400, "internal", Internal),
        (401, "refused", IdpCredentialRefused),
        (403, "refused", IdpRightMissing),
        (404, "internal", Internal),
        (409, "conflict", ClientExists),
        (422, "internal", Internal),
        (429, "throttled", IdpThrottled),
    ] {
        for effect in [Reads, Changes, Creates] {
            let fault = fault(effect, status, "", "").await;
            let expected = (kind, NotApplied, reason);
            assert_eq!(told(&fault), expected, "{status} {effect:?}");
        }
    }
    for status in [500, 502, 503, 504, 599] {
        for (effect, expected) in [
            (Reads, ("unavailable", NotApplied, IdpUnavailable)),
            (Changes, ("timed_out", Unknown, IdpAnswerUnclear)),
            (Creates, ("timed_out", Unknown, IdpAnswerUnclear)),
        ] {
            let fault = fault(effect, status, "", "").await;
            assert_eq!(told(&fault), expected, "{status} {effect:?}");
        }
    }
    // A success of another kind than the connector expects: something may have been done.
    let changed = ("internal", Unknown, IdpAnswerUnusable);
    assert_eq!(told(&fault(Changes, 202, "", "").await), changed);
}

#[tokio::test]
async fn an_idp_that_asks_to_wait_is_heard() {
    let after = |seconds| Some(Duration::from_secs(seconds));
    for (header, wait) in [
        ("retry-after: 7\r\n", after(7)),
        ("retry-after: 3600\r\n", after(60)),
        ("", None),
    ] {
        let throttled = FaultKind::Throttled { after: wait };
        assert_eq!(fault(Changes, 429, header, "").await.kind(), &throttled);
        assert_eq!(fault(Reads, 429, header, "").await.kind(), &throttled);
        let unavailable = FaultKind::Unavailable { after: wait };
        assert_eq!(fault(Reads, 503, header, "").await.kind(), &unavailable);
    }
}

#[tokio::test]
async fn the_idps_own_name_of_the_call_and_its_complaint_reach_the_log() {
    let complaint = r#"{"error":"invalid_request","error_description":"no such flow"}"#;
    let fault = fault(Changes, 400, "x-request-id: abc-1\r\n", complaint).await;
    assert_eq!(fault.correlation(), Some("abc-1"));
    let message = "PUT /thing answered 400: invalid_request: no such flow";
    assert_eq!(fault.to_string(), message);
    assert!(fault.sentence().is_none(), "Konnect is told none of it");
}
