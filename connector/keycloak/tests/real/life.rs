//! Konnect's calls from the first to the last, judged by what Keycloak then does with the credentials.

use dcr_tests::konnect::{application, event, merge, verify};
use dcr_tests::schema::SecretStatus;
use dcr_tests::token::Method;
use serde_json::{Value, json};

use crate::Setup;
use crate::world::World;

pub(crate) async fn a_client_gets_tokens_until_it_is_deleted(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, tokens) = (world.konnect(), setup.tokens());
    let (id, secret) = world.client().await;
    let claims = tokens
        .claims(&id, &secret, None)
        .await
        .expect("the new credentials are good");
    assert_eq!(claims["azp"], *id);
    assert!(!tokens.opens(&id, "not-the-secret-at-all").await);

    konnect.delete(&id).await.gone();
    assert!(setup.admin.client(&id).await.is_none());
    assert!(
        !tokens.opens(&id, &secret).await,
        "a deleted client got a token"
    );
    let update = event("update_application", &id, &json!({"redirect_uris": []}));
    let register = event("add_registration", &id, &json!({"api_id": "a"}));
    for reply in [
        konnect.rotate(&id).await,
        konnect.list(&id).await,
        konnect.hook(&id, &update).await,
        konnect.hook(&id, &register).await,
    ] {
        assert_eq!(reply.refused(404).error, "client_not_found");
    }
    konnect.delete(&id).await.gone();
    konnect.delete("a-client-that-never-was").await.gone();
    world.end().await;
}

pub(crate) async fn what_was_asked_for_stands_in_keycloak(setup: &'static Setup) {
    let world = World::start(setup).await;
    let name: String = "Fähre ⛴ 渡し船 <b>\"&amp;' "
        .chars()
        .cycle()
        .take(254)
        .chain(['!'])
        .collect();
    let uris = json!([
        "https://ferry.example/cb?a=b&c=d",
        "http://localhost:8080/cb",
        "com.ferry.example:/cb"
    ]);
    let mut body = application(&name);
    merge(
        &mut body,
        &json!({
            "application_description": "Zeiten der Fähren \u{2014} \"alle\"",
            "redirect_uris": uris,
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        }),
    );
    let client = world.konnect().create(&body).await.created();
    let found = setup.admin.there(&client.client_id).await;
    assert_eq!(found["name"], *name);
    assert_eq!(found["description"], "Zeiten der Fähren \u{2014} \"alle\"");
    assert_eq!(sorted(&found["redirectUris"]), sorted(&uris));
    for (switch, is_on) in [
        ("enabled", true),
        ("standardFlowEnabled", true),
        ("serviceAccountsEnabled", true),
        ("implicitFlowEnabled", false),
        ("directAccessGrantsEnabled", false),
        ("publicClient", false),
        ("fullScopeAllowed", false),
    ] {
        assert_eq!(found[switch], is_on, "{switch}");
    }
    let mark = &found["attributes"];
    assert_eq!(mark["dcr_installation"], "e2e");
    assert_eq!(mark["dcr_provider"], "one");
    let operation = mark["dcr_operation"]
        .as_str()
        .expect("the mark names its operation");
    assert_eq!(
        *client.client_id,
        format!("dcr-{}", operation.replace('-', ""))
    );
    world.end().await;
}

fn sorted(list: &Value) -> Vec<String> {
    let elements = list.as_array().expect("a list").iter();
    let mut texts: Vec<_> = elements.map(ToString::to_string).collect();
    texts.sort();
    texts
}

pub(crate) async fn what_keycloak_has_no_room_for_is_refused(setup: &'static Setup) {
    let world = World::start(setup).await;
    let before = setup.admin.ids().await;
    let long = format!("https://ferry.example/{}", "x".repeat(300));
    for members in [
        json!({"application_description": "ä".repeat(300)}),
        json!({"redirect_uris": [long]}),
    ] {
        let mut body = application("ferry");
        merge(&mut body, &members);
        let refusal = world.konnect().create(&body).await.refused(400);
        assert_eq!(refusal.error, "invalid_request");
        assert_eq!(setup.admin.ids().await, before);
    }
    world.end().await;
}

