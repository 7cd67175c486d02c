//! A connector that is not there, and one that never answers.

use std::time::Duration;

use dcr_tests::hostile::{Answer, Hostile};
use dcr_tests::konnect::{application, event};
use dcr_tests::stand_in::BlackHole;
use dcr_tests::{Konnect, Provider, Refusal, Reply};
use serde_json::json;
use tokio::task::JoinSet;

use crate::hostile_connector::created;
use crate::start::{gateway, gateway_alone};

/// Konnect's host gives up after 10 s.
const IN_TIME: Duration = Duration::from_millis(9_500);

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
        assert!(took < IN_TIME, "{call} took {took:?}");
        let status = reply.answer.status.as_u16();
        assert!([503, 504].contains(&status), "{call}: {status}");
        let _ = reply.refused(status);
    }
}

#[tokio::test]
async fn a_connector_that_cannot_be_used_holds_up_nobody_elses_calls() {
    let hole = BlackHole::open().await;
    let full = BlackHole::full().await;
    let hostile = Hostile::start().await;
    hostile.answers().create_client = Answer::Message(created());
    let gateway = gateway(&[
        Provider::new("hole", hole.address()),
        Provider::new("full", full.address()),
        Provider::new("good", hostile.address),
    ])
    .await;
    let mut calls = JoinSet::new();
    for provider in ["hole", "full"] {
        // More than the bulkhead takes.
        for _ in 0..80 {
            let konnect = gateway.konnect(provider);
            calls.spawn(async move { (provider, konnect.create(&application("ferry")).await) });
        }
    }
    let good = gateway.konnect("good");
    let mut served = 0;
    let mut given_up = Vec::new();
    while !calls.is_empty() {
        tokio::select! {
            call = calls.join_next() => {
                let (provider, reply) = call.unwrap().unwrap();
                let status = reply.answer.status.as_u16();
                given_up.push((provider, status));
                let refusal = reply.refused(status);
                assert!(refusal.took < IN_TIME, "took {:?}", refusal.took);
            }
            reply = good.create(&application("ferry")) => {
                assert!(reply.took < Duration::from_secs(2), "took {:?}", reply.took);
                let _ = reply.created();
                served += 1;
            }
        }
    }
    assert!(served > 0);
    let of = |provider, status| {
        let same = |end: &&(&str, u16)| **end == (provider, status);
        given_up.iter().filter(same).count()
    };
    // What had a slot was sent and may have been begun; the rest never left the gateway.
    assert_eq!((of("hole", 504), of("hole", 503)), (64, 16));
    // Where no connection was made nothing was sent.
    assert_eq!(of("full", 503), 80);
}
