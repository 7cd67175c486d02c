//! Konnect's events, judged by what they change at the IdP.

use dcr_tests::konnect::{application, event, merge};
use dcr_tests::token::{audiences, scopes};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::start::{Bridge, bridge_with};

const FERRY: &str = "https://api.ferry.example";
const ENTITY: &str = "b3d8e7f6-5c4b-4a39-9281-7f6e5d4c3b77";
const GRANTS: &str = "  grants:
  - audience: https://api.ferry.example
    scopes: [timetable.read]
    audiences: [https://api.ferry.example]
  - entity: orders-entity
    scopes: [orders.read, timetable.read]
";

/// A bridge that maps an audience and an entity to grants, and a client in it.
async fn start() -> (Bridge, String, String) {
    let bridge = bridge_with(&["one"], GRANTS, "").await;
    let client = bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
    (
        bridge,
        client.client_id.to_string(),
        client.client_secret.to_string(),
    )
}

async fn register(bridge: &Bridge, id: &str, members: Value) {
    bridge
        .konnect()
        .hook(id, &event("add_registration", id, &members))
        .await
        .heard();
}

async fn unregister(bridge: &Bridge, id: &str, members: Value) {
    bridge
        .konnect()
        .hook(id, &event("remove_registration", id, &members))
        .await
        .heard();
}

/// The scopes and audiences of a token that the client gets when it asks for nothing special.
async fn rights(bridge: &Bridge, id: &str, secret: &str) -> (Vec<String>, Vec<String>) {
    let claims = bridge
        .tokens()
        .claims(id, secret, None)
        .await
        .expect("the credentials are good");
    let (mut scopes, mut audiences) = (scopes(&claims), audiences(&claims));
    scopes.sort();
    audiences.sort();
    (scopes, audiences)
}

#[tokio::test]
async fn an_updated_application_is_updated_at_the_idp_and_keeps_its_secret() {
    let (bridge, id, secret) = start().await;
    let update = json!({
        "application_name": "ferry, renamed",
        "application_description": "now with a description",
        "redirect_uris": ["https://ferry.example/new", "http://localhost/cb"],
    });
    bridge
        .konnect()
        .hook(&id, &event("update_application", &id, &update))
        .await
        .heard();
    let found = bridge.idp().client(&id).await.expect("the client is there");
    assert_eq!(found["name"], "ferry, renamed");
    assert_eq!(found["description"], "now with a description");
    assert_eq!(
        found["redirect_uris"],
        json!(["https://ferry.example/new", "http://localhost/cb"])
    );
    assert!(
        bridge.tokens().opens(&id, &secret).await,
        "an update has changed the secret"
    );
}

#[tokio::test]
async fn what_an_update_does_not_say_stays() {
    let (bridge, id, _) = start().await;
    let mut update = event(
        "update_application",
        &id,
        &json!({"application_description": "set"}),
    );
    merge(&mut update, &json!({"application_name": null}));
    bridge.konnect().hook(&id, &update).await.heard();
    let found = bridge.idp().client(&id).await.expect("the client is there");
    assert_eq!(found["name"], "ferry");
    assert_eq!(found["redirect_uris"], json!(["https://ferry.example/cb"]));
    let clear = event(
        "update_application",
        &id,
        &json!({"redirect_uris": [], "application_description": ""}),
    );
    bridge.konnect().hook(&id, &clear).await.heard();
    let found = bridge.idp().client(&id).await.expect("the client is there");
    assert_eq!(found["description"], "");
    assert_eq!(found["redirect_uris"], json!([]));
}

#[tokio::test]
async fn a_registration_grants_what_the_configuration_maps_it_to_and_its_end_takes_it_away() {
    let (bridge, id, secret) = start().await;
    let before = rights(&bridge, &id, &secret).await;
    let registration = json!({"api_product_version_id": ENTITY, "audience": FERRY});
    register(&bridge, &id, registration.clone()).await;
    let (scopes, audiences) = rights(&bridge, &id, &secret).await;
    assert!(scopes.contains(&"timetable.read".to_owned()), "{scopes:?}");
    assert!(audiences.contains(&FERRY.to_owned()), "{audiences:?}");
    // Twice is once.
    register(&bridge, &id, registration.clone()).await;
    assert_eq!(rights(&bridge, &id, &secret).await, (scopes, audiences));
    unregister(&bridge, &id, registration.clone()).await;
    assert_eq!(rights(&bridge, &id, &secret).await, before);
    unregister(&bridge, &id, registration).await;
    assert_eq!(rights(&bridge, &id, &secret).await, before);
}

#[tokio::test]
async fn an_entity_whose_audience_changes_loses_what_the_old_one_granted() {
    let (bridge, id, secret) = start().await;
    let before = rights(&bridge, &id, &secret).await;
    register(&bridge, &id, json!({"api_id": ENTITY, "audience": FERRY})).await;
    assert_ne!(rights(&bridge, &id, &secret).await, before);
    let unmapped = json!({"api_id": ENTITY, "audience": "https://elsewhere.example"});
    register(&bridge, &id, unmapped.clone()).await;
    assert_eq!(rights(&bridge, &id, &secret).await, before);
    unregister(&bridge, &id, unmapped).await;
    assert_eq!(rights(&bridge, &id, &secret).await, before);
}

#[tokio::test]
async fn two_registrations_that_grant_the_same_do_not_undo_each_other() {
    let (bridge, id, secret) = start().await;
    let before = rights(&bridge, &id, &secret).await;
    let ferry = json!({"api_id": ENTITY, "audience": FERRY});
    let orders = json!({"entity_id": "orders-entity"});
    register(&bridge, &id, ferry.clone()).await;
    register(&bridge, &id, orders.clone()).await;
    unregister(&bridge, &id, ferry).await;
    let (scopes, audiences) = rights(&bridge, &id, &secret).await;
    assert!(
        scopes.contains(&"timetable.read".to_owned()),
        "the other API still needs it: {scopes:?}"
    );
    assert!(!audiences.contains(&FERRY.to_owned()), "{audiences:?}");
    unregister(&bridge, &id, orders).await;
    assert_eq!(rights(&bridge, &id, &secret).await, before);
}

#[tokio::test]
async fn a_scope_that_the_application_asked_for_itself_survives_the_end_of_a_registration() {
    let bridge = bridge_with(&["one"], GRANTS, "").await;
    let mut body = application("ferry");
    merge(&mut body, &json!({"scopes": ["timetable.read"]}));
    let client = bridge.konnect().create(&body).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let registration = json!({"api_id": ENTITY, "audience": FERRY});
    register(&bridge, id, registration.clone()).await;
    unregister(&bridge, id, registration).await;
    let claims = bridge
        .tokens()
        .claims(id, secret, Some("timetable.read"))
        .await;
    assert_eq!(scopes(&claims.expect("a token")), ["timetable.read"]);
}

#[tokio::test]
async fn registrations_at_once_are_all_kept() {
    let (bridge, id, secret) = start().await;
    let before = rights(&bridge, &id, &secret).await;
    let konnect = bridge.konnect();
    let ferry = |entity: &str| json!({"api_id": entity, "audience": FERRY});
    let orders = json!({"api_id": "orders-entity"});
    let mut hooks = JoinSet::new();
    for members in ["a", "b", "c", "d", "e"].map(ferry).iter().chain([&orders]) {
        hooks.spawn(konnect.hook(&id, &event("add_registration", &id, members)));
    }
    while let Some(reply) = hooks.join_next().await {
        reply.unwrap().heard();
    }
    let all = rights(&bridge, &id, &secret).await;
    let (scopes, audiences) = &all;
    assert!(scopes.contains(&"orders.read".to_owned()), "{scopes:?}");
    assert!(audiences.contains(&FERRY.to_owned()), "{audiences:?}");
    // As long as one is left, nothing is taken away.
    for entity in ["a", "b", "c", "d"] {
        unregister(&bridge, &id, ferry(entity)).await;
        assert_eq!(rights(&bridge, &id, &secret).await, all, "without {entity}");
    }
    unregister(&bridge, &id, ferry("e")).await;
    unregister(&bridge, &id, orders).await;
    assert_eq!(rights(&bridge, &id, &secret).await, before);
}

#[tokio::test]
async fn what_is_not_mapped_and_what_is_not_known_is_heard_and_changes_nothing() {
    let (bridge, id, secret) = start().await;
    let before = rights(&bridge, &id, &secret).await;
    let found = bridge.idp().client(&id).await;
    register(&bridge, &id, json!({"api_id": "unheard-of"})).await;
    register(
        &bridge,
        &id,
        json!({"api_id": "unheard-of", "audience": "https://elsewhere.example"}),
    )
    .await;
    unregister(&bridge, &id, json!({"api_id": "unheard-of"})).await;
    bridge
        .konnect()
        .hook(
            &id,
            &event("application_painted_blue", &id, &json!({"color": "blue"})),
        )
        .await
        .heard();
    assert_eq!(rights(&bridge, &id, &secret).await, before);
    assert_eq!(bridge.idp().client(&id).await, found);
    let metrics = bridge.gateway_metrics().await;
    assert!(metrics.contains("dcr_unknown_events_total 1"), "{metrics}");
    assert!(metrics.contains(r#"outcome="not_mapped"} 3"#), "{metrics}");
}

#[tokio::test]
async fn an_application_with_as_many_scopes_as_there_may_be_can_be_registered() {
    let bridge = bridge_with(&["one"], GRANTS, "").await;
    let scopes = (0..50).map(|n| format!("{n:0>128}")).collect::<Vec<_>>();
    let mut body = application("ferry");
    merge(&mut body, &json!({"scopes": scopes}));
    let client = bridge.konnect().create(&body).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let before = rights(&bridge, id, secret).await;
    let registration = json!({"api_id": ENTITY, "audience": FERRY});
    register(&bridge, id, registration.clone()).await;
    assert_eq!(rights(&bridge, id, secret).await.1, [FERRY]);
    unregister(&bridge, id, registration).await;
    assert_eq!(rights(&bridge, id, secret).await, before);
}

#[tokio::test]
async fn a_registration_that_the_idp_has_no_room_for_is_refused_and_changes_nothing() {
    let (bridge, id, _) = start().await;
    let konnect = bridge.konnect();
    let mut kept = bridge.idp().client(&id).await;
    for number in 0.. {
        let members = json!({"api_id": format!("api-{number}"), "audience": FERRY});
        let added = event("add_registration", &id, &members);
        let reply = konnect.hook(&id, &added).await;
        if reply.answer.status == 400 {
            assert_eq!(reply.refused(400).error, "limit_reached");
            break;
        }
        reply.heard();
        kept = bridge.idp().client(&id).await;
        assert!(number < 100, "there is always room");
    }
    assert_eq!(bridge.idp().client(&id).await, kept);
    // One ended makes room for another.
    unregister(&bridge, &id, json!({"api_id": "api-0", "audience": FERRY})).await;
    register(&bridge, &id, json!({"api_id": "last", "audience": FERRY})).await;
}

#[tokio::test]
async fn the_ids_of_what_is_registered_are_opaque() {
    let (bridge, id, secret) = start().await;
    let before = rights(&bridge, &id, &secret).await;
    for (member, entity) in [
        ("api_id", json!("with spaces: and \"quotes\"")),
        ("api_id", json!("ß".repeat(128))),
        ("entity_id", json!("../../admin/clients")),
        ("api_product_version_id", json!(42)),
    ] {
        let registration = json!({member: entity, "audience": FERRY});
        register(&bridge, &id, registration.clone()).await;
        assert_eq!(rights(&bridge, &id, &secret).await.1, [FERRY], "{entity}");
        unregister(&bridge, &id, registration).await;
        assert_eq!(rights(&bridge, &id, &secret).await, before, "{entity}");
    }
}
