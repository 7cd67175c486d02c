//! Whose a client is: two providers on one connector, and the ownership table as far as Konnect can see it.

use dcr_tests::Konnect;
use dcr_tests::konnect::{application, event};
use serde_json::json;

use crate::start::{Bridge, bridge, bridge_with};

/// Everything but delete must answer 404 and say this.
async fn is_hidden(konnect: &Konnect, id: &str, saying: &str) {
    let update = event(
        "update_application",
        id,
        &json!({"application_name": "taken over", "redirect_uris": []}),
    );
    let register = event("add_registration", id, &json!({"api_id": "a"}));
    for reply in [
        konnect.rotate(id).await,
        konnect.list(id).await,
        konnect.add(id).await,
        konnect.remove(id, "s").await,
        konnect.hook(id, &update).await,
        konnect.hook(id, &register).await,
    ] {
        let refusal = reply.refused(404);
        assert_eq!(refusal.error, "client_not_found");
        assert!(
            refusal.sentence().contains(saying),
            "{}",
            refusal.sentence()
        );
    }
}

const NO_SUCH_CLIENT: &str = "This provider has no such client.";

/// A client that somebody made at the IdP without the bridge.
async fn unmarked(bridge: &Bridge) -> (String, String) {
    bridge
        .idp()
        .insert(&json!({"name": "made by hand", "grant_types": ["client_credentials"]}))
        .await
}

#[tokio::test]
async fn another_providers_client_is_hidden_and_stays() {
    let bridge = bridge_with(&["one", "two"], "", "").await;
    let (one, two) = (bridge.provider("one"), bridge.provider("two"));
    let client = one.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let found = bridge.idp().client(id).await;
    is_hidden(&two, id, NO_SUCH_CLIENT).await;
    let foreign = two.delete(id).await.refused(404);
    let absent = two.rotate("a-client-that-never-was").await.refused(404);
    assert_eq!(
        foreign.sentence(),
        absent.sentence(),
        "whether it exists is nobody else's business"
    );
    assert_eq!(
        bridge.idp().client(id).await,
        found,
        "another provider has changed it"
    );
    assert!(bridge.tokens().opens(id, &client.client_secret).await);
    one.delete(id).await.gone();
}

#[tokio::test]
async fn another_installations_client_is_hidden_and_stays() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let marked = bridge.idp().client(id).await.expect("the client is there");
    let attributes = marked["attributes"]
        .to_string()
        .replace("\"e2e\"", "\"elsewhere\"");
    assert!(
        attributes.contains("elsewhere"),
        "the mark names no installation: {attributes}"
    );
    let attributes: serde_json::Value = serde_json::from_str(&attributes).unwrap();
    bridge
        .idp()
        .update(id, &json!({"attributes": attributes}))
        .await;
    is_hidden(&konnect, id, NO_SUCH_CLIENT).await;
    let _ = konnect.delete(id).await.refused(404);
    assert!(bridge.tokens().opens(id, &client.client_secret).await);
}

#[tokio::test]
async fn an_unmarked_client_is_hidden_with_a_hint_and_a_delete_leaves_it() {
    let bridge = bridge().await;
    let (id, secret) = unmarked(&bridge).await;
    let found = bridge.idp().client(&id).await;
    is_hidden(&bridge.konnect(), &id, "adopt --provider one").await;
    bridge.konnect().delete(&id).await.gone();
    assert_eq!(bridge.idp().client(&id).await, found);
    assert!(bridge.tokens().opens(&id, &secret).await);
}

#[tokio::test]
async fn an_imported_client_is_served_and_a_delete_leaves_it() {
    let bridge = bridge_with(
        &["one", "two"],
        "",
        "imported_clients:\n  one: [made-by-hand]\n",
    )
    .await;
    let request = json!({"client_id": "made-by-hand", "name": "made by hand", "grant_types": ["client_credentials"]});
    let (id, secret) = bridge.idp().insert(&request).await;
    // It bears no mark: for every other provider it is nobody's.
    is_hidden(&bridge.provider("two"), &id, NO_SUCH_CLIENT).await;
    let konnect = bridge.provider("one");
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);
    let rotated = konnect.rotate(&id).await.rotated(&id);
    assert!(!bridge.tokens().opens(&id, &secret).await);
    let update = event(
        "update_application",
        &id,
        &json!({"application_name": "imported", "redirect_uris": []}),
    );
    konnect.hook(&id, &update).await.heard();
    assert_eq!(
        bridge.idp().client(&id).await.expect("it is there")["name"],
        "imported"
    );
    konnect.delete(&id).await.gone();
    assert!(
        bridge.tokens().opens(&id, &rotated.client_secret).await,
        "an imported client was deleted"
    );
}

#[tokio::test]
async fn an_adopted_client_is_served_and_deleted_only_when_adopted_as_owned() {
    let bridge = bridge_with(&["one", "two"], "", "").await;
    let konnect = bridge.provider("one");
    for (more, stays) in [(&[][..], true), (&["--owned"], false)] {
        let (id, _) = unmarked(&bridge).await;
        bridge.adopt("one", &id, more).await;
        let rotated = konnect.rotate(&id).await.rotated(&id);
        is_hidden(&bridge.provider("two"), &id, NO_SUCH_CLIENT).await;
        konnect.delete(&id).await.gone();
        assert_eq!(
            bridge.tokens().opens(&id, &rotated.client_secret).await,
            stays,
            "{more:?}"
        );
    }
}

#[tokio::test]
async fn the_connectors_own_credential_is_out_of_reach() {
    let bridge = bridge().await;
    let id = bridge.idp().own_client_id().to_owned();
    is_hidden(&bridge.konnect(), &id, NO_SUCH_CLIENT).await;
    let _ = bridge.konnect().delete(&id).await.refused(404);
    // It still works.
    bridge
        .konnect()
        .create(&application("ferry"))
        .await
        .created();
}
