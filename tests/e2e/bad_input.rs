//! What cannot be honoured is refused whole, with everything that is wrong, before the IdP hears of it.

use dcr_tests::konnect::{application, event, merge, set};
use serde_json::{Value, json};

use crate::start::{Bridge, bridge};

/// Sends an application with these members changed and tells the refusal; the IdP must not have been asked.
async fn refused(bridge: &Bridge, members: &Value) -> String {
    let mut body = application("ferry");
    set(&mut body, members);
    let before = bridge.proxy.count();
    let refusal = bridge.konnect().create(&body).await.refused(400);
    assert_eq!(refusal.error, "invalid_request");
    assert_eq!(bridge.proxy.count(), before, "the IdP was asked");
    refusal.description
}

#[tokio::test]
async fn every_violation_is_told_at_once_by_konnects_name() {
    let bridge = bridge().await;
    let description = refused(
        &bridge,
        &json!({
            "client_name": "",
            "redirect_uris": ["https://ferry.example/cb", "javascript:alert(1)", "https://ferry.example/#f"],
            "grant_types": {},
            "scopes": ["ok", "two words\""],
            "application_description": "x".repeat(256),
        }),
    )
    .await;
    for name in [
        "client_name ",
        "redirect_uris[1] ",
        "redirect_uris[2] ",
        "grant_types ",
        "scopes[1] ",
        "application_description ",
    ] {
        assert!(
            description.contains(name),
            "{name:?} is not in: {description}"
        );
    }
    assert!(!description.contains("redirect_uris[0]"), "{description}");
    assert!(
        !description.contains("javascript"),
        "what was sent is repeated: {description}"
    );
}

#[tokio::test]
async fn each_bad_value_is_refused() {
    let bridge = bridge().await;
    let many: Vec<String> = (0..51).map(|n| format!("s{n}")).collect();
    for (member, bad) in [
        ("client_name", json!("")),
        ("client_name", json!("   ")),
        ("client_name", json!(null)),
        ("client_name", json!([])),
        ("client_name", json!("x".repeat(256))),
        ("client_name", json!("a\u{0}b")),
        ("client_name", json!("a\r\nb")),
        ("redirect_uris", json!(["http://ferry.example/cb"])),
        ("redirect_uris", json!(["https://*.example/cb"])),
        ("redirect_uris", json!(["https://user:pw@ferry.example/"])),
        ("redirect_uris", json!(["//ferry.example"])),
        ("redirect_uris", json!([""])),
        ("redirect_uris", json!([7])),
        ("redirect_uris", json!([null])),
        ("redirect_uris", json!({"0": "https://ferry.example"})),
        ("redirect_uris", json!(vec!["https://ferry.example/cb"; 21])),
        (
            "redirect_uris",
            json!([format!("https://ferry.example/{}", "x".repeat(2048))]),
        ),
        ("scopes", json!(["a\"b"])),
        ("scopes", json!([""])),
        ("scopes", json!(["x".repeat(129)])),
        ("scopes", json!(many)),
        ("scopes", json!(7.5e300)),
        ("application_description", json!("x".repeat(256))),
        ("application_description", json!("a\u{7}b")),
        ("application_description", json!(["x"])),
    ] {
        let description = refused(&bridge, &json!({member: bad})).await;
        assert!(
            description.contains(member),
            "{member} {bad}: {description}"
        );
    }
    let mut nameless = application("ferry");
    merge(&mut nameless, &json!({"client_name": null}));
    let refusal = bridge.konnect().create(&nameless).await.refused(400);
    assert!(refusal.description.contains("client_name"));
    assert!(bridge.idp().clients().await.is_empty());
}

#[tokio::test]
async fn a_refusal_is_short_and_has_no_control_characters_whatever_was_sent() {
    let bridge = bridge().await;
    let many = vec!["\u{1b}[31m\r\n\"bad\"\u{2028}"; 20];
    let description = refused(
        &bridge,
        &json!({"redirect_uris": many, "scopes": many, "client_name": "\u{0}"}),
    )
    .await;
    assert!(
        description.len() < 2_500,
        "{} bytes: {description}",
        description.len()
    );
    assert!(
        !description.contains("[31m"),
        "what was sent is repeated: {description}"
    );
}

#[tokio::test]
async fn events_that_cannot_be_honoured_are_refused() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    let before = bridge.proxy.count();
    for (event, name) in [
        (
            event("add_registration", id, &json!({})),
            "api_product_version_id",
        ),
        (
            event("remove_registration", id, &json!({"api_id": {}})),
            "api_product_version_id",
        ),
        (
            event(
                "add_registration",
                id,
                &json!({"api_id": "a", "audience": "two words"}),
            ),
            "audience",
        ),
        (
            event(
                "update_application",
                "another",
                &json!({"redirect_uris": []}),
            ),
            "client_id",
        ),
        (
            event(
                "update_application",
                id,
                &json!({"redirect_uris": ["javascript:alert(1)"]}),
            ),
            "redirect_uris[0]",
        ),
        (
            event("update_application", id, &json!({"application_name": ""})),
            "application_name",
        ),
        (event("", id, &json!({})), "event_type"),
        (json!({"client_id": id}), "event_type"),
        (json!([]), ""),
    ] {
        let refusal = konnect.hook(id, &event).await.refused(400);
        assert!(
            refusal.description.contains(name),
            "{name} is not in: {}",
            refusal.description
        );
    }
    assert_eq!(bridge.proxy.count(), before, "the IdP was asked");
}
