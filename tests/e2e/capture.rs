//! "Record and redact": the shapes of Konnect's requests, without anything of anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use dcr_tests::konnect::{application, event, verify};
use dcr_tests::{Folder, Gateway};
use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::start::{GATEWAY, bridge};

/// The type of every value in a body, and the names of its members.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), shape(value)));
            Value::Object(members.collect())
        }
    }
}

#[tokio::test]
async fn requests_are_recorded_with_their_shapes_and_without_their_values() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let mut provider = bridge.gateway.providers().to_vec().remove(0);
    let record = format!("record: {{directory: {}}}\n", folder.path().display());
    provider.limits.push_str(&record);
    let gateway = Gateway::start(GATEWAY, &[provider]).await;
    let konnect = gateway.konnect("one");
    let planted = konnect.planted().clone();
    let name = "Jane Planted-Person";
    let mut create = application(name);
    create["application_description"] = "Mail to jane.planted@example.com".into();
    planted.plant("a name", name);
    planted.plant("a mail address", "jane.planted@example.com");
    planted.plant("a query", "planted-in-the-query");
    planted.plant("a header", "planted-in-a-header");
    planted.plant("a redirect URI", "ferry.example");
    let client = konnect.create(&create).await.created();
    planted.plant("a client's id", &client.client_id);
    let id = &*client.client_id;
    let hooks = [
        event(
            "update_application",
            id,
            &json!({"redirect_uris": [], "application_name": name}),
        ),
        event(
            "add_registration",
            id,
            &json!({"api_id": "a", "audience": "https://planted.example"}),
        ),
        event(
            "remove_registration",
            id,
            &json!({"entity_id": "planted-entity"}),
        ),
        event(
            "archive_application",
            id,
            &json!({"odd": {"jane_planted": [1, 0.5, null], "on": true}}),
        ),
    ];
    planted.plant("a key of a map", "jane_planted");
    for hook in &hooks {
        konnect.hook(id, hook).await.heard();
    }
    let probe = konnect.create(&verify()).await.created();
    planted.plant("a client's id", &probe.client_id);
    let odd = konnect
        .request(Method::DELETE, &format!("/{id}?odd=planted-in-the-query"))
        .header("x-odd", "planted-in-a-header")
        .header("user-agent", "konnect-of-the-test");
    konnect
        .send(odd.body(Full::default()).unwrap())
        .await
        .gone();

    let file = folder.path().join("one.jsonl");
    let read = || fs::read_to_string(&file).unwrap_or_default();
    let mut text = read();
    let patience = tokio::time::Instant::now() + dcr_tests::http::PATIENCE;
    while text.lines().count() < 7 && tokio::time::Instant::now() < patience {
        // It is written beside the calls.
        tokio::time::sleep(Duration::from_millis(10)).await;
        text = read();
    }
    let kept: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut sent = [&[create], &hooks[..], &[verify(), Value::Null]].concat();
    // Of a map only the shape is kept.
    sent[4]["odd"] = json!({"<member 0>": [1, 0.5, null], "<member 1>": true});
    assert_eq!(kept.len(), sent.len(), "{text}");
    for (kept, sent) in kept.iter().zip(&sent) {
        assert_eq!(shape(&kept["body"]), shape(sent), "{kept}");
        assert_eq!(kept["body"]["event_type"], sent["event_type"]);
        assert_eq!(kept["body"]["grant_types"], sent["grant_types"]);
    }
    assert_eq!(kept[5]["body"]["portal_id"], "test portal_id");
    let last = &kept[6];
    assert_eq!(
        (&last["method"], &last["route"]),
        (&json!("DELETE"), &json!("/{clientId}"))
    );
    assert_eq!(last["has_query"], true);
    let headers = last["headers"].to_string();
    assert!(
        headers.contains("konnect-of-the-test") && headers.contains("x-api-key"),
        "{headers}"
    );
    planted.assert_absent("what was recorded", &text);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
