//! A full run with everything that can go wrong, and then every line that was printed, searched for secrets.

use bytes::Bytes;
use dcr_tests::konnect::{application, event, verify};
use dcr_tests::schema::Application;
use dcr_tests::small_idp::CLIENTS;
use dcr_tests::{Mishap, raw};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::start::{Bridge, bridge, bridge_with};

/// Every call once as it should be, and once refused.
async fn usual_calls(bridge: &Bridge) -> Application {
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let added = konnect.add(id).await.added(id);
    let _ = konnect.add(id).await.refused(400);
    konnect.list(id).await.listed(id);
    konnect.remove(id, &added.secret_id).await.gone();
    konnect.rotate(id).await.rotated(id);
    for event in [
        event("update_application", id, &json!({"redirect_uris": []})),
        event("add_registration", id, &json!({"api_id": "a"})),
    ] {
        konnect.hook(id, &event).await.heard();
    }
    let _ = bridge.provider("two").rotate(id).await.refused(404);
    konnect.create(&verify()).await.created();
    client
}

/// Keys and client secrets in every place that is not theirs. The place of a client's id is missing: ids are no
/// secrets and stand in the log, whatever is sent as one.
async fn secrets_where_none_belong(bridge: &Bridge, client: &Application) {
    let konnect = bridge.konnect();
    let id = &*client.client_id;
    let secret = &*client.client_secret;
    let key = bridge.gateway.key("one").to_owned();

    let nowhere = format!("/{id}/{key}");
    let _ = konnect
        .call(Method::POST, &nowhere, None)
        .await
        .refused(404);
    let query = format!("/absent/new-secret?key={key}&secret={secret}");
    let _ = konnect.call(Method::POST, &query, None).await.refused(404);
    let stranger = konnect.at(&format!("http://{}/{key}", bridge.gateway.address));
    let _ = stranger.rotate(id).await.refused(401);
    let _ = konnect.rotate(&format!("{key}%20")).await.refused(400);

    let wrong = konnect.with_key(Some(&format!("{key}x")));
    let _ = wrong.rotate(id).await.refused(401);
    let others = bridge.provider("two").with_key(Some(&key));
    let _ = others.rotate(id).await.refused(401);
    let twice = konnect
        .request(Method::DELETE, "/c")
        .header("x-api-key", &key);
    let _ = konnect
        .send(twice.body(Full::default()).unwrap())
        .await
        .refused(401);

    for body in [
        json!({"client_name": key, "scopes": [{}]}),
        json!({"client_name": "x", "redirect_uris": [format!("javascript:{secret}")]}),
        json!({"client_name": "x", "application_description": [key]}),
        json!(secret),
    ] {
        let _ = konnect.create(&body).await.refused(400);
    }
    let cut = format!("{{\"client_name\":\"{secret}");
    let cut = konnect.request(Method::POST, "/").body(Full::from(cut));
    let _ = konnect.send(cut.unwrap()).await.refused(400);
    let broken = format!("DELETE /one/c HTTP/1.1\r\nhost: x\r\nx-api-key {key}\r\n\r\n");
    let broken = raw::exchange(&bridge.gateway.address.to_string(), broken.as_bytes()).await;
    assert!(broken.is_ok_and(|answer| answer.status.is_client_error()));
    let hook = json!({"event_type": "update_application", "client_id": key});
    let _ = konnect.hook(id, &hook).await.refused(400);
}

/// An IdP that answers with secrets in what cannot be read.
async fn garbled_answers(bridge: &Bridge, client: &Application) {
    let secret = &*client.client_secret;
    let garbled = json!({
        "client_id": 1,
        "error": "server_error",
        "client_secret": {"a": secret},
        "detail": secret,
    });
    let garbled = Bytes::from(garbled.to_string());
    let after = |status| Mishap::AfterCommit(status, HeaderMap::new(), garbled.clone());
    for mishap in [
        after(StatusCode::CREATED),
        after(StatusCode::BAD_REQUEST),
        after(StatusCode::INTERNAL_SERVER_ERROR),
        Mishap::HalfAnAnswer,
        Mishap::Member("client_id", format!("a/{secret}").into()),
        Mishap::Member("client_secret", format!("{secret}\r\n").into()),
    ] {
        bridge.proxy.spoil(Method::POST, CLIENTS, mishap);
        let reply = bridge.konnect().create(&application("ferry")).await;
        let status = reply.answer.status;
        assert!(status.is_server_error(), "{status}");
    }
    assert!(bridge.proxy.is_spent());
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret_key_or_token() {
    let mut bridge = bridge_with(&["one", "two"], "", "").await;
    let client = usual_calls(&bridge).await;
    secrets_where_none_belong(&bridge, &client).await;
    garbled_answers(&bridge, &client).await;
    bridge.konnect().delete(&client.client_id).await.gone();

    let metrics = [
        bridge.gateway_metrics().await,
        bridge.connector_metrics().await,
    ];
    let planted = bridge.planted();
    assert!(
        planted.count() >= 12,
        "keys, clients' secrets, the connector's own and its tokens: {}",
        planted.count()
    );
    let output = bridge.end().await;
    for line in [r#""level":"DEBUG""#, "call answered", "call failed"] {
        assert!(output.contains(line), "too little was printed:\n{output}");
    }
    planted.assert_absent("what was printed", &output);
    for metrics in metrics {
        planted.assert_absent("metrics", &metrics);
    }
}

#[tokio::test]
async fn every_reference_that_konnect_is_told_is_in_the_logs() {
    let mut bridge = bridge().await;
    let konnect = bridge.konnect();
    let refusals = [
        konnect.with_key(None).rotate("c").await.refused(401),
        konnect.create(&json!({})).await.refused(400),
        konnect.rotate("absent").await.refused(404),
        konnect
            .call(Method::GET, "/c/nothing", None)
            .await
            .refused(404),
    ];
    bridge.end().await;
    let output = bridge.gateway.process.output();
    for refusal in &refusals {
        assert!(
            output.contains(&refusal.reference),
            "{} is not in the log",
            refusal.reference
        );
    }
    let connector = bridge.connector.process.output();
    assert!(
        connector.contains(&refusals[2].reference),
        "the connector's log does not know the call"
    );
}
