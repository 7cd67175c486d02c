//! API keys: what opens a provider, and what a stranger learns.

use std::collections::BTreeMap;

use dcr_tests::bridge::new_key;
use dcr_tests::konnect::{Reply, application};
use dcr_tests::stand_in::dead_port;
use dcr_tests::{Konnect, Provider};
use http::Method;
use http_body_util::Full;

use crate::start::{gateway, gateway_alone};

/// All that a stranger sees of an answer, but for the moment and the reference.
fn face(reply: Reply) -> (BTreeMap<String, String>, String, String) {
    let headers = reply.answer.headers.clone();
    let refusal = reply.refused(401);
    let seen = headers
        .iter()
        .filter(|(name, _)| *name != "date" && *name != "x-request-id");
    let seen = seen.map(|(name, value)| (name.to_string(), format!("{value:?}")));
    (
        seen.collect(),
        refusal.error.clone(),
        refusal.sentence().to_owned(),
    )
}

async fn knock(konnect: &Konnect, keys: &[&str]) -> Reply {
    let mut request = konnect.with_key(None).request(Method::POST, "/");
    for key in keys {
        request = request.header("x-api-key", *key);
    }
    let body = application("stranger").to_string();
    konnect.send(request.body(Full::from(body)).unwrap()).await
}

#[tokio::test]
async fn every_way_to_have_no_key_looks_alike() {
    let connector = dead_port();
    let expired = new_key();
    let mut one = Provider::new("one", connector);
    one.keys
        .push((expired.clone(), Some("2020-01-01T00:00:00Z".to_owned())));
    let two = Provider::new("two", connector);
    let gateway = gateway(&[one, two]).await;
    let (one, two) = (gateway.konnect("one"), gateway.konnect("two"));
    let right = gateway.key("one");
    let nowhere = one.at(&format!("http://{}/nowhere", gateway.address));
    let root = one.at(&format!("http://{}", gateway.address));

    let expected = face(knock(&one, &[&new_key()]).await);
    let case_changed = right.to_uppercase();
    for (konnect, keys) in [
        (&one, vec![]),
        (&one, vec![""]),
        (&one, vec!["x"]),
        (&one, vec!["not a key, but a sentence"]),
        (&one, vec![&right, &right]),
        (&one, vec![&right[..right.len() - 1]]),
        (&one, vec![&case_changed]),
        (&one, vec![gateway.key("two")]),
        (&two, vec![&right]),
        (&one, vec![&expired]),
        (&nowhere, vec![&right]),
        (&nowhere, vec![]),
        (&root, vec![&right]),
        (&root, vec![]),
    ] {
        let found = face(knock(konnect, &keys).await);
        assert_eq!(
            found,
            expected,
            "{} with {} keys",
            konnect.base_url(),
            keys.len()
        );
    }
}

#[tokio::test]
async fn any_key_of_a_provider_opens_it_until_it_expires() {
    let next = new_key();
    let mut one = Provider::new("one", dead_port());
    one.keys
        .push((next.clone(), Some("2999-01-01T00:00:00Z".to_owned())));
    let gateway = gateway(&[one]).await;
    let konnect = gateway.konnect("one");
    // There is no connector: whoever is told so has passed.
    let _ = konnect.create(&application("a")).await.refused(503);
    let _ = konnect
        .with_key(Some(&next))
        .create(&application("a"))
        .await
        .refused(503);
}

#[tokio::test]
async fn a_stranger_does_not_learn_which_paths_and_methods_there_are() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one").with_key(None);
    let expected = face(konnect.create(&application("a")).await);
    for (method, path) in [
        (Method::PATCH, "/"),
        (Method::GET, "/c/nothing/of/the/kind"),
        (Method::PUT, "/c/secrets"),
        (Method::OPTIONS, "/c"),
        (Method::POST, "/%2e%2e/new-secret"),
        (Method::DELETE, "/%00"),
    ] {
        assert_eq!(
            face(konnect.call(method.clone(), path, None).await),
            expected,
            "{method} {path}"
        );
    }
}
