//! Tolerant reading: everything that Konnect was seen to send, or may send tomorrow, creates a client.

use dcr_tests::konnect::{application, merge, set, verify};
use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::start::{Bridge, bridge};

/// Creates an application with these members changed (null members are sent as null) and tells what the IdP has.
async fn created(bridge: &Bridge, members: &Value) -> Value {
    let mut body = application("ferry");
    set(&mut body, members);
    found(bridge, &body).await
}

async fn found(bridge: &Bridge, body: &Value) -> Value {
    let client = bridge.konnect().create(body).await.created();
    let found = bridge
        .idp()
        .client(&client.client_id)
        .await
        .expect("the client is there");
    bridge.konnect().delete(&client.client_id).await.gone();
    found
}

/// An application without these members.
async fn without(bridge: &Bridge, members: &[&str]) -> Value {
    let mut body = application("ferry");
    for member in members {
        merge(&mut body, &json!({*member: null}));
    }
    found(bridge, &body).await
}

#[tokio::test]
async fn client_name_has_1_to_255_characters_of_any_script() {
    let bridge = bridge().await;
    for name in [
        "x".to_owned(),
        "ß".repeat(255),
        "フェリー 時刻表 🚢".to_owned(),
        "<b>\"'%00&amp;</b>".to_owned(),
    ] {
        assert_eq!(
            created(&bridge, &json!({"client_name": name})).await["name"],
            name
        );
    }
}

#[tokio::test]
async fn redirect_uris_may_be_a_list_a_string_null_or_missing() {
    let bridge = bridge().await;
    let uri = "https://ferry.example/cb";
    for (given, expected) in [
        (json!([]), json!([])),
        (json!([uri]), json!([uri])),
        (
            json!([uri, "http://localhost:3000/cb", "com.example.app:/cb"]),
            json!([uri, "http://localhost:3000/cb", "com.example.app:/cb"]),
        ),
        (json!(uri), json!([uri])),
        (json!(""), json!([])),
        (json!(null), json!([])),
    ] {
        let found = created(&bridge, &json!({"redirect_uris": given})).await;
        assert_eq!(found["redirect_uris"], expected, "{given}");
    }
    assert_eq!(
        without(&bridge, &["redirect_uris"]).await["redirect_uris"],
        json!([])
    );
}

#[tokio::test]
async fn grant_types_are_read_with_konnects_quirks() {
    let bridge = bridge().await;
    let credentials = json!(["client_credentials"]);
    for (given, expected) in [
        (json!(["client_credentials"]), credentials.clone()),
        (json!(["bearer"]), credentials.clone()),
        (
            json!(["client_credentials", "bearer", "session"]),
            credentials.clone(),
        ),
        (json!([]), credentials.clone()),
        (json!(null), credentials.clone()),
        (json!("bearer"), credentials.clone()),
        (json!(["session", "something-new"]), credentials.clone()),
        (
            json!(["authorization_code", "refresh_token", "implicit"]),
            json!(["authorization_code", "refresh_token", "implicit"]),
        ),
    ] {
        let found = created(&bridge, &json!({"grant_types": given})).await;
        assert_eq!(found["grant_types"], expected, "{given}");
    }
    assert_eq!(
        without(&bridge, &["grant_types"]).await["grant_types"],
        credentials
    );
}

#[tokio::test]
async fn authorization_code_without_a_redirect_uri_creates_the_client() {
    let bridge = bridge().await;
    let members = json!({"grant_types": ["authorization_code"], "redirect_uris": []});
    let found = created(&bridge, &members).await;
    assert_eq!(found["grant_types"], json!(["authorization_code"]));
}

#[tokio::test]
async fn scopes_may_be_a_list_a_string_null_or_missing() {
    let bridge = bridge().await;
    let fifty: Vec<String> = (0..50)
        .map(|n| format!("{:0>128}", format!("scope{n}")))
        .collect();
    for (given, expected) in [
        (json!([]), json!([])),
        (json!(["openid"]), json!(["openid"])),
        (
            json!(["a:b", "https://api.example/read"]),
            json!(["a:b", "https://api.example/read"]),
        ),
        (json!("openid"), json!(["openid"])),
        (json!(null), json!([])),
        (json!(fifty), json!(fifty)),
    ] {
        let found = created(&bridge, &json!({"scopes": given})).await;
        assert_eq!(found["scopes"], expected);
    }
    assert_eq!(without(&bridge, &["scopes"]).await["scopes"], json!([]));
}

