//! The seven operations, judged by what the IdP then does with the credentials.

use dcr_tests::konnect::{application, event, merge};
use dcr_tests::schema::SecretStatus;
use dcr_tests::token::{Method, scopes};
use http::Method as Verb;
use serde_json::json;

use crate::start::bridge;

#[tokio::test]
async fn a_created_client_gets_tokens_until_it_is_deleted() {
    let bridge = bridge().await;
    let (konnect, idp) = (bridge.konnect(), bridge.tokens());
    let client = konnect.create(&application("ferry")).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let claims = idp
        .claims(id, secret, None)
        .await
        .expect("the new credentials are good");
    assert_eq!(claims["client_id"], id);
    assert!(!idp.opens(id, "not-the-secret-at-all").await);

    konnect.delete(id).await.gone();
    assert!(!idp.opens(id, secret).await, "a deleted client got a token");
    assert!(bridge.idp().client(id).await.is_none());
}

#[tokio::test]
async fn what_was_asked_for_stands_in_the_idp_with_our_mark() {
    let bridge = bridge().await;
    let mut body = application("ferry timetable, production");
    merge(
        &mut body,
        &json!({"application_description": "Times of ferries", "scopes": ["timetable.read", "openid"]}),
    );
    let client = bridge.konnect().create(&body).await.created();
    let found = bridge
        .idp()
        .client(&client.client_id)
        .await
        .expect("the client is there");
    assert_eq!(found["name"], "ferry timetable, production");
    assert_eq!(found["description"], "Times of ferries");
    assert_eq!(found["redirect_uris"], json!(["https://ferry.example/cb"]));
    assert_eq!(found["grant_types"], json!(["client_credentials"]));
    let attributes = found["attributes"].to_string();
    assert!(
        attributes.contains("\"e2e\"") && attributes.contains("\"one\""),
        "no mark in {attributes}"
    );
    let issued = client
        .client_id_issued_at
        .expect("the IdP tells when the client was made");
    assert!(issued.0.duration_until(jiff::Timestamp::now()).as_secs() < 60);

    let tokens = bridge.tokens();
    let claims = tokens
        .claims(
            &client.client_id,
            &client.client_secret,
            Some("timetable.read"),
        )
        .await;
    assert_eq!(
        scopes(&claims.expect("the scope was asked for")),
        ["timetable.read"]
    );
}

#[tokio::test]
async fn a_client_may_authenticate_by_basic_when_konnect_says_so() {
    let bridge = bridge().await;
    let mut body = application("ferry");
    merge(
        &mut body,
        &json!({"token_endpoint_auth_method": "client_secret_basic"}),
    );
    let client = bridge.konnect().create(&body).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let answer = bridge.tokens().ask(Method::Basic, id, secret, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_rotated_secret_replaces_every_earlier_one() {
    let bridge = bridge().await;
    let (konnect, idp) = (bridge.konnect(), bridge.tokens());
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let added = konnect.add(id).await.added(id);
    let rotated = konnect.rotate(id).await.rotated(id);
    assert!(idp.opens(id, &rotated.client_secret).await);
    assert!(
        !idp.opens(id, &client.client_secret).await,
        "the first secret outlived a rotation"
    );
    assert!(
        !idp.opens(id, &added.client_secret).await,
        "the second secret outlived a rotation"
    );
    assert_eq!(konnect.list(id).await.listed(id).len(), 1);
    let again = konnect.rotate(id).await.rotated(id);
    assert!(idp.opens(id, &again.client_secret).await);
    assert!(!idp.opens(id, &rotated.client_secret).await);
}

#[tokio::test]
async fn an_added_secret_lives_beside_the_first_until_it_is_removed() {
    let bridge = bridge().await;
    let (konnect, idp) = (bridge.konnect(), bridge.tokens());
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let before = konnect.list(id).await.listed(id);
    let added = konnect.add(id).await.added(id);
    assert!(idp.opens(id, &client.client_secret).await);
    assert!(idp.opens(id, &added.client_secret).await);

    let listed = konnect.list(id).await.listed(id);
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .all(|secret| secret.status == SecretStatus::Active)
    );
    assert!(
        listed
            .iter()
            .any(|secret| secret.secret_id == added.secret_id)
    );
    assert!(
        listed
            .iter()
            .any(|secret| secret.secret_id == before[0].secret_id),
        "an id has changed"
    );

    konnect.remove(id, &added.secret_id).await.gone();
    assert!(
        !idp.opens(id, &added.client_secret).await,
        "a removed secret got a token"
    );
    assert!(idp.opens(id, &client.client_secret).await);
    assert_eq!(konnect.list(id).await.listed(id).len(), 1);
}

#[tokio::test]
async fn one_secret_more_than_the_idp_allows_is_refused_and_harms_none() {
    let bridge = bridge().await;
    let (konnect, idp) = (bridge.konnect(), bridge.tokens());
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let second = konnect.add(id).await.added(id);
    let refusal = konnect.add(id).await.refused(400);
    assert_eq!(refusal.error, "limit_reached");
    assert_eq!(konnect.list(id).await.listed(id).len(), 2);
    assert!(idp.opens(id, &client.client_secret).await);
    assert!(idp.opens(id, &second.client_secret).await);
}

#[tokio::test]
async fn deleting_twice_and_removing_twice_succeed() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let added = konnect.add(id).await.added(id);
    konnect.remove(id, &added.secret_id).await.gone();
    konnect.remove(id, &added.secret_id).await.gone();
    konnect.delete(id).await.gone();
    konnect.delete(id).await.gone();
    konnect.delete("a-client-that-never-was").await.gone();
}

#[tokio::test]
async fn other_calls_on_an_absent_client_are_404() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let id = "a-client-that-never-was";
    let update = event("update_application", id, &json!({"redirect_uris": []}));
    for reply in [
        konnect.rotate(id).await,
        konnect.list(id).await,
        konnect.add(id).await,
        konnect.remove(id, "s").await,
        konnect.hook(id, &update).await,
    ] {
        assert_eq!(reply.refused(404).error, "client_not_found");
    }
}

#[tokio::test]
async fn the_base_url_may_end_with_no_slash_or_with_several() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    for slashes in ["", "/", "//", "///"] {
        let reply = konnect
            .call(Verb::POST, slashes, Some(&application("ferry")))
            .await;
        let client = reply.created();
        let list = format!("{slashes}/{}/secrets", client.client_id);
        konnect
            .call(Verb::GET, &list, None)
            .await
            .listed(&client.client_id);
        konnect
            .call(
                Verb::DELETE,
                &format!("{slashes}/{}", client.client_id),
                None,
            )
            .await
            .gone();
    }
}

#[tokio::test]
async fn calls_of_one_client_at_once_leave_it_whole() {
    let bridge = bridge().await;
    let (konnect, idp) = (bridge.konnect(), bridge.tokens());
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let (a, b, c) = tokio::join!(konnect.rotate(id), konnect.rotate(id), konnect.rotate(id));
    let mut live = 0;
    for reply in [a, b, c] {
        live += usize::from(idp.opens(id, &reply.rotated(id).client_secret).await);
    }
    assert_eq!(live, 1, "as many secrets as listed live");
    assert_eq!(konnect.list(id).await.listed(id).len(), 1);
}
