//! HTTPS for Konnect.

use std::time::{Duration, Instant};

use dcr_tests::certificates::{Ca, Caller, Name};
use dcr_tests::konnect::application;
use dcr_tests::raw::Raw;
use dcr_tests::stand_in::dead_port;
use dcr_tests::{Gateway, Http, Provider};
use http::Version;

use super::Files;
use crate::konnect_sim::Run;
use crate::start::GATEWAY;

async fn gateway(files: &Files) -> Gateway {
    let providers = [Provider::new("one", dead_port())];
    Gateway::start_with(GATEWAY, &providers, &files.for_konnect()).await
}

#[tokio::test]
async fn konnect_is_served_over_tls_by_both_versions_of_http_and_over_nothing_else() {
    let ca = Ca::new("public");
    let files = Files::new(&ca.issue(&[Name::Loopback]), &[]);
    let gateway = gateway(&files).await;
    let url = format!("https://{}/one", gateway.address);
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let konnect = gateway
            .konnect("one")
            .at(&url)
            .over(Http::trusting(&ca.pem(), version));
        // The call came as far as the connector, which is not there.
        konnect.create(&application("a")).await.refused(503);
    }
    let caller = Caller::new(None);
    for (offered, agreed) in [(&["http/1.1", "h2"][..], "h2"), (&["http/1.1"], "http/1.1")] {
        let done = caller.offering(offered).greet(gateway.address).await;
        assert_eq!(done.unwrap().protocol, agreed);
    }
    let mut plain = Raw::connect(&gateway.address.to_string()).await;
    let request = format!(
        "GET /one/c/secrets HTTP/1.1\r\nHost: here\r\nX-API-KEY: {}\r\n\r\n",
        gateway.key("one")
    );
    plain.write(request.as_bytes()).await.unwrap();
    let answer = plain.answer().await;
    assert!(answer.is_err(), "answered in plain text: {answer:?}");
}

#[tokio::test]
async fn konnect_sim_trusts_the_ca_that_it_is_given_and_no_other() {
    let ca = Ca::new("public");
    let files = Files::new(&ca.issue(&[Name::Loopback]), &[]);
    let gateway = gateway(&files).await;
    let url = format!("https://{}/one", gateway.address);
    for (trusted, code) in [(&ca, 0), (&Ca::new("another"), 1)] {
        files.trust(&[trusted]);
        let file = files.path().join("ca.crt").display().to_string();
        let words = ["contract", "--only", "reach", "--ca-file", &file];
        let run = Run::of(&url, gateway.key("one"), &words).await;
        assert_eq!(run.code, Some(code), "{}", run.printed);
        let told = run.printed.contains("of no CA that is trusted here");
        assert_eq!(told, code == 1, "{}", run.printed);
    }
}

#[tokio::test]
async fn a_gateway_ends_in_time_though_peers_never_finish_their_handshakes() {
    let ca = Ca::new("public");
    let files = Files::new(&ca.issue(&[Name::Loopback]), &[]);
    let mut gateway = gateway(&files).await;
    let mut peers = Vec::new();
    // Nothing, and the head of a record of 512 bytes with a byte of them (RFC 8446 section 5.1).
    for said in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let mut peer = Raw::connect(&gateway.address.to_string()).await;
        peer.write(said).await.unwrap();
        peers.push(peer);
    }
    // Accepted later than they.
    let done = Caller::new(None).greet(gateway.address).await;
    assert!(done.is_ok(), "{done:?}");
    gateway.process.terminate().await;
    assert!(
        gateway
            .process
            .ended(Duration::from_secs(12))
            .await
            .success()
    );
}

#[tokio::test]
async fn the_end_of_the_certificate_is_a_metric() {
    let ca = Ca::new("public");
    let files = Files::new(&ca.issue(&[Name::Loopback]), &[]);
    let gateway = gateway(&files).await;
    let metrics = Http::new()
        .get(&format!("http://{}/metrics", gateway.probes))
        .await
        .unwrap()
        .text();
    // 2040-01-01T00:00:00Z
    let line = "dcr_tls_not_after_timestamp_seconds{certificate=\"tls\"} 2208988800";
    assert!(metrics.lines().any(|l| l == line), "{metrics}");
}

#[tokio::test]
async fn whoever_never_finishes_the_handshake_is_cut_after_five_seconds() {
    let ca = Ca::new("public");
    let files = Files::new(&ca.issue(&[Name::Loopback]), &[]);
    let gateway = gateway(&files).await;
    let began = Instant::now();
    let mut silent = Raw::connect(&gateway.address.to_string()).await;
    let mut halfway = Raw::connect(&gateway.address.to_string()).await;
    // The head of a record that never comes.
    halfway.write(&[22, 3, 1, 1, 0]).await.unwrap();
    let (silent, halfway) = tokio::join!(silent.hung_up(), halfway.hung_up());
    silent.unwrap();
    halfway.unwrap();
    let took = began.elapsed();
    let (least, most) = (Duration::from_secs(4), Duration::from_secs(10));
    assert!(took > least && took < most, "cut after {took:?}");
}
