//! Konnect's events, judged by what they change in Keycloak and in tokens.

use dcr_tests::konnect::{application, event, merge};
use dcr_tests::token::{Method, audiences, scopes};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Setup;
use crate::world::World;

const FERRY: &str = "https://api.ferry.example";
const ENTITY: &str = "b3d8e7f6-5c4b-4a39-9281-7f6e5d4c3b77";
const GRANTS: &str = "  grants:
  - audience: https://api.ferry.example
    default_scopes: [ferry-audience]
  - entity: b3d8e7f6-5c4b-4a39-9281-7f6e5d4c3b77
    optional_scopes: [orders.read]
    client_roles: {orders-api: [reader]}
  - entity: timetable-entity
    optional_scopes: [timetable.read]
";

/// What a token says when the client asks for nothing special.
#[derive(Debug, PartialEq, Eq)]
struct Rights {
    scopes: Vec<String>,
    audiences: Vec<String>,
    roles: Value,
}

impl Rights {
    async fn of(setup: &Setup, (id, secret): &(String, String)) -> Self {
        let claims = setup
            .tokens()
            .claims(id, secret, None)
            .await
            .expect("a token");
        let (mut scopes, mut audiences) = (scopes(&claims), audiences(&claims));
        scopes.sort();
        audiences.sort();
        Self {
            scopes,
            audiences,
            roles: claims["resource_access"]["orders-api"]["roles"].clone(),
        }
    }

    fn has(&self, audience: &str) -> bool {
        self.audiences.iter().any(|known| known == audience)
    }
}

async fn registered(world: &World, id: &str, members: &Value) {
    world
        .konnect()
        .hook(id, &event("add_registration", id, members))
        .await
        .heard();
}

async fn ended(world: &World, id: &str, members: &Value) {
    world
        .konnect()
        .hook(id, &event("remove_registration", id, members))
        .await
        .heard();
}

/// Whether the token endpoint gives this scope to who asks for it.
async fn gives(setup: &Setup, (id, secret): &(String, String), scope: &str) -> bool {
    let answer = setup
        .tokens()
        .ask(Method::Post, id, secret, Some(scope))
        .await;
    if answer.status == 400 {
        assert_eq!(answer.json()["error"], "invalid_scope");
        return false;
    }
    let claims = setup
        .tokens()
        .claims(id, secret, Some(scope))
        .await
        .expect("a token");
    scopes(&claims).iter().any(|given| given == scope)
}

pub(crate) async fn an_update_is_seen_in_keycloak(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (id, secret) = world.client().await;
    let before = setup.admin.there(&id).await;
    let members = json!({
        "application_name": "Fähre, umbenannt",
        "application_description": "now with a description",
        "redirect_uris": ["https://ferry.example/new"],
    });
    let update = event("update_application", &id, &members);
    world.konnect().hook(&id, &update).await.heard();
    let mut after = setup.admin.there(&id).await;
    assert_eq!(after["name"], "Fähre, umbenannt");
    assert_eq!(after["description"], "now with a description");
    assert_eq!(after["redirectUris"], json!(["https://ferry.example/new"]));
    assert!(
        setup.tokens().opens(&id, &secret).await,
        "an update has changed the secret"
    );
    // A create does not say which application it is for; an event does.
    let application = &after["attributes"]["konnect_application_id"];
    assert_eq!(*application, update["application_id"]);
    // Everything else is as it was.
    for member in ["name", "description", "redirectUris"] {
        after[member] = before[member].clone();
    }
    merge(
        &mut after["attributes"],
        &json!({"konnect_application_id": null}),
    );
    for member in before.as_object().expect("an object").keys() {
        assert_eq!(
            after[member], before[member],
            "an update has changed {member}"
        );
    }
    world.end().await;
}

