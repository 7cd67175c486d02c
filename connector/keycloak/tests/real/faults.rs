//! What goes wrong between the connector and Keycloak.

use dcr_tests::Mishap;
use dcr_tests::konnect::application;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::Setup;
use crate::world::World;

fn lost(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Mishap {
    let status = StatusCode::from_u16(status).expect("a status of HTTP");
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    Mishap::AfterCommit(status, map, body.into())
}

pub(crate) async fn a_lost_create_leaves_nothing_behind(setup: &'static Setup) {
    let world = World::start(setup).await;
    let path = format!("/admin/realms/{}/clients", setup.arguments.realm);
    let one = format!("{path}/");
    let json = [("content-type", "application/json")];
    for (method, path, mishap) in [
        (
            Method::POST,
            &path,
            lost(500, &json, r#"{"error":"unknown_error"}"#),
        ),
        (
            Method::POST,
            &path,
            lost(502, &[], "<html>planted-idp-detail</html>"),
        ),
        (Method::POST, &path, lost(503, &[("retry-after", "1")], "")),
        // Without Location.
        (Method::POST, &path, lost(201, &[], "")),
        (
            Method::POST,
            &path,
            lost(302, &[("location", "http://127.0.0.1:1/elsewhere")], ""),
        ),
        // The client is there, and its secret cannot be read.
        (Method::GET, &one, Mishap::HalfAnAnswer),
        (
            Method::GET,
            &one,
            lost(500, &json, r#"{"error":"unknown_error"}"#),
        ),
        (Method::POST, &path, Mishap::Silence),
    ] {
        let before = setup.admin.ids().await;
        world.proxy.spoil(method, path, mishap.clone());
        let reply = world.konnect().create(&application("ferry")).await;
        assert!(world.proxy.is_spent(), "{mishap:?} did not happen");
        let status = reply.answer.status.as_u16();
        // Not 503, which says that nothing was changed.
        assert!([500, 504].contains(&status), "{mishap:?}: {status}");
        let refusal = reply.refused(status);
        assert!(
            !refusal.description.contains("planted-idp-detail"),
            "{}",
            refusal.description
        );
        setup.admin.only(&before).await;
    }
    let _ = world.client().await;
    world.cut().await;
}

pub(crate) async fn a_lost_rotation_can_be_repeated(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (id, _) = world.client().await;
    for mishap in [lost(500, &[], ""), Mishap::HalfAnAnswer] {
        world
            .proxy
            .spoil(Method::POST, "/client-secret", mishap.clone());
        let reply = world.konnect().rotate(&id).await;
        let status = reply.answer.status.as_u16();
        assert!([500, 504].contains(&status), "{mishap:?}: {status}");
        let _ = reply.refused(status);
        let rotated = world.konnect().rotate(&id).await.rotated(&id);
        assert!(setup.tokens().opens(&id, &rotated.client_secret).await);
    }
    world.end().await;
}

pub(crate) async fn a_server_that_is_away_comes_back(setup: &'static Setup) {
    let mut world = World::start(setup).await;
    let (id, secret) = world.client().await;
    world.proxy.stop().await;
    let konnect = world.konnect();
    for reply in [
        konnect.create(&application("ferry")).await,
        konnect.list(&id).await,
    ] {
        let _ = reply.refused(503);
    }
    world.proxy.resume();
    assert_eq!(world.konnect().list(&id).await.listed(&id).len(), 1);
    assert!(setup.tokens().opens(&id, &secret).await);
    world.end().await;
}

pub(crate) async fn a_refused_credential_is_the_operators(setup: &'static Setup) {
    let world = World::of(setup, ("dcr-bridge", "not-the-secret-at-all"), "", "").await;
    let before = setup.admin.ids().await;
    let refusal = world
        .konnect()
        .create(&application("ferry"))
        .await
        .refused(502);
    assert_eq!(refusal.error, "identity_provider_refused");
    assert_eq!(setup.admin.ids().await, before);
    world.end().await;
}

pub(crate) async fn missing_rights_are_the_operators(setup: &'static Setup) {
    let (id, secret) = setup.admin.insert(&json!({})).await;
    let world = World::of(setup, (&id, &secret), "", "").await;
    let before = setup.admin.ids().await;
    let refusal = world
        .konnect()
        .create(&application("ferry"))
        .await
        .refused(502);
    assert_eq!(refusal.error, "identity_provider_refused");
    assert_eq!(setup.admin.ids().await, before);
    world.end().await;

    // The README's least right, without the one for roles.
    setup.admin.allow(&id, &["manage-clients"]).await;
    let grants = "  grants:
  - entity: scopes-only
    default_scopes: [ferry-audience]
";
    let world = World::of(setup, (&id, &secret), grants, "").await;
    let (client, first) = world.client().await;
    let registration = json!({"api_id": "scopes-only"});
    let added = dcr_tests::konnect::event("add_registration", &client, &registration);
    world.konnect().hook(&client, &added).await.heard();
    let rotated = world.konnect().rotate(&client).await.rotated(&client);
    assert_ne!(*rotated.client_secret, *first);
    world.konnect().delete(&client).await.gone();
    world.end().await;
    setup.admin.remove(&id).await;
}