pub(crate) async fn a_secret_is_listed_and_rotated(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, tokens) = (world.konnect(), setup.tokens());
    let (id, first) = world.client().await;
    let before = konnect.list(&id).await.listed(&id);
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].status, SecretStatus::Active);

    let second = konnect.rotate(&id).await.rotated(&id);
    assert!(tokens.opens(&id, &second.client_secret).await);
    assert!(
        !tokens.opens(&id, &first).await,
        "the first secret outlived a rotation"
    );
    let after = konnect.list(&id).await.listed(&id);
    assert_eq!(after.len(), 1);
    assert_eq!(
        after[0].secret_id, before[0].secret_id,
        "the id has changed"
    );

    let third = konnect.rotate(&id).await.rotated(&id);
    assert!(tokens.opens(&id, &third.client_secret).await);
    assert!(!tokens.opens(&id, &second.client_secret).await);
    world.end().await;
}

pub(crate) async fn no_secret_is_added_or_removed(setup: &'static Setup) {
    let world = World::start(setup).await;
    let konnect = world.konnect();
    let (id, secret) = world.client().await;
    let listed = konnect.list(&id).await.listed(&id);
    assert_eq!(konnect.add(&id).await.refused(400).error, "unsupported");
    let removed = konnect.remove(&id, &listed[0].secret_id).await;
    assert_eq!(removed.refused(400).error, "unsupported");
    assert!(setup.tokens().opens(&id, &secret).await);
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);
    world.end().await;
}

pub(crate) async fn a_client_may_use_basic(setup: &'static Setup) {
    let world = World::start(setup).await;
    let mut body = application("ferry");
    merge(
        &mut body,
        &json!({"token_endpoint_auth_method": "client_secret_basic"}),
    );
    let client = world.konnect().create(&body).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let answer = setup.tokens().ask(Method::Basic, id, secret, None).await;
    assert_eq!(answer.status, 200);
    world.end().await;
}

pub(crate) async fn konnect_verifies(setup: &'static Setup) {
    let world = World::start(setup).await;
    let konnect = world.konnect();
    let before = setup.admin.ids().await;
    let client = konnect.create(&verify()).await.created();
    let id = &*client.client_id;
    let found = setup.admin.there(id).await;
    assert!(
        found["attributes"].get("dcr_probe").is_some(),
        "{}",
        found["attributes"]
    );
    konnect.delete(id).await.gone();
    assert_eq!(setup.admin.ids().await, before);
    world.end().await;
}

pub(crate) async fn authorization_code_without_a_redirect_uri_creates(setup: &'static Setup) {
    let world = World::start(setup).await;
    let konnect = world.konnect();
    let mut body = application("ferry");
    merge(
        &mut body,
        &json!({"grant_types": ["authorization_code"], "redirect_uris": []}),
    );
    let client = konnect.create(&body).await.created();
    let id = &*client.client_id;
    let found = setup.admin.there(id).await;
    assert_eq!(found["standardFlowEnabled"], true);
    assert_eq!(found["serviceAccountsEnabled"], false);
    let update = json!({"redirect_uris": ["https://ferry.example/cb"]});
    konnect
        .hook(id, &event("update_application", id, &update))
        .await
        .heard();
    let found = setup.admin.there(id).await;
    assert_eq!(found["redirectUris"], json!(["https://ferry.example/cb"]));
    let rotated = konnect.rotate(id).await.rotated(id);
    assert_ne!(*rotated.client_secret, *client.client_secret);
    world.end().await;
}

pub(crate) async fn calls_at_once_leave_a_client_whole(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (konnect, tokens) = (world.konnect(), setup.tokens());
    let (id, _) = world.client().await;
    let (a, b, c) = tokio::join!(
        konnect.rotate(&id),
        konnect.rotate(&id),
        konnect.rotate(&id)
    );
    let mut live = 0;
    for reply in [a, b, c] {
        live += usize::from(tokens.opens(&id, &reply.rotated(&id).client_secret).await);
    }
    assert_eq!(live, 1, "as many secrets as listed live");
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);
    world.end().await;
}