pub(crate) async fn what_an_update_does_not_say_stays(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (id, secret) = world.client().await;
    let mut update = event(
        "update_application",
        &id,
        &json!({"application_description": "set"}),
    );
    merge(&mut update, &json!({"application_name": null}));
    world.konnect().hook(&id, &update).await.heard();
    let found = setup.admin.there(&id).await;
    assert_eq!(found["name"], "ferry");
    assert_eq!(found["description"], "set");
    assert_eq!(found["redirectUris"], json!(["https://ferry.example/cb"]));
    let clear = json!({"redirect_uris": [], "application_description": ""});
    world
        .konnect()
        .hook(&id, &event("update_application", &id, &clear))
        .await
        .heard();
    let found = setup.admin.there(&id).await;
    assert_eq!(found["description"].as_str().unwrap_or_default(), "");
    assert_eq!(found["redirectUris"], json!([]));
    assert!(setup.tokens().opens(&id, &secret).await);
    world.end().await;
}

pub(crate) async fn an_audience_brings_a_default_scope(setup: &'static Setup) {
    let world = World::with(setup, GRANTS, "").await;
    let client = world.client().await;
    let before = Rights::of(setup, &client).await;
    assert!(!before.has(FERRY));
    let registration = json!({"api_product_version_id": "any", "audience": FERRY});
    registered(&world, &client.0, &registration).await;
    let with = Rights::of(setup, &client).await;
    assert!(with.has(FERRY), "{with:?}");
    assert!(
        with.scopes.contains(&"ferry-audience".to_owned()),
        "{with:?}"
    );
    let found = setup.admin.there(&client.0).await;
    let attributes = found["attributes"].as_object().expect("attributes");
    let marks = attributes
        .keys()
        .filter(|name| name.starts_with("dcr_registration:"));
    assert_eq!(marks.count(), 1, "{attributes:?}");
    // Twice is once.
    registered(&world, &client.0, &registration).await;
    assert_eq!(Rights::of(setup, &client).await, with);
    for _ in 0..2 {
        ended(&world, &client.0, &registration).await;
        assert_eq!(Rights::of(setup, &client).await, before);
    }
    let found = setup.admin.there(&client.0).await;
    let attributes = found["attributes"].as_object().expect("attributes");
    let mut marks = attributes
        .keys()
        .filter(|name| name.starts_with("dcr_registration:"));
    assert_eq!(marks.next(), None);
    world.end().await;
}

pub(crate) async fn an_entity_brings_an_optional_scope_and_a_role(setup: &'static Setup) {
    let world = World::with(setup, GRANTS, "").await;
    let client = world.client().await;
    let before = Rights::of(setup, &client).await;
    assert!(!gives(setup, &client, "orders.read").await);
    let registration = json!({"api_id": ENTITY});
    registered(&world, &client.0, &registration).await;
    let with = Rights::of(setup, &client).await;
    assert_eq!(with.scopes, before.scopes, "an optional scope came unasked");
    assert_eq!(with.roles, json!(["reader"]));
    assert!(gives(setup, &client, "orders.read").await);
    assert!(
        setup.tokens().opens(&client.0, &client.1).await,
        "the secret has changed"
    );
    ended(&world, &client.0, &registration).await;
    assert_eq!(Rights::of(setup, &client).await, before);
    assert!(!gives(setup, &client, "orders.read").await);
    world.end().await;
}

pub(crate) async fn two_registrations_of_one_audience_stand_alone(setup: &'static Setup) {
    let world = World::with(setup, GRANTS, "").await;
    let client = world.client().await;
    let before = Rights::of(setup, &client).await;
    let [a, b] = ["a", "b"].map(|api| json!({"api_id": api, "audience": FERRY}));
    registered(&world, &client.0, &a).await;
    registered(&world, &client.0, &b).await;
    let with = Rights::of(setup, &client).await;
    ended(&world, &client.0, &a).await;
    assert_eq!(
        Rights::of(setup, &client).await,
        with,
        "the other still needs it"
    );
    ended(&world, &client.0, &b).await;
    assert_eq!(Rights::of(setup, &client).await, before);
    world.end().await;
}

