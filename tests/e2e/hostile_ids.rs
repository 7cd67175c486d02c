//! Ids in paths that try to become something else on their way to the IdP.

use dcr_tests::konnect::{Reply, event};
use dcr_tests::{Konnect, raw};
use serde_json::json;

use crate::start::bridge;

/// Ids that no IdP has, as they stand in a path.
fn hostile() -> Vec<String> {
    let written = [
        "%2e",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        ".",
        "..",
        "%2F",
        "a%2Fb",
        "a%2fsecrets",
        "%2e%2e%2fadmin",
        "..%2f..%2fclients",
        "%00",
        "a%00b",
        "%0d%0a",
        "a%0D%0AX-Evil:%201",
        "%0a",
        "%25",
        "%252e%252e",
        "a%252Fb",
        "%5c",
        "a%5Cb",
        "%3F",
        "a%3Fb=c",
        "%23",
        "a%23b",
        "%20",
        "a%20b",
        "a+b%20",
        "%ff",
        "%c0%ae%c0%ae",
        "%e2%80%ae",
        "%C3%A4",
        "%7B%7D",
        "%22",
        "%3Cscript%3E",
        "%",
        "%2",
        "%zz",
        "a%",
        "%7F",
        "%1b%5b31m",
        "a%7Cb",
        "%60",
    ];
    let long = ["a".repeat(256), "a".repeat(5_000), "%61".repeat(256)];
    written.into_iter().map(str::to_owned).chain(long).collect()
}

/// Every call that names a client.
async fn calls(konnect: &Konnect, id: &str) -> Vec<Reply> {
    let update = event("update_application", id, &json!({"redirect_uris": []}));
    vec![
        konnect.delete(id).await,
        konnect.rotate(id).await,
        konnect.hook(id, &update).await,
        konnect.list(id).await,
        konnect.add(id).await,
        konnect.remove(id, "s").await,
        konnect.remove("c", id).await,
    ]
}

#[tokio::test]
async fn no_hostile_id_reaches_the_idp() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let before = bridge.proxy.count();
    for id in hostile() {
        for reply in calls(&konnect, &id).await {
            let refusal = reply.refused(400);
            assert_eq!(refusal.error, "invalid_request", "{id:.40}");
            assert!(
                refusal.description.len() < 400,
                "{id:.40}: {}",
                refusal.description
            );
        }
    }
    assert_eq!(bridge.proxy.count(), before, "the IdP was asked");
}

#[tokio::test]
async fn every_character_that_an_id_may_have_reaches_the_idp_as_one_segment() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    for id in [
        "-._~!$&'()*+,;=:@",
        "...",
        "%2D%2E%5F%7E",
        "a%3Ab%40c",
        "%41%42",
        "a".repeat(255).as_str(),
    ] {
        let seen = bridge.proxy.count();
        let _ = konnect.list(id).await.refused(404);
        let asked = bridge.proxy.seen();
        let asked = asked[seen..]
            .iter()
            .filter(|x| x.method == http::Method::GET)
            .collect::<Vec<_>>();
        assert_eq!(asked.len(), 1, "{id:.40}");
        let segments = |target: &str| {
            target
                .split(['?'])
                .next()
                .unwrap_or_default()
                .split('/')
                .count()
        };
        assert_eq!(
            segments(&asked[0].target),
            segments("/admin/clients/x"),
            "{}",
            asked[0].target
        );
    }
}

#[tokio::test]
async fn an_empty_id_is_no_id() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let before = bridge.proxy.count();
    for (method, path, status) in [
        (http::Method::DELETE, "/", 405),
        (http::Method::POST, "//new-secret", 405),
        (http::Method::GET, "/c/secrets/", 404),
        (http::Method::DELETE, "/c/secrets/", 404),
        (http::Method::DELETE, "/c//", 404),
    ] {
        let _ = konnect.call(method, path, None).await.refused(status);
    }
    assert_eq!(bridge.proxy.count(), before, "the IdP was asked");
}

#[tokio::test]
async fn a_path_that_climbs_out_of_its_provider_climbs_nowhere() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let before = bridge.proxy.count();
    let key = bridge.gateway.key("one");
    for (path, status) in [
        ("/one/../two/c", 404),
        ("/one/./c", 404),
        ("/one/c/../d", 404),
        ("/%6fne/c", 401),
        ("/two/../one/c", 401),
        ("//one/c", 401),
        ("/one%2Fc", 401),
        ("/one;x/c", 401),
        ("http://elsewhere.example/two/c", 401),
    ] {
        let request = format!(
            "DELETE {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 0\r\n\r\n"
        );
        let answer = raw::exchange(&bridge.gateway.address.to_string(), request.as_bytes()).await;
        let refusal = konnect.check(answer.expect("an answer"));
        assert_eq!(refusal.answer.status, status, "{path}");
    }
    assert_eq!(bridge.proxy.count(), before, "the IdP was asked");
}
