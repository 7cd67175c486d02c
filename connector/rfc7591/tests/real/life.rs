//! What Konnect does with a client in its life.

use dcr_tests::konnect::{event, verify};
use http::Method;
use serde_json::{Value, json};

use crate::Setup;
use crate::server::GRANTED;
use crate::world::{Store, World, ferry};

pub(crate) const AUDIENCE: &str = "https://api.ferry.example";
/// What registrations for an API grant; every one of [`AUDIENCE`].
pub(crate) const GRANTS: &str = "  grants:
  - audience: https://api.ferry.example
    scopes: [orders.write]
";

pub(crate) async fn a_client_opens_tokens_until_it_is_deleted(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, server) = (&world.konnect, &setup.server);
    let before = server.clients().await;
    let (id, secret) = world.client().await;
    assert!(server.opens(&id, &secret).await, "its secret opens nothing");
    assert!(!server.opens(&id, "not-its-secret-at-all").await);
    let mut with = before.clone();
    with.insert(id.clone());
    assert_eq!(server.clients().await, with);
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);

    konnect.delete(&id).await.gone();
    assert!(
        !server.opens(&id, &secret).await,
        "its secret outlives the client"
    );
    assert_eq!(server.clients().await, before);
    konnect.delete(&id).await.gone();
    let rotated = konnect.rotate(&id).await;
    assert_eq!(rotated.refused(404).error, "client_not_found");
    world.end().await;
}

pub(crate) async fn an_update_keeps_the_secret_or_is_refused(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, server) = (&world.konnect, &setup.server);
    let (id, secret) = world.client().await;
    let before = setup.proxy.count();
    let uris = json!(["https://ferry.example/cb", "https://ferry.example/other"]);
    let members = json!({"application_name": "ferry two", "redirect_uris": uris});
    let heard = konnect
        .hook(&id, &event("update_application", &id, &members))
        .await;
    if server.updates() {
        heard.heard();
        let (sent, answered) = last_put(setup);
        for metadata in [sent, answered] {
            assert_eq!(metadata["redirect_uris"], uris);
            assert_eq!(metadata["client_name"], "ferry two");
            // What the server gave and nobody changed was sent back.
            assert_eq!(metadata["scope"], ferry()["scopes"][0]);
        }
        // Again, from what the first one left.
        let members = json!({"application_name": "ferry three"});
        let update = event("update_application", &id, &members);
        konnect.hook(&id, &update).await.heard();
        let (sent, _) = last_put(setup);
        assert_eq!(sent["redirect_uris"], uris);
    } else {
        let refusal = heard.refused(400);
        assert_eq!(refusal.error, "unsupported");
        assert!(
            refusal.description.contains("secret"),
            "{}",
            refusal.description
        );
        assert_eq!(setup.proxy.count(), before, "the server was asked");
    }
    assert!(server.opens(&id, &secret).await, "the secret did not stay");
    konnect.delete(&id).await.gone();
    world.end().await;
}

/// The last PUT that went by: what was sent and what was answered.
fn last_put(setup: &Setup) -> (Value, Value) {
    let seen = setup.proxy.seen().into_iter().rev();
    let put = seen.into_iter().find(|seen| seen.method == Method::PUT);
    let put = put.expect("the server was asked");
    let sent = serde_json::from_slice(&put.request_body).expect("the request is JSON");
    (sent, put.answer.expect("the server answered").json())
}

pub(crate) async fn a_rotation_replaces_the_secret_or_is_refused(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, server) = (&world.konnect, &setup.server);
    let (id, mut secret) = world.client().await;
    for _ in 0..3 {
        let before = setup.proxy.count();
        let rotated = konnect.rotate(&id).await;
        if server.rotates() {
            let new = rotated.rotated(&id).client_secret.to_string();
            assert!(
                server.opens(&id, &new).await,
                "the new secret opens nothing"
            );
            assert!(!server.opens(&id, &secret).await, "the old secret lives on");
            secret = new;
        } else {
            assert_eq!(rotated.refused(400).error, "unsupported");
            assert_eq!(setup.proxy.count(), before, "the server was asked");
            assert!(server.opens(&id, &secret).await, "the secret did not stay");
        }
    }
    konnect.delete(&id).await.gone();
    world.end().await;
}

