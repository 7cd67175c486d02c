//! A connector whose failures are told as no connector tells them.

use dcr_proto::v1;
use dcr_tests::Refusal;
use dcr_tests::hostile::Answer;
use prost::Message as _;
use prost_types::{Any, Duration};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::hostile_connector::{Bridge, PLANTED, in_time};

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

/// A status as a connector makes it, with these details beside those that make it one.
fn status(code: Code, mut details: Vec<Any>) -> Status {
    let info = pb::ErrorInfo {
        reason: "NO_SUCH_REASON".to_owned(),
        domain: "dcr.connector.v1".to_owned(),
        ..Default::default()
    };
    details.push(any("google.rpc.ErrorInfo", &info));
    let outcome = v1::OutcomeDetail {
        outcome: v1::Outcome::NotApplied.into(),
    };
    details.push(any("dcr.connector.v1.OutcomeDetail", &outcome));
    let packed = pb::Status {
        code: code as i32,
        message: String::new(),
        details,
    };
    let message = format!("{PLANTED} in the message");
    Status::with_details(code, message, packed.encode_to_vec().into())
}

#[tokio::test]
async fn a_status_that_no_connector_made_promises_nothing_and_tells_nothing() {
    let bridge = Bridge::start().await;
    let message = format!("<script>{PLANTED}</script>\r\nset-cookie: a=b at http://idp.internal");
    for code in 1..=16 {
        let code = Code::from_i32(code);
        let status = Status::new(code, message.clone());
        bridge
            .create_is_undone(Answer::Status(status.clone()), 504)
            .await;
        let aborts = bridge.hostile.count("abort_operation");
        bridge.hostile.answers().all(&status);
        bridge.hostile.answers().abort_operation = Answer::Message(v1::AbortOperationResponse {
            abort: v1::Abort::Accepted.into(),
        });
        for reply in bridge.all_calls().await {
            assert_eq!(reply.answer.status, 504, "{code:?}");
            let refusal = in_time(reply.refused(504));
            assert!(!refusal.description.contains("script"), "{refusal:?}");
        }
        // The create and the added secret.
        let _ = bridge.hostile.seen("abort_operation", aborts + 1).await;
    }
    bridge.is_unharmed().await;
}

#[tokio::test]
async fn what_a_status_tells_konnect_is_short_printable_and_leads_nowhere() {
    let bridge = Bridge::start().await;
    let said = [
        "a\r\nb\0c\u{1b}[31m\u{202e}\u{2028}d".to_owned(),
        "<img src=x onerror=alert(1)>".to_owned(),
        "x".repeat(9_000),
        format!("Log in again at https://idp.example/{PLANTED}."),
        String::new(),
        " ".to_owned(),
    ];
    for text in said {
        let message = text.clone();
        let locale = "en".to_owned();
        let detail = any(
            "google.rpc.LocalizedMessage",
            &pb::LocalizedMessage { locale, message },
        );
        bridge.hostile.answers().delete_client =
            Answer::Status(status(Code::FailedPrecondition, vec![detail]));
        let refusal = in_time(bridge.konnect.delete("c").await.refused(400));
        assert_is_plain(&refusal);

        let violation = pb::bad_request::FieldViolation {
            field: "scopes[99999999999]".to_owned(),
            description: text.chars().take(300).collect(),
            ..Default::default()
        };
        let field_violations = vec![violation; 20];
        let detail = any(
            "google.rpc.BadRequest",
            &pb::BadRequest { field_violations },
        );
        bridge.hostile.answers().delete_client =
            Answer::Status(status(Code::InvalidArgument, vec![detail]));
        let refusal = in_time(bridge.konnect.delete("c").await.refused(400));
        assert_is_plain(&refusal);
    }
}

#[track_caller]
fn assert_is_plain(refusal: &Refusal) {
    let text = &refusal.description;
    assert!(!text.contains(['<', '>', '\u{202e}', '\u{2028}']), "{text}");
    assert!(!refusal.sentence().trim().is_empty(), "{text}");
    // Ten violations of 200 characters each, with their fields' names.
    assert!(text.chars().count() < 2_300, "{text}");
}

#[tokio::test]
async fn a_wait_that_nobody_could_wait_is_one_to_sixty_seconds() {
    let bridge = Bridge::start().await;
    let wait = |seconds, nanos| Some(Duration { seconds, nanos });
    for retry_delay in [
        None,
        wait(-1, 0),
        wait(i64::MAX, 0),
        wait(i64::MIN, i32::MIN),
        wait(0, 1),
        wait(0, i32::MAX),
        wait(86_400, 0),
    ] {
        for (code, expected) in [(Code::ResourceExhausted, 429), (Code::Unavailable, 503)] {
            let detail = any("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay });
            bridge.hostile.answers().delete_client = Answer::Status(status(code, vec![detail]));
            let refusal = in_time(bridge.konnect.delete("c").await.refused(expected));
            assert!(
                matches!(refusal.retry_after, Some(1..=60)),
                "{retry_delay:?}"
            );
        }
    }
}

#[tokio::test]
async fn details_that_cannot_be_read_are_no_details() {
    let bridge = Bridge::start().await;
    let garbage = |name: &str| Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: vec![0xff; 64],
    };
    let names = [
        "google.rpc.LocalizedMessage",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
        "",
    ];
    let details = names.map(garbage).to_vec();
    bridge.hostile.answers().delete_client =
        Answer::Status(status(Code::FailedPrecondition, details));
    let _ = in_time(bridge.konnect.delete("c").await.refused(400));
    let unpacked = Status::with_details(Code::NotFound, PLANTED, vec![0xff; 64].into());
    bridge.create_is_undone(Answer::Status(unpacked), 504).await;
    // More than HTTP/2 takes as trailers.
    let endless = Status::new(Code::NotFound, PLANTED.repeat(10_000));
    bridge.create_is_undone(Answer::Status(endless), 504).await;
    bridge.is_unharmed().await;
}
