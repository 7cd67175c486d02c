//! A connector that is not there, and one that never answers.

use std::time::Duration;

use dcr_tests::konnect::{application, event};
use dcr_tests::stand_in::BlackHole;
use dcr_tests::{Konnect, Provider, Refusal, Reply};
use serde_json::json;

use crate::start::{gateway, gateway_alone};

/// All seven calls at once.
async fn all_calls(konnect: &Konnect) -> Vec<(&'static str, Reply)> {
    let update = event("update_application", "c", &json!({"redirect_uris": []}));
    let application = application("a");
    let (create, delete, rotate, hook, list, add, remove) = tokio::join!(
        konnect.create(&application),
        konnect.delete("c"),
        konnect.rotate("c"),
        konnect.hook("c", &update),
        konnect.list("c"),
        konnect.add("c"),
        konnect.remove("c", "s"),
    );
    vec![
        ("create", create),
        ("delete", delete),
        ("rotate", rotate),
        ("hook", hook),
        ("list", list),
        ("add", add),
        ("remove", remove),
    ]
}

#[tokio::test]
async fn a_dead_connector_is_503_at_once_with_a_time_to_come_back() {
    let gateway = gateway_alone().await;
    for (call, reply) in all_calls(&gateway.konnect("one")).await {
        let Refusal {
            error,
            retry_after,
            took,
            ..
        } = reply.refused(503);
        assert_eq!(error, "unavailable", "{call}");
        assert!(retry_after.is_some(), "{call}");
        assert!(took < Duration::from_secs(3), "{call} took {took:?}");
    }
}

#[tokio::test]
async fn a_connector_that_never_answers_is_given_up_before_konnect_gives_up() {
    let hole = BlackHole::open().await;
    let gateway = gateway(&[Provider::new("one", hole.address())]).await;
    for (call, reply) in all_calls(&gateway.konnect("one")).await {
        let took = reply.took;
        assert!(took < Duration::from_millis(9_500), "{call} took {took:?}");
        let status = reply.answer.status.as_u16();
        assert!([503, 504].contains(&status), "{call}: {status}");
        let _ = reply.refused(status);
    }
}
