//! Keys, credentials and certificates are replaced while all serve, and a replica becomes a black hole.

use std::time::Duration;

use bytes::Bytes;
use dcr_tests::Http;
use http::{Request, Version};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use super::{LOOK, PATIENCE, PROVIDERS, Who, World, lock};
use crate::certificates::Use;

/// Longer than a gateway takes to connect to a connector (1 s): no hands are shaken any more by what was known before.
const SHAKING_HANDS: Duration = Duration::from_secs(2);

impl World {
    /// The key of a provider that Konnect uses now.
    pub(crate) fn key(&self, provider: usize) -> String {
        lock(&self.keys).current(provider).to_owned()
    }

    /// Gives a gateway another key and has it read its files again (SIGHUP), while it serves.
    pub(crate) async fn reload(&self, gateway: usize) {
        let slot = self.slot(Who::Gateway(gateway)).lock().await;
        let Some(process) = &*slot else { return };
        let key = lock(&self.keys).rotate(&self.folder, gateway);
        process.hangup().await;
        let http = Http::trusting(&self.certificates.trusted(), Version::HTTP_11);
        let end = Instant::now() + PATIENCE;
        for number in [0, 1] {
            let value = lock(&self.keys).providers[number].keys[key].0.clone();
            let url = format!("https://{}/{}", self.gateways[gateway], PROVIDERS[number]);
            loop {
                // Nobody makes a client so: the answer is 401 or 405.
                let request = Request::put(&url)
                    .header("x-api-key", &value)
                    .body(Full::new(Bytes::new()))
                    .expect("a request");
                match http.send(request).await {
                    Ok(answer) if answer.status != 401 => break,
                    _ => assert!(
                        Instant::now() < end,
                        "gateway {gateway} never reads its files again"
                    ),
                }
                sleep(LOOK).await;
            }
        }
        lock(&self.keys).known[gateway] = key;
    }

    /// Gives a connector another credential and has it read its files again, while it serves.
    pub(crate) async fn rotate_credential(&self, connector: usize) {
        let mut slot = self.slot(Who::Connector(connector)).lock().await;
        let Some(process) = &mut *slot else { return };
        let before = process.output().len();
        lock(&self.credentials).rotate(&self.folder, connector);
        process.hangup().await;
        let told = |line: &str| line.contains("configuration read").then_some(());
        process.line_after(before, told).await;
    }

    /// Gives a process another certificate of the same CA. It finds it within 15 seconds.
    pub(crate) async fn replace_certificate(&self, to: Use) {
        // Not while it starts, and has read half of them.
        let _slot = self.slot(who(to)).lock().await;
        self.certificates.replace(to);
    }

    /// Has all go over to another CA, while they serve: everybody trusts both before anybody shows a certificate of the
    /// new one, and nobody trusts the old one when nobody shows one of it any more.
    pub(crate) async fn replace_ca(&self) {
        // A gateway's door asks Konnect for no certificate, so it reads none of the CAs.
        let trust = |to: &Use| !matches!(to, Use::Door(_));
        self.everywhere(trust, || self.certificates.begin_new_ca())
            .await;
        sleep(SHAKING_HANDS).await;
        self.certificates.go_over();
        let all = || {
            for to in Use::ALL {
                self.certificates.replace(to);
            }
        };
        self.everywhere(|_| true, all).await;
        sleep(SHAKING_HANDS).await;
        self.everywhere(trust, || self.certificates.end_old_ca())
            .await;
    }

    /// Changes certificates, and waits until every process uses what is new.
    async fn everywhere(&self, concerns: impl Fn(&Use) -> bool, change: impl FnOnce()) {
        let mut slots = Vec::new();
        for (who, slot) in self.slots.iter().filter(|(who, _)| *who != Who::Idp) {
            let slot = slot.lock().await;
            let before = slot.as_ref().map_or(0, |process| process.output().len());
            slots.push((*who, slot, before));
        }
        change();
        for (this, slot, before) in &mut slots {
            let Some(process) = &mut **slot else { continue };
            process.hangup().await;
            let concerned = |to: &Use| who(*to) == *this && concerns(to);
            for to in Use::ALL.into_iter().filter(concerned) {
                let file = self.certificates.file(to);
                let told = |line: &str| {
                    (line.contains("certificate in use") && line.contains(&file)).then_some(())
                };
                process.line_after(*before, told).await;
            }
        }
    }

    /// Lets nothing through to or from a connector for this time.
    pub(crate) async fn black_hole(&self, connector: usize, time: Duration) {
        let hole = self.replicas[connector].black_hole(time).await;
        lock(&self.holes).push(hole);
    }
}

/// Whose a certificate is.
fn who(to: Use) -> Who {
    match to {
        Use::Door(number) | Use::Gateway(number) => Who::Gateway(number),
        Use::Connector(number) => Who::Connector(number),
    }
}
