//! Whom gateway and connector take for one another.

use std::time::Duration;

use dcr_tests::certificates::{Ca, Caller, Impostor, Issued, Name, Purpose};
use dcr_tests::konnect::application;
use dcr_tests::small_idp::SmallIdp;
use dcr_tests::{Gateway, Provider};

use super::{
    CONNECTOR_ID, Files, GATEWAY_ID, connector, connectors, gateway, gateways, lines, one_life,
};
use crate::start::GATEWAY;

/// Certificates that must not pass for one with this URI SAN, and what the log says was shown.
fn wrong(ca: &Ca, identity: &str, purpose: Purpose) -> Vec<(&'static str, Issued, &'static str)> {
    let longer = format!("{identity}/more");
    let shorter = identity.trim_end_matches(|c| c != '/');
    let upper = identity.to_uppercase();
    let other = Ca::new("another CA");
    let other_purpose = match purpose {
        Purpose::ServerAuth => Purpose::ClientAuth,
        _ => Purpose::ServerAuth,
    };
    let right = [Name::Uri(identity)];
    vec![
        (
            "another URI",
            ca.issue(&[Name::Uri("spiffe://test/x")]),
            "spiffe://test/x",
        ),
        ("a longer URI", ca.issue(&[Name::Uri(&longer)]), "/more"),
        (
            "a shorter URI",
            ca.issue(&[Name::Uri(shorter)]),
            "spiffe://test/ns/",
        ),
        (
            "upper case",
            ca.issue(&[Name::Uri(&upper)]),
            "SPIFFE://TEST",
        ),
        (
            "the text as a DNS name",
            ca.issue(&[Name::Dns(identity)]),
            "without a URI SAN",
        ),
        ("no name", ca.issue(&[]), "without a URI SAN"),
        (
            "two URIs",
            ca.issue(&[Name::Uri("spiffe://test/x"), Name::Uri(identity)]),
            "several URI SANs",
        ),
        ("another CA", other.issue(&right), "another CA"),
        (
            "expired",
            ca.issue_for(&right, &[purpose], 2020),
            "2020-01-01",
        ),
        (
            "another purpose",
            ca.issue_for(&right, &[other_purpose], 2040),
            "issued by CN=ours",
        ),
    ]
}

#[tokio::test]
async fn gateway_and_connector_know_each_other_by_their_uris_alone() {
    let ca = Ca::new("ours");
    let idp = SmallIdp::start().await;
    let connector_files = Files::new(&connectors(&ca), &[&ca]);
    let connector = connector(&idp, &connector_files, GATEWAY_ID).await;
    let gateway_files = Files::new(&gateways(&ca), &[&ca]);
    let provider = Provider::secured("one", connector.address, CONNECTOR_ID);
    let gateway = gateway(&gateway_files, &[provider]).await;
    one_life(&gateway.konnect("one")).await;
    for (probes, certificate) in [(gateway.probes, "connector_tls"), (connector.probes, "tls")] {
        let metrics = crate::start::metrics(probes).await;
        let line = format!(
            "dcr_tls_not_after_timestamp_seconds{{certificate=\"{certificate}\"}} 2208988800"
        );
        assert!(metrics.lines().any(|l| l == line), "{metrics}");
    }
}

#[tokio::test]
async fn a_connector_lets_nobody_in_but_its_gateway() {
    let ca = Ca::new("ours");
    let idp = SmallIdp::start().await;
    let files = Files::new(&connectors(&ca), &[&ca]);
    let mut connector = connector(&idp, &files, GATEWAY_ID).await;
    Caller::new(Some(&gateways(&ca)))
        .call(connector.address)
        .await
        .unwrap();
    for (what, shown, said) in wrong(&ca, GATEWAY_ID, Purpose::ClientAuth) {
        let before = connector.process.output().len();
        let refusal = Caller::new(Some(&shown)).call(connector.address).await;
        let refusal = refusal.expect_err(what);
        assert!(refusal.contains("alert"), "{what}: {refusal}");
        let told = |line: &str| {
            let all = ["\"WARN\"", "certificate is refused", GATEWAY_ID, said];
            all.iter().all(|text| line.contains(text)).then_some(())
        };
        connector.process.line_after(before, told).await;
    }
    let refusal = Caller::new(None)
        .call(connector.address)
        .await
        .expect_err("none");
    assert!(refusal.contains("alert"), "{refusal}");
    let told = |line: &str| line.contains("shows no certificate").then_some(());
    connector.process.line(told).await;
    Caller::new(Some(&gateways(&ca)))
        .call(connector.address)
        .await
        .unwrap();
}

