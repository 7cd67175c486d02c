//! A connector that is not there, and one that never answers.

use std::time::{Duration, Instant};

use dcr_tests::hostile::{Answer, Hostile};
use dcr_tests::konnect::{application, event};
use dcr_tests::raw::Raw;
use dcr_tests::stand_in::BlackHole;
use dcr_tests::{Connector, Folder, Gateway, Konnect, Provider, Refusal, Reply, http};
use serde_json::json;
use tokio::task::JoinSet;

use crate::hostile_connector::created;
use crate::start::{CONNECTOR, gateway, gateway_alone};

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
async fn a_dead_connector_is_503_with_a_time_to_come_back() {
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
        assert!(took < IN_TIME, "{call} took {took:?}");
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
    let (silent, full, good) = (
        Hostile::start().await,
        BlackHole::full().await,
        Hostile::start().await,
    );
    silent.answers().none();
    good.answers().create_client = Answer::Message(created());
    let gateway = gateway(&[
        Provider::new("silent", silent.address),
        Provider::new("full", full.address()),
        Provider::new("good", good.address),
    ])
    .await;
    let mut calls = JoinSet::new();
    let mut call = |provider, times| {
        for _ in 0..times {
            let konnect = gateway.konnect(provider);
            calls.spawn(async move { (provider, konnect.create(&application("ferry")).await) });
        }
    };
    // In turns, for the gateway takes few new connections at once from one address.
    for seen in [31, 63] {
        call("silent", 32);
        call("full", 16);
        let _ = silent.seen("create_client", seen).await;
    }
    // More than a provider may have in flight.
    call("silent", 16);
    call("full", 16);
    let konnect = gateway.konnect("good");
    let mut served = 0;
    let mut ends = Vec::new();
    while !calls.is_empty() {
        tokio::select! {
            end = calls.join_next() => {
                let (provider, reply) = end.unwrap().unwrap();
                let status = reply.answer.status.as_u16();
                ends.push((provider, status));
                let took = reply.refused(status).took;
                assert!(took < IN_TIME, "{provider} took {took:?}");
            }
            reply = konnect.create(&application("ferry")) => {
                assert!(reply.took < IN_TIME, "took {:?}", reply.took);
                let _ = reply.created();
                served += 1;
            }
        }
    }
    assert!(served > 0);
    let of = |provider, status| ends.iter().filter(|e| **e == (provider, status)).count();
    // What was sent may have been done; what had to wait for a slot was not sent.
    assert_eq!((of("silent", 504), of("silent", 503)), (64, 16));
    assert_eq!(silent.count("create_client"), 64);
    // Where no connection is made nothing is sent.
    assert_eq!(of("full", 503), 48);
}

/// Sends a create whose body takes almost as long as the gateway waits for one.
async fn dribbled(gateway: &Gateway) -> (http::Answer, Duration) {
    let body = application("ferry").to_string();
    let head = format!(
        "POST /one/ HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n",
        gateway.key("one"),
        body.len()
    );
    let mut connection = Raw::connect(&gateway.address.to_string()).await;
    let began = Instant::now();
    connection.write(head.as_bytes()).await.unwrap();
    let pieces = body.len().div_ceil(8);
    for piece in body.as_bytes().chunks(8) {
        connection.write(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4) / u32::try_from(pieces).unwrap()).await;
    }
    let answer = connection.answer().await.expect("an answer");
    (answer, began.elapsed())
}

#[tokio::test]
async fn a_slow_body_before_a_silent_connector_is_answered_before_konnect_gives_up() {
    let hole = BlackHole::open().await;
    let gateway = gateway(&[Provider::new("one", hole.address())]).await;
    let (answer, took) = dribbled(&gateway).await;
    assert!(
        took > Duration::from_secs(4) && took < IN_TIME,
        "took {took:?}"
    );
    let _ = gateway.konnect("one").check(answer).refused(504);
}

#[tokio::test]
async fn an_idp_that_never_answers_is_given_up_before_konnect_gives_up() {
    for hole in [BlackHole::open().await, BlackHole::full().await] {
        let section = |folder: &Folder| {
            let file = folder.write("idp-secret", "a-secret-of-a-test");
            let (address, file) = (hole.address(), file.display());
            format!("  base_url: http://{address}\n  client_id: c\n  client_secret_file: {file}\n")
        };
        let connector = Connector::start(CONNECTOR, section, "").await;
        let gateway = gateway(&[Provider::new("one", connector.address)]).await;
        for (call, reply) in all_calls(&gateway.konnect("one")).await {
            let took = reply.took;
            assert!(took < IN_TIME, "{call} took {took:?}");
            let status = reply.answer.status.as_u16();
            assert!([503, 504].contains(&status), "{call}: {status}");
            let _ = reply.refused(status);
        }
    }
}