pub(crate) async fn a_registration_grants_a_scope_or_is_refused(setup: &'static Setup) {
    let server = &setup.server;
    if !server.updates() {
        // Nothing can be granted, and the configuration says so before anybody relies on it.
        let (content, output) = crate::check::check(setup, &setup.server.idp, GRANTS, &[]).await;
        assert!(!content && output.contains("idp.grants"), "{output}");
        return;
    }
    let world = World::with(setup, &Store::Sqlite, GRANTS).await;
    let konnect = &world.konnect;
    let (id, secret) = world.client().await;
    let entity = |kind: &str, id: &str| json!({"api_product_version_id": id, "audience": AUDIENCE, "event": kind});
    assert!(!server.opens_for(&id, &secret, GRANTED).await);
    for (kind, entity_id, granted) in [
        ("add_registration", "e1", true),
        ("add_registration", "e2", true),
        ("add_registration", "e2", true),
        ("remove_registration", "e1", true),
        ("remove_registration", "e2", false),
        ("remove_registration", "e2", false),
    ] {
        let event = event(kind, &id, &entity(kind, entity_id));
        konnect.hook(&id, &event).await.heard();
        let opens = server.opens_for(&id, &secret, GRANTED).await;
        assert_eq!(opens, granted, "{kind} {entity_id}");
        assert!(server.opens(&id, &secret).await, "its own scope is gone");
    }
    konnect.delete(&id).await.gone();
    world.end().await;
}

pub(crate) async fn a_client_outlives_the_connector(setup: &'static Setup) {
    let mut world = World::lasting(setup, &Store::Sqlite).await;
    let (id, mut secret) = world.client().await;
    let (other, _) = world.client().await;
    for name in ["ferry one", "ferry two"] {
        world.restart().await;
        let (konnect, server) = (&world.konnect, &setup.server);
        if server.updates() {
            let update = event(
                "update_application",
                &id,
                &json!({"application_name": name}),
            );
            konnect.hook(&id, &update).await.heard();
        }
        if server.rotates() {
            secret = konnect
                .rotate(&id)
                .await
                .rotated(&id)
                .client_secret
                .to_string();
        }
        assert!(server.opens(&id, &secret).await);
    }
    world.restart().await;
    for id in [id, other] {
        world.konnect.delete(&id).await.gone();
        world.restart().await;
        world.konnect.delete(&id).await.gone();
        assert!(!setup.server.clients().await.contains(&id));
    }
    world.end().await;
}

pub(crate) async fn konnect_verifies(setup: &'static Setup) {
    let world = World::start(setup).await;
    let before = setup.server.clients().await;
    let client = world.konnect.create(&verify()).await.created();
    world.konnect.delete(&client.client_id).await.gone();
    assert_eq!(setup.server.clients().await, before);
    world.end().await;
}

pub(crate) async fn calls_at_once_leave_a_client_whole(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, server) = (&world.konnect, &setup.server);
    let (id, mut secret) = world.client().await;
    if server.updates() {
        let update = |n: u8| {
            let members = json!({"application_name": format!("ferry {n}")});
            event("update_application", &id, &members)
        };
        let (a, b, c) = (update(1), update(2), update(3));
        let (a, b, c) = tokio::join!(
            konnect.hook(&id, &a),
            konnect.hook(&id, &b),
            konnect.hook(&id, &c)
        );
        for reply in [a, b, c] {
            reply.heard();
        }
    }
    if server.rotates() {
        let (a, b) = tokio::join!(konnect.rotate(&id), konnect.rotate(&id));
        let mut live = Vec::new();
        for reply in [a, b] {
            let new = reply.rotated(&id).client_secret.to_string();
            if server.opens(&id, &new).await {
                live.push(new);
            }
        }
        assert_eq!(live.len(), 1, "not one secret lives");
        secret = live.remove(0);
    }
    assert!(server.opens(&id, &secret).await);
    konnect.delete(&id).await.gone();
    world.end().await;
}
