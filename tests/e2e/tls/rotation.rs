//! Certificates replaced while calls go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dcr_tests::bridge::new_key;
use dcr_tests::certificates::{Ca, Caller, Issued, Name};
use dcr_tests::small_idp::SmallIdp;
use dcr_tests::{Connector, Gateway, Http, Konnect, Process, Provider};
use http::Version;
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{CONNECTOR_ID, Files, GATEWAY_ID, connector, connectors, gateways, lines, one_life};
use crate::start::GATEWAY;

const IN_USE: &str = "certificate in use";

/// Has a process look at its files, and waits until it uses these.
async fn look(process: &mut Process, files: &[&Files]) {
    let before = process.output().len();
    process.hangup().await;
    for files in files {
        let path = files.path().display().to_string();
        let told = |line: &str| (line.contains(IN_USE) && line.contains(&path)).then_some(());
        process.line_after(before, told).await;
    }
}

/// The certificate that a connector shows to this client.
async fn shown(connector: &Connector, client: &Issued) -> Result<CertificateDer<'static>, String> {
    let called = Caller::new(Some(client)).call(connector.address).await?;
    Ok(called.certificate)
}

fn for_konnect(ca: &Ca) -> Issued {
    ca.issue(&[Name::Loopback])
}

/// Konnect at a provider, over TLS and a connection of its own.
fn konnect(gateway: &Gateway, provider: &str, cas: &str, version: Version) -> Konnect {
    let url = format!("https://{}/{provider}", gateway.address);
    let http = Http::trusting(cas, version);
    gateway.konnect(provider).at(&url).over(http)
}

/// Lives that go on, one after another, each over a new connection to the gateway.
struct Load {
    lives: Arc<AtomicUsize>,
    ended: Arc<Notify>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    fn start(konnects: Vec<Box<dyn Fn() -> Konnect + Send>>) -> Self {
        let mut load = Self {
            lives: Arc::default(),
            ended: Arc::default(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        };
        for konnect in konnects {
            let (lives, ended) = (Arc::clone(&load.lives), Arc::clone(&load.ended));
            let stop = Arc::clone(&load.stop);
            load.tasks.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    one_life(&konnect()).await;
                    lives.fetch_add(1, Ordering::SeqCst);
                    ended.notify_one();
                }
            });
        }
        load
    }

    /// Waits for some lives that begin and end from now on.
    async fn goes_on(&mut self) {
        let enough = self.lives.load(Ordering::SeqCst) + 2 * self.tasks.len();
        while self.lives.load(Ordering::SeqCst) < enough {
            tokio::select! {
                () = self.ended.notified() => {}
                ended = self.tasks.join_next() => panic!("a call failed: {ended:?}"),
            }
        }
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no call fails");
        }
    }
}

#[tokio::test]
async fn every_certificate_and_both_cas_are_replaced_under_load_without_a_failed_call() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let (public_old, public_new) = (Ca::new("public old"), Ca::new("public new"));
    let idp = SmallIdp::start().await;
    let at_connector = Files::new(&connectors(&old), &[&old]);
    let mut connector = connector(&idp, &at_connector, GATEWAY_ID).await;
    let at_gateway = Files::new(&gateways(&old), &[&old]);
    let at_door = Files::new(&for_konnect(&public_old), &[]);
    // Each has connections of its own: the first call of each shakes hands anew with the connector.
    let provider = |id| Provider::secured(id, connector.address, CONNECTOR_ID);
    let providers = ["a", "b", "c", "d", "e"].map(provider);
    let more = at_door.for_konnect() + &at_gateway.for_connectors();
    let mut gateway = Gateway::start_with(GATEWAY, &providers, &more).await;

    let publics = public_old.pem() + &public_new.pem();
    let mut load = Vec::<Box<dyn Fn() -> Konnect + Send>>::new();
    for version in [Version::HTTP_11, Version::HTTP_2, Version::HTTP_11] {
        let (base, publics) = (konnect(&gateway, "a", &publics, version), publics.clone());
        load.push(Box::new(move || {
            base.over(Http::trusting(&publics, version))
        }));
    }
    let mut load = Load::start(load);
    load.goes_on().await;
    let anew =
        |gateway: &Gateway, provider: &str| konnect(gateway, provider, &publics, Version::HTTP_2);

    // Trust both, before anybody shows the new.
    at_connector.trust(&[&old, &new]);
    at_gateway.trust(&[&old, &new]);
    look(&mut connector.process, &[&at_connector]).await;
    look(&mut gateway.process, &[&at_gateway]).await;
    one_life(&anew(&gateway, "b")).await;
    load.goes_on().await;

    let before = shown(&connector, &gateways(&old)).await.unwrap();
    at_connector.show(&connectors(&new));
    look(&mut connector.process, &[&at_connector]).await;
    let after = shown(&connector, &gateways(&old)).await.unwrap();
    assert!(before != after, "the old certificate is shown");
    one_life(&anew(&gateway, "c")).await;
    load.goes_on().await;

    at_gateway.show(&gateways(&new));
    at_door.show(&for_konnect(&public_new));
    look(&mut gateway.process, &[&at_gateway, &at_door]).await;
    one_life(&anew(&gateway, "d")).await;
    load.goes_on().await;

    at_connector.trust(&[&new]);
    at_gateway.trust(&[&new]);
    look(&mut connector.process, &[&at_connector]).await;
    look(&mut gateway.process, &[&at_gateway]).await;
    let late = shown(&connector, &gateways(&old)).await;
    assert!(late.is_err(), "the old CA is still trusted");
    let last = konnect(&gateway, "e", &public_new.pem(), Version::HTTP_11);
    one_life(&last).await;
    load.goes_on().await;
    load.end().await;
    idp.admin().nothing_left().await;
}

