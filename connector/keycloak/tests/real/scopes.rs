//! Scopes that applications ask for.

use dcr_tests::bridge::random;
use dcr_tests::konnect::{application, merge};
use dcr_tests::token::{Method, scopes};
use serde_json::{Value, json};

use crate::Setup;
use crate::world::World;

fn asking_for(scopes: &[&str]) -> Value {
    let mut body = application("ferry");
    merge(&mut body, &json!({"scopes": scopes}));
    body
}

pub(crate) async fn a_requested_scope_is_there_when_asked_for(setup: &'static Setup) {
    let world = World::start(setup).await;
    let tokens = setup.tokens();
    let body = asking_for(&["orders.read", "openid"]);
    let client = world.konnect().create(&body).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let claims = tokens.claims(id, secret, None).await.expect("a token");
    assert!(
        !scopes(&claims).contains(&"orders.read".to_owned()),
        "{claims}"
    );
    let claims = tokens
        .claims(id, secret, Some("openid orders.read"))
        .await
        .expect("a token");
    assert!(
        scopes(&claims).contains(&"orders.read".to_owned()),
        "{claims}"
    );
    let answer = tokens
        .ask(Method::Post, id, secret, Some("orders.write"))
        .await;
    assert_eq!(
        answer.status, 400,
        "a scope was given that nobody had asked for"
    );
    assert_eq!(answer.json()["error"], "invalid_scope");
    // What the realm gives to every client is still there.
    let found = setup.admin.there(id).await;
    let defaults = found["defaultClientScopes"].to_string();
    assert!(
        defaults.contains("\"roles\""),
        "the realm's own scopes are gone: {defaults}"
    );
    world.end().await;
}

pub(crate) async fn a_missing_scope_is_refused(setup: &'static Setup) {
    let world = World::start(setup).await;
    let before = (setup.admin.ids().await, setup.admin.scopes().await);
    for (asked, named) in [
        (&["no.such.scope"][..], "scopes[0]"),
        (&["orders.read", "no.such.scope"], "scopes[1]"),
        // The name of an existing one in other letters.
        (&["Orders.Read"], "scopes[0]"),
    ] {
        let refusal = world
            .konnect()
            .create(&asking_for(asked))
            .await
            .refused(400);
        assert_eq!(refusal.error, "invalid_request");
        assert!(
            refusal.description.contains(named),
            "{}",
            refusal.description
        );
    }
    assert_eq!(
        (setup.admin.ids().await, setup.admin.scopes().await),
        before
    );
    world.end().await;
}

pub(crate) async fn a_missing_scope_is_made_when_that_is_configured(setup: &'static Setup) {
    let world = World::with(setup, "  missing_scopes: create\n", "").await;
    let scope = format!("made.{}", random());
    let body = asking_for(&[&scope, "orders.read"]);
    // Both at once: the scope is made once.
    let konnect = world.konnect();
    let (one, other) = tokio::join!(konnect.create(&body), konnect.create(&body));
    for client in [one.created(), other.created()] {
        let (id, secret) = (&*client.client_id, &*client.client_secret);
        let asked = format!("{scope} orders.read");
        let claims = setup
            .tokens()
            .claims(id, secret, Some(&asked))
            .await
            .expect("a token");
        let granted = scopes(&claims);
        assert!(granted.contains(&scope), "{granted:?}");
        assert!(granted.contains(&"orders.read".to_owned()), "{granted:?}");
    }
    assert!(setup.admin.scopes().await.contains(&scope));
    world.end().await;
}

pub(crate) async fn every_scope_of_the_realm_can_be_requested(setup: &'static Setup) {
    let world = World::start(setup).await;
    // Scopes of the realm's own are default or optional already; asking for them must not break them.
    let body = asking_for(&["profile", "email", "offline_access", "timetable.read"]);
    let client = world.konnect().create(&body).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let asked = Some("profile email timetable.read");
    let claims = setup
        .tokens()
        .claims(id, secret, asked)
        .await
        .expect("a token");
    let granted = scopes(&claims);
    for scope in ["profile", "email", "timetable.read"] {
        assert!(
            granted.contains(&scope.to_owned()),
            "{scope} is not in {granted:?}"
        );
    }
    world.end().await;
}
