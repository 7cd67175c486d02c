//! The end of a process: what is in flight is answered.

use std::net::SocketAddr;
use std::time::Duration;

use dcr_conformance::{Options, run};
use dcr_tests::konnect::application;
use dcr_tests::raw::Raw;
use dcr_tests::small_idp::CLIENTS;
use dcr_tests::stand_in::BlackHole;
use dcr_tests::{Mishap, Process, Provider};
use http::Method;
use serde_json::Value;

use crate::start::{Bridge, CONNECTOR, GATEWAY, bridge, gateway};

/// Longer than a process takes that has nothing to wait for.
const A_MOMENT: Duration = Duration::from_secs(5);

/// The gateway's own limits are 10 s for calls; the connector waits for what may have to be undone.
const IN_TIME: Duration = Duration::from_secs(15);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

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
async fn a_connector_told_to_stop_keeps_the_contract_to_its_end() {
    let mut bridge = bridge().await;
    let options = Options {
        terminate: Some(bridge.connector.process.id().try_into().unwrap()),
        only: vec!["drain/".to_owned()],
        ..Options::new(format!("http://{}", bridge.connector.address))
    };
    run(options).await.unwrap().assert_passed();
    assert!(bridge.connector.process.ended(IN_TIME).await.success());
    bridge.nothing_left().await;
}

#[tokio::test]
async fn idle_processes_end_though_konnect_keeps_its_connection() {
    let mut bridge = bridge().await;
    let konnect = bridge.konnect();
    konnect.create(&application("ferry")).await.created();
    for process in [&mut bridge.gateway.process, &mut bridge.connector.process] {
        process.terminate().await;
        // One more request on the connection would be answered for 5 s.
        assert!(process.ended(Duration::from_secs(8)).await.success());
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

/// A call over HTTP/2 whose body never comes (RFC 9113 section 6.2, RFC 7541 section 6.2.2).
fn begun_call(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // POST, http, and `:path`, by their numbers in the static table.
    let mut block = [&[0x83, 0x86, 0x04][..], &text(path)].concat();
    for (name, value) in headers {
        block.extend([&[0][..], &text(name), &text(value)].concat());
    }
    let length = u8::try_from(block.len()).unwrap();
    // HEADERS of stream 1, END_HEADERS and no END_STREAM.
    [PREFACE, &[0, 0, length, 1, 4, 0, 0, 0, 1], &block].concat()
}

/// Peers that hold a process's connections and do nothing with them.
async fn silent_peers(address: SocketAddr, key: &str) -> Vec<Raw> {
    let rpc = "/dcr.connector.v1.ConnectorService/DescribeConnector";
    let grpc = begun_call(rpc, &[("content-type", "application/grpc")]);
    let http2 = begun_call("/one/", &[("x-api-key", key)]);
    let head = format!("POST /one/ HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n");
    let half_body = format!("{head}content-length: 100\r\n\r\n{{");
    let idle = format!("GET /one/nothing HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n");
    let mut peers = Vec::new();
    for said in [
        b"".as_slice(),
        PREFACE,
        &grpc,
        &http2,
        head.as_bytes(),
        half_body.as_bytes(),
        idle.as_bytes(),
    ] {
        let mut peer = Raw::connect(&address.to_string()).await;
        peer.write(said).await.unwrap();
        peers.push(peer);
    }
    // Its answer, from the gateway: the others have been accepted before.
    let _ = peers.last_mut().unwrap().answer().await;
    peers
}

#[tokio::test]
async fn processes_end_in_time_whatever_silent_peers_do() {
    let mut bridge = bridge().await;
    let key = bridge.gateway.key("one").to_owned();
    let _to_the_gateway = silent_peers(bridge.gateway.address, &key).await;
    let _to_its_probes = silent_peers(bridge.gateway.probes, &key).await;
    // A connector hangs up on what is no HTTP/2.
    let _to_the_connector = silent_peers(bridge.connector.address, &key).await;
    for process in [&mut bridge.gateway.process, &mut bridge.connector.process] {
        process.terminate().await;
    }
    for process in [&mut bridge.gateway.process, &mut bridge.connector.process] {
        // 10 s for calls; there is nothing to undo.
        assert!(process.ended(Duration::from_secs(12)).await.success());
    }
}

#[tokio::test]
async fn what_cannot_be_undone_before_the_end_is_named_in_the_log() {
    let hole = BlackHole::open().await;
    let mut gateway = gateway(&[Provider::new("one", hole.address())]).await;
    let konnect = gateway.konnect("one");
    let create = konnect.create(&application("ferry"));
    let refusal = create.await.refused(504);
    gateway.process.terminate().await;
    // 10 s for calls and 40 s to undo.
    assert!(
        gateway
            .process
            .ended(Duration::from_secs(55))
            .await
            .success()
    );
    let output = gateway.process.output();
    let retried = output
        .lines()
        .find(|line| line.contains("cannot be undone yet") && line.contains(&refusal.reference));
    let retried: Value = serde_json::from_str(retried.expect("the abort was tried")).unwrap();
    let fields = retried.get("fields").unwrap_or(&retried);
    let operation = fields["operation"].as_str().unwrap();
    let named =
        |line: &&str| line.contains("is given up with the process") && line.contains(operation);
    assert_eq!(output.lines().filter(named).count(), 1, "{output}");
}

#[tokio::test]
async fn the_command_sleep_sleeps_until_it_is_told_to_stop() {
    for program in [GATEWAY, CONNECTOR] {
        let sleep = |time: &str| Process::start(program, &["sleep".as_ref(), time.as_ref()]);
        assert!(sleep("0").ended(A_MOMENT).await.success());
        let mut long = sleep("600");
        long.stays(A_WHILE).await;
        long.terminate().await;
        assert!(long.ended(A_MOMENT).await.success());
    }
}