#[tokio::test]
async fn a_bad_new_version_changes_nothing_and_is_told_once() {
    let (ca, other) = (Ca::new("ours"), Ca::new("another"));
    let idp = SmallIdp::start().await;
    let at_connector = Files::new(&connectors(&ca), &[&ca]);
    let mut connector = connector(&idp, &at_connector, GATEWAY_ID).await;
    let at_gateway = Files::new(&gateways(&ca), &[&ca]);
    let provider = |id| Provider::secured(id, connector.address, CONNECTOR_ID);
    let mut gateway = super::gateway(&at_gateway, &["a", "b", "c"].map(provider)).await;
    let first = shown(&connector, &gateways(&ca)).await.unwrap();

    for (files, process) in [
        (&at_connector, &mut connector.process),
        (&at_gateway, &mut gateway.process),
    ] {
        // Another CA and another certificate, but a key that is none.
        files.trust(&[&other]);
        files.show(&Issued {
            private_key: "nonsense".to_owned(),
            ..other.issue(&[Name::Uri("spiffe://test/another")])
        });
        process.hangup().await;
        let stays = |line: &str| line.contains("the certificate in use stays").then_some(());
        process.line(stays).await;
        let before = process.output().len();
        process.hangup().await;
        let key = files.path().join("tls.key").display().to_string();
        let same = |line: &str| {
            let same = line.contains("nothing has changed") && line.contains(&key);
            same.then_some(())
        };
        process.line_after(before, same).await;
        let told = [
            "the certificate in use stays",
            "tls.key",
            "holds no private key",
        ];
        assert_eq!(lines(&process.output(), &told), 1, "{}", process.output());
    }
    let still = shown(&connector, &gateways(&ca)).await.unwrap();
    assert!(first == still, "another certificate is shown");
    for (probes, part) in [(connector.probes, "tls"), (gateway.probes, "connector_tls")] {
        let metrics = crate::start::metrics(probes).await;
        let line = format!("dcr_config_reloads_total{{part=\"{part}\",outcome=\"refused\"}} 1");
        assert!(metrics.lines().any(|l| l == line), "{metrics}");
    }
    // A provider that changes meanwhile is not to blame.
    let mut changed = gateway.provider("a").clone();
    changed.keys.push((new_key(), None));
    gateway.put(&changed);
    let before = gateway.process.output().len();
    gateway.process.hangup().await;
    let read = |line: &str| {
        let all = ["configuration read", "\"outcome\":\"ok\"", "\"changed\":1"];
        all.iter().all(|text| line.contains(text)).then_some(())
    };
    gateway.process.line_after(before, read).await;
    one_life(&gateway.konnect("b")).await;

    at_connector.show(&connectors(&ca));
    at_connector.trust(&[&ca]);
    at_gateway.show(&gateways(&ca));
    at_gateway.trust(&[&ca]);
    look(&mut connector.process, &[&at_connector]).await;
    look(&mut gateway.process, &[&at_gateway]).await;
    let mended = shown(&connector, &gateways(&ca)).await.unwrap();
    assert!(first != mended, "the mended certificate is not shown");
    one_life(&gateway.konnect("c")).await;
}