#[tokio::test]
async fn who_is_refused_again_and_again_does_not_fill_the_log() {
    let ca = Ca::new("ours");
    let idp = SmallIdp::start().await;
    let files = Files::new(&connectors(&ca), &[&ca]);
    let mut connector = connector(&idp, &files, GATEWAY_ID).await;
    let other = Caller::new(Some(&ca.issue(&[Name::Uri("spiffe://test/x")])));
    let nobody = Caller::new(None);
    for caller in [&other, &nobody] {
        for _ in 0..30 {
            let refusal = caller.call(connector.address).await;
            refusal.expect_err("nobody else is let in");
        }
    }
    connector.process.terminate().await;
    let ended = connector.process.ended(Duration::from_secs(15)).await;
    assert!(ended.success());
    let output = connector.process.output();
    for text in ["certificate is refused", "shows no certificate"] {
        let told = lines(&output, &["\"WARN\"", text]);
        // At first 20, and one each 6 s.
        assert!((20..30).contains(&told), "{text}: {told}");
    }
}

#[tokio::test]
async fn a_gateway_says_nothing_to_a_connector_that_is_not_the_one() {
    let ca = Ca::new("ours");
    let mut impostors = Vec::new();
    for (what, shown, said) in wrong(&ca, CONNECTOR_ID, Purpose::ServerAuth) {
        impostors.push((what, Impostor::open(&shown).await, said));
    }
    let id = |what: &str| what.to_lowercase().replace(' ', "-");
    let providers: Vec<_> = impostors
        .iter()
        .map(|(what, impostor, _)| Provider::secured(&id(what), impostor.address(), CONNECTOR_ID))
        .collect();
    let files = Files::new(&gateways(&ca), &[&ca]);
    let mut gateway = gateway(&files, &providers).await;
    for (what, impostor, said) in &impostors {
        let konnect = gateway.konnect(&id(what)).hiding(CONNECTOR_ID);
        let before = gateway.process.output().len();
        let refusal = konnect.create(&application("a")).await.refused(503);
        assert!(refusal.took < Duration::from_millis(9_500), "{what}");
        let told = |line: &str| {
            let all = ["\"WARN\"", "certificate is refused", CONNECTOR_ID, said];
            all.iter().all(|text| line.contains(text)).then_some(())
        };
        gateway.process.line_after(before, told).await;
        assert_eq!(impostor.told(), 0, "{what}: something was sent");
    }
}

#[tokio::test]
async fn konnect_is_told_503_when_the_connector_does_not_take_the_gateway() {
    let ca = Ca::new("ours");
    let idp = SmallIdp::start().await;
    let connector_files = Files::new(&connectors(&ca), &[&ca]);
    let mut connector = connector(&idp, &connector_files, "spiffe://test/another").await;
    let gateway_files = Files::new(&gateways(&ca), &[&ca]);
    let provider = Provider::secured("one", connector.address, CONNECTOR_ID);
    let mut gateway = gateway(&gateway_files, &[provider]).await;
    let konnect = gateway.konnect("one").hiding(CONNECTOR_ID);
    let refusal = konnect.create(&application("a")).await.refused(503);
    assert!(refusal.took < Duration::from_millis(9_500));
    let line = |texts: [&'static str; 2]| {
        move |line: &str| texts.iter().all(|text| line.contains(text)).then_some(())
    };
    gateway
        .process
        .line(line([
            CONNECTOR_ID,
            "does not accept the gateway's certificate",
        ]))
        .await;
    connector
        .process
        .line(line(["spiffe://test/another", GATEWAY_ID]))
        .await;
    let output = gateway.process.output();
    // What was never sent needs no undoing.
    assert_eq!(lines(&output, &["abort"]), 0, "{output}");
    idp.admin().nothing_left().await;
}

#[tokio::test]
async fn a_connector_with_tls_takes_no_plain_call() {
    let ca = Ca::new("ours");
    let idp = SmallIdp::start().await;
    let files = Files::new(&connectors(&ca), &[&ca]);
    let connector = connector(&idp, &files, GATEWAY_ID).await;
    let provider = Provider::new("one", connector.address);
    let gateway = gateway(&Files::new(&gateways(&ca), &[&ca]), &[provider]).await;
    let reply = gateway.konnect("one").create(&application("a")).await;
    let status = reply.answer.status.as_u16();
    assert!([503, 504].contains(&status), "{status}");
    idp.admin().nothing_left().await;
}

#[tokio::test]
async fn no_session_is_resumed_between_them_and_nothing_older_than_tls_13_is_spoken() {
    let ca = Ca::new("ours");
    let idp = SmallIdp::start().await;
    let files = Files::new(&connectors(&ca), &[&ca]);
    let connector = connector(&idp, &files, GATEWAY_ID).await;
    let door = Files::new(&ca.issue(&[Name::Loopback]), &[]);
    let gateway = Gateway::start_with(GATEWAY, &[], &door.for_konnect()).await;
    let mine = gateways(&ca);
    let caller = Caller::new(Some(&mine));
    caller.call(connector.address).await.unwrap();
    assert!(!caller.call(connector.address).await.unwrap().resumed);
    let old = Caller::old(Some(&mine));
    let refusal = old.call(connector.address).await.expect_err("TLS 1.2");
    assert!(refusal.contains("alert"), "{refusal}");
    // Konnect's side shows that these callers could.
    caller.greet(gateway.address).await.unwrap();
    assert!(caller.greet(gateway.address).await.unwrap().resumed);
    old.greet(gateway.address).await.unwrap();
}
