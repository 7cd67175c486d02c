//! The end of a process: what is in flight is answered.

use std::time::Duration;

use dcr_tests::konnect::application;
use dcr_tests::small_idp::CLIENTS;
use dcr_tests::{Mishap, Process};
use http::Method;

use crate::start::{Bridge, bridge};

/// The gateway's own limits are 10 s for calls; the connector waits for what may have to be undone.
const IN_TIME: Duration = Duration::from_secs(15);

/// Longer than it takes to cut a connection, if nothing were waited for.
const A_WHILE: Duration = Duration::from_millis(500);

/// Ends one process while a create waits for the IdP, then lets the IdP answer.
async fn create_across_the_end(bridge: &mut Bridge, ending: fn(&mut Bridge) -> &mut Process) {
    let (held, gate) = Mishap::held();
    bridge.proxy.spoil(Method::POST, CLIENTS, held);
    let konnect = bridge.konnect();
    let create = konnect.create(&application("ferry"));
    let end = async {
        bridge.proxy.held(1).await;
        let process = ending(bridge);
        process.terminate().await;
        process
            .line(|line| line.contains("stopping").then_some(()))
            .await;
        process.stays(A_WHILE).await;
        gate.open();
    };
    let (reply, ()) = tokio::join!(create, end);
    let client = reply.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    assert!(bridge.tokens().opens(id, secret).await);
    assert!(ending(bridge).ended(IN_TIME).await.success());
}

#[tokio::test]
async fn a_gateway_told_to_stop_answers_what_is_in_flight() {
    let mut bridge = bridge().await;
    create_across_the_end(&mut bridge, |bridge| &mut bridge.gateway.process).await;
}

#[tokio::test]
async fn a_connector_told_to_stop_answers_what_is_in_flight() {
    let mut bridge = bridge().await;
    create_across_the_end(&mut bridge, |bridge| &mut bridge.connector.process).await;
    let refusal = bridge.konnect().create(&application("ferry")).await;
    assert_eq!(refusal.refused(503).error, "unavailable");
}

#[tokio::test]
async fn idle_processes_end_at_once_though_konnect_keeps_its_connection() {
    let mut bridge = bridge().await;
    let konnect = bridge.konnect();
    konnect.create(&application("ferry")).await.created();
    for process in [&mut bridge.gateway.process, &mut bridge.connector.process] {
        process.terminate().await;
        assert!(process.ended(Duration::from_secs(5)).await.success());
    }
    drop(konnect);
}

#[tokio::test]
async fn a_client_whose_creator_hangs_up_is_not_left_behind() {
    let bridge = bridge().await;
    let (held, gate) = Mishap::held();
    bridge.proxy.spoil(Method::POST, CLIENTS, held);
    let konnect = bridge.konnect();
    tokio::select! {
        _ = konnect.create(&application("ferry")) => panic!("the answer is held back"),
        () = bridge.proxy.held(1) => {}
    }
    // The connection went with the future.
    drop(konnect);
    gate.open();
    bridge.nothing_left().await;
}
