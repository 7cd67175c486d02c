//! The log: one line for each call of Konnect's.

use dcr_tests::Reply;
use dcr_tests::konnect::{application, event};
use serde_json::{Value, json};

use crate::start::bridge;

/// What a line says of a call, and that the call took some time.
fn told(line: &str) -> Option<[Value; 5]> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?;
    let _took = fields.get("duration_ms")?.as_u64()?;
    fields.get("message")?.as_str()?.strip_prefix("call ")?;
    let members = ["operation", "provider", "outcome", "status", "reference"];
    Some(members.map(|name| fields[name].clone()))
}

#[tokio::test]
async fn every_call_has_one_line_with_operation_provider_outcome_status_and_reference() {
    let mut bridge = bridge().await;
    let konnect = bridge.konnect();
    let reply = konnect.create(&application("ferry")).await;
    let id = reply.answer.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let update = event("update_application", &id, &json!({"redirect_uris": []}));
    let replies: Vec<(&str, &str, Reply)> = vec![
        ("create_client", "ok", reply),
        ("event_hook", "ok", konnect.hook(&id, &update).await),
        ("rotate_secret", "ok", konnect.rotate(&id).await),
        ("list_secrets", "ok", konnect.list(&id).await),
        ("delete_client", "ok", konnect.delete(&id).await),
        (
            "rotate_secret",
            "client_not_found",
            konnect.rotate(&id).await,
        ),
    ];
    for (operation, outcome, reply) in replies {
        let reference = reply.answer.header("x-request-id").unwrap().to_owned();
        let of_call = |line: &str| told(line).filter(|told| told[4] == *reference);
        let line = bridge.gateway.process.line(of_call).await;
        let status = reply.answer.status.as_u16();
        assert_eq!(
            line[..4],
            [
                json!(operation),
                json!("one"),
                json!(outcome),
                json!(status)
            ]
        );
        let output = bridge.gateway.process.output();
        assert_eq!(output.lines().filter_map(of_call).count(), 1, "{output}");
    }
}