#[tokio::test]
async fn token_endpoint_auth_method_is_a_hint_and_never_an_obstacle() {
    let bridge = bridge().await;
    for given in [
        json!("client_secret_post"),
        json!("client_secret_basic"),
        json!("client_secret_jwt"),
        json!("private_key_jwt"),
        json!("none"),
        json!("something-new"),
        json!(""),
        json!(null),
    ] {
        let mut body = application("ferry");
        body["token_endpoint_auth_method"] = given.clone();
        let client = bridge.konnect().create(&body).await.created();
        let (id, secret) = (&*client.client_id, &*client.client_secret);
        // Whatever was said, the gateway's plugin can use basic or post.
        let mut opened = false;
        for method in [
            dcr_tests::token::Method::Basic,
            dcr_tests::token::Method::Post,
        ] {
            opened |= bridge.tokens().ask(method, id, secret, None).await.status == 200;
        }
        assert!(opened, "{given}: no way to get a token");
    }
    without(&bridge, &["token_endpoint_auth_method"]).await;
}

#[tokio::test]
async fn application_description_may_be_missing_null_empty_or_long() {
    let bridge = bridge().await;
    for (given, expected) in [
        (json!(null), String::new()),
        (json!(""), String::new()),
        (json!("ü".repeat(255)), "ü".repeat(255)),
        (
            json!("two\nlines\tand a tab"),
            "two\nlines\tand a tab".to_owned(),
        ),
    ] {
        let found = created(&bridge, &json!({"application_description": given})).await;
        assert_eq!(found["description"], expected);
    }
    assert_eq!(
        without(&bridge, &["application_description"]).await["description"],
        ""
    );
}

#[tokio::test]
async fn konnects_ids_are_opaque_and_optional() {
    let bridge = bridge().await;
    let ids = [
        "portal_id",
        "organization_id",
        "developer_id",
        "auth_strategy_id",
        "dcr_provider_id",
    ];
    for id in ids {
        for given in [
            json!("no uuid"),
            json!(""),
            json!(null),
            json!(7),
            json!({}),
            json!("x".repeat(1000)),
        ] {
            created(&bridge, &json!({id: given})).await;
        }
        without(&bridge, &[id]).await;
    }
    without(&bridge, &ids).await;
}

#[tokio::test]
async fn members_of_tomorrow_are_ignored_and_counted() {
    let mut bridge = bridge().await;
    created(&bridge, &json!({"application_id": "a", "audience": ["x"], "owner": {"email": "a@b.example"}, "": 1})).await;
    let metrics = bridge.gateway_metrics().await;
    let counted = metrics
        .lines()
        .find(|line| line.starts_with("dcr_unknown_members_total "));
    assert!(
        counted.is_some_and(|line| !line.ends_with(" 0")),
        "{metrics}"
    );
    // The name is in the log, the value is not.
    let output = bridge.end().await;
    assert!(output.contains("owner"), "{output}");
    assert!(!output.contains("a@b.example"));
}

#[tokio::test]
async fn konnects_verify_passes_and_its_client_is_marked_as_a_probe() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let client = konnect.create(&verify()).await.created();
    assert!(
        bridge
            .tokens()
            .opens(&client.client_id, &client.client_secret)
            .await
    );
    let found = bridge
        .idp()
        .client(&client.client_id)
        .await
        .expect("the client is there");
    assert!(
        found["attributes"].to_string().contains("probe"),
        "{}",
        found["attributes"]
    );
    konnect.delete(&client.client_id).await.gone();
    let usual = created(&bridge, &json!({})).await;
    assert!(!usual["attributes"].to_string().contains("probe"));
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    for content_type in [
        None,
        Some("application/json; charset=utf-8"),
        Some("text/plain"),
        Some("nonsense"),
    ] {
        let mut request = konnect.request(Method::POST, "/");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let body = application("ferry").to_string();
        konnect
            .send(request.body(Full::from(body)).unwrap())
            .await
            .created();
    }
}

#[tokio::test]
async fn calls_without_a_body_may_have_one_or_announce_json_and_send_nothing() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let id = &*client.client_id;
    for body in ["", "{}", "null", "not even json"] {
        let send = |method: Method, path: String| {
            let request = konnect
                .request(method, &path)
                .header("content-type", "application/json");
            konnect.send(request.body(Full::from(body)).unwrap())
        };
        send(Method::POST, format!("/{id}/new-secret"))
            .await
            .rotated(id);
        let added = send(Method::POST, format!("/{id}/secrets")).await.added(id);
        send(Method::GET, format!("/{id}/secrets")).await.listed(id);
        send(Method::DELETE, format!("/{id}/secrets/{}", added.secret_id))
            .await
            .gone();
    }
    let request = konnect
        .request(Method::DELETE, &format!("/{id}"))
        .header("content-type", "application/json");
    konnect
        .send(request.body(Full::from("{}")).unwrap())
        .await
        .gone();
}