pub(crate) async fn a_requested_scope_survives_a_registration(setup: &'static Setup) {
    let world = World::with(setup, GRANTS, "").await;
    let mut body = application("ferry");
    merge(&mut body, &json!({"scopes": ["orders.read"]}));
    let client = world.konnect().create(&body).await.created();
    let client = (
        client.client_id.to_string(),
        client.client_secret.to_string(),
    );
    let registration = json!({"api_id": ENTITY});
    registered(&world, &client.0, &registration).await;
    assert!(gives(setup, &client, "orders.read").await);
    ended(&world, &client.0, &registration).await;
    assert!(
        gives(setup, &client, "orders.read").await,
        "what was asked for was taken away"
    );
    world.end().await;
}

pub(crate) async fn registrations_at_once_are_all_kept(setup: &'static Setup) {
    let world = World::with(setup, GRANTS, "").await;
    let client = world.client().await;
    let before = Rights::of(setup, &client).await;
    let apis = ["a", "b", "c", "d"].map(|api| json!({"api_id": api, "audience": FERRY}));
    let entities = [ENTITY, "timetable-entity"].map(|api| json!({"api_id": api}));
    let mut hooks = JoinSet::new();
    for members in apis.iter().chain(&entities) {
        let id = &*client.0;
        hooks.spawn(
            world
                .konnect()
                .hook(id, &event("add_registration", id, members)),
        );
    }
    while let Some(reply) = hooks.join_next().await {
        reply.expect("a call").heard();
    }
    let all = Rights::of(setup, &client).await;
    assert!(all.has(FERRY) && all.roles == json!(["reader"]), "{all:?}");
    assert!(gives(setup, &client, "timetable.read").await);
    let (last, others) = apis.split_last().expect("some");
    for api in others {
        ended(&world, &client.0, api).await;
        assert_eq!(Rights::of(setup, &client).await, all, "without {api}");
    }
    for members in entities.iter().chain([last]) {
        ended(&world, &client.0, members).await;
    }
    assert_eq!(Rights::of(setup, &client).await, before);
    world.end().await;
}

pub(crate) async fn what_is_not_mapped_changes_nothing(setup: &'static Setup) {
    let world = World::with(setup, GRANTS, "").await;
    let client = world.client().await;
    let before = Rights::of(setup, &client).await;
    let elsewhere = json!({"api_id": "unheard-of", "audience": "https://elsewhere.example"});
    registered(&world, &client.0, &elsewhere).await;
    ended(&world, &client.0, &json!({"api_id": "unheard-of"})).await;
    let unknown = event(
        "application_painted_blue",
        &client.0,
        &json!({"color": "blue"}),
    );
    world.konnect().hook(&client.0, &unknown).await.heard();
    assert_eq!(Rights::of(setup, &client).await, before);
    world.end().await;
}

pub(crate) async fn a_grant_that_the_realm_lacks_changes_nothing(setup: &'static Setup) {
    let grants = "  grants:
  - entity: half-made
    default_scopes: [ferry-audience, no.such.scope]
  - entity: without-role
    default_scopes: [ferry-audience]
    client_roles: {orders-api: [no-such-role]}
";
    let world = World::with(setup, grants, "").await;
    let client = world.client().await;
    let before = (
        Rights::of(setup, &client).await,
        setup.admin.there(&client.0).await,
    );
    for entity in ["half-made", "without-role"] {
        let added = event("add_registration", &client.0, &json!({"api_id": entity}));
        let refusal = world.konnect().hook(&client.0, &added).await.refused(400);
        assert_eq!(refusal.error, "unsupported");
    }
    let after = (
        Rights::of(setup, &client).await,
        setup.admin.there(&client.0).await,
    );
    assert_eq!(after, before);
    world.end().await;
}
