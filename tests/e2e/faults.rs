//! An IdP that fails in every way it can: what Konnect is told, and what is left behind.

use std::time::Duration;

use bytes::Bytes;
use dcr_tests::Mishap;
use dcr_tests::konnect::application;
use dcr_tests::small_idp::CLIENTS;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

use crate::start::{Bridge, bridge};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (
            http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    pairs.collect()
}

fn error_body() -> Bytes {
    Bytes::from_static(
        br#"{"error":"server_error","error_description":"planted-idp-detail at idp.internal"}"#,
    )
}

/// Creates a client while the IdP's answer to that is spoiled; the status that Konnect gets must be this one.
async fn create(bridge: &Bridge, mishap: Mishap, status: u16) -> dcr_tests::Refusal {
    bridge.proxy.spoil(Method::POST, CLIENTS, mishap);
    let refusal = bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .refused(status);
    assert!(bridge.proxy.is_spent(), "the create did not reach the IdP");
    assert!(
        !refusal.description.contains("planted-idp-detail"),
        "{}",
        refusal.description
    );
    refusal
}

#[tokio::test]
async fn an_idp_that_refuses_our_credential_is_502_and_never_401() {
    let bridge = bridge().await;
    let denied = Mishap::Instead(
        StatusCode::FORBIDDEN,
        headers(&[("content-type", "application/json")]),
        error_body(),
    );
    let refusal = create(&bridge, denied, 502).await;
    assert_eq!(refusal.error, "identity_provider_refused");
}

#[tokio::test]
async fn a_rate_limit_is_passed_on_with_its_time() {
    let bridge = bridge().await;
    for (told, expected) in [("7", 7), ("100000", 60), ("0", 1)] {
        let limited = Mishap::Instead(
            StatusCode::TOO_MANY_REQUESTS,
            headers(&[("retry-after", told)]),
            Bytes::new(),
        );
        let refusal = create(&bridge, limited, 429).await;
        assert_eq!(refusal.retry_after, Some(expected), "the IdP said {told}");
    }
    assert!(bridge.idp().clients().await.is_empty());
}

#[tokio::test]
async fn a_create_that_the_idp_made_and_denied_leaves_nothing_behind() {
    let bridge = bridge().await;
    let lost = |status: u16, head: &[(&'static str, &'static str)], body: Bytes| {
        Mishap::AfterCommit(StatusCode::from_u16(status).unwrap(), headers(head), body)
    };
    let json = [("content-type", "application/json")];
    let huge = Bytes::from(format!(r#"{{"client_id":"{}"}}"#, "x".repeat(2_000_000)));
    let mishaps = [
        lost(500, &json, error_body()),
        lost(
            502,
            &[],
            Bytes::from_static(b"<html>planted-idp-detail</html>"),
        ),
        lost(503, &[("retry-after", "1")], Bytes::new()),
        lost(
            302,
            &[("location", "http://127.0.0.1:1/elsewhere")],
            Bytes::new(),
        ),
        lost(201, &json, Bytes::from_static(b"{")),
        lost(201, &json, Bytes::new()),
        lost(201, &json, Bytes::from_static(b"[]")),
        lost(201, &json, huge),
        Mishap::HalfAnAnswer,
    ];
    for mishap in mishaps {
        bridge.proxy.spoil(Method::POST, CLIENTS, mishap.clone());
        let reply = bridge.konnect().create(&application("ferry")).await;
        let status = reply.answer.status.as_u16();
        // Not 503, which says that nothing was changed.
        assert!([500, 504].contains(&status), "{mishap:?}: {status}");
        let refusal = reply.refused(status);
        assert!(
            !refusal.description.contains("planted-idp-detail"),
            "{}",
            refusal.description
        );
        bridge.nothing_left().await;
    }
}

#[tokio::test]
async fn an_id_or_secret_that_konnect_could_not_keep_fails_the_create_and_leaves_nothing_behind() {
    let bridge = bridge().await;
    let long = Value::from("x".repeat(256));
    let ids = [
        "", ".", "..", "a/b", "../admin", "a b", "a%2fb", "a\u{0}b", "a\r\nb", "ä",
    ]
    .map(Value::from);
    let secrets = ["", "a\u{0}b", "ä"].map(Value::from);
    let ids = ids
        .into_iter()
        .chain([long.clone(), Value::from(7)])
        .map(|id| ("client_id", id));
    let secrets = secrets
        .into_iter()
        .chain([long])
        .map(|secret| ("client_secret", secret));
    for (member, value) in ids.chain(secrets) {
        let shown = format!("{member} {value:.40}");
        bridge
            .proxy
            .spoil(Method::POST, CLIENTS, Mishap::Member(member, value));
        let reply = bridge.konnect().create(&application("ferry")).await;
        let status = reply.answer.status.as_u16();
        assert!([500, 502, 504].contains(&status), "{shown}: {status}");
        let _ = reply.refused(status);
        bridge.nothing_left().await;
    }
}

#[tokio::test]
async fn a_dead_idp_is_503_and_comes_back_without_a_restart() {
    let mut bridge = bridge().await;
    bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
    bridge.proxy.stop().await;
    let refusal = bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .refused(503);
    assert!(refusal.retry_after.is_some());
    assert!(refusal.took < Duration::from_secs(4), "{:?}", refusal.took);
    let _ = bridge.konnect().list("c").await.refused(503);
    bridge.proxy.resume();
    bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
}

#[tokio::test]
async fn an_expired_token_of_the_connector_is_renewed_unseen() {
    let bridge = bridge().await;
    bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
    let expired = Mishap::Instead(StatusCode::UNAUTHORIZED, HeaderMap::new(), Bytes::new());
    bridge.proxy.spoil(Method::POST, CLIENTS, expired);
    bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
    assert!(bridge.proxy.is_spent());
    assert_eq!(
        bridge.idp().clients().await.len(),
        2,
        "a create was sent twice and made twice"
    );
}

#[tokio::test]
async fn a_create_whose_answer_comes_too_late_is_given_up_in_time_and_undone() {
    let bridge = bridge().await;
    let (held, gate) = Mishap::held();
    bridge.proxy.spoil(Method::POST, CLIENTS, held);
    let refusal = bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .refused(504);
    assert!(
        refusal.took < Duration::from_millis(9_500),
        "{:?}",
        refusal.took
    );
    gate.open();
    bridge.nothing_left().await;
}

#[tokio::test]
async fn reads_of_a_broken_idp_break_nothing() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let path = format!("{CLIENTS}/{id}");
    for mishap in [
        Mishap::AfterCommit(
            StatusCode::OK,
            HeaderMap::new(),
            Bytes::from_static(b"null"),
        ),
        Mishap::AfterCommit(
            StatusCode::OK,
            HeaderMap::new(),
            Bytes::from_static(b"\xff"),
        ),
        Mishap::AfterCommit(
            StatusCode::INTERNAL_SERVER_ERROR,
            HeaderMap::new(),
            error_body(),
        ),
        Mishap::HalfAnAnswer,
    ] {
        bridge.proxy.spoil(Method::GET, &path, mishap);
        let reply = konnect.list(id).await;
        let status = reply.answer.status.as_u16();
        assert!([500, 502, 503, 504].contains(&status), "{status}");
        let _ = reply.refused(status);
    }
    assert!(bridge.proxy.is_spent());
    konnect.list(id).await.listed(id);
}
