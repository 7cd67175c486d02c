//! Certificates that cannot be used are told at the start, all mistakes at once.

use std::ffi::OsStr;
use std::time::Duration;

use dcr_tests::certificates::{Ca, Name, Purpose};
use dcr_tests::{Folder, Process};

use super::{CONNECTOR_ID, Files, GATEWAY_ID, gateways, lines};
use crate::start::{CONNECTOR, GATEWAY};

/// Starts a process that must not come up, and tells what it printed.
async fn refused(program: &str, config: &OsStr) -> String {
    let arguments = ["serve".as_ref(), "--config".as_ref(), config];
    let mut process = Process::start(program, &arguments);
    let status = process.ended(Duration::from_secs(15)).await;
    assert!(!status.success(), "it started: {}", process.output());
    process.output()
}

#[tokio::test]
async fn an_expired_certificate_is_told_by_gateway_and_connector() {
    let ca = Ca::new("ours");
    for (program, name, identity) in [
        (GATEWAY, "gateway.yaml", GATEWAY_ID),
        (CONNECTOR, "connector.yaml", CONNECTOR_ID),
    ] {
        let expired = ca.issue_for(&[Name::Uri(identity)], &[Purpose::ServerAuth], 2020);
        let files = Files::new(&expired, &[&ca]);
        let folder = Folder::new();
        let head = "installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\n";
        let config = if program == GATEWAY {
            let _ = folder.write(name, &format!("{head}{}", files.for_connectors()));
            folder.path().to_owned()
        } else {
            let secret = folder.write("secret", "s").display().to_string();
            let idp = format!(
                "idp:\n  base_url: http://127.0.0.1:1\n  client_id: c\n  client_secret_file: {secret}\n"
            );
            folder.write(
                name,
                &format!("{head}{}{idp}", files.for_gateway(GATEWAY_ID)),
            )
        };
        let output = refused(program, config.as_os_str()).await;
        let told = ["tls.crt", "has expired", identity, "2020-01-01", "renew it"];
        assert_eq!(lines(&output, &told), 1, "{output}");
    }
}

#[tokio::test]
async fn every_mistake_of_both_sections_is_told_at_once() {
    let ca = Ca::new("ours");
    let (konnect, connectors) = (
        Files::new(&gateways(&ca), &[]),
        Files::new(&gateways(&ca), &[]),
    );
    // The key of another certificate, and a file of CAs without one.
    let _ = konnect.0.write("tls.key", &gateways(&ca).private_key);
    let folder = Folder::new();
    let yaml = format!(
        "installation: e2e\nlisten: 0.0.0.0:0\nprobe_listen: nowhere\n{}{}",
        konnect.for_konnect(),
        connectors.for_connectors(),
    );
    let _ = folder.write("gateway.yaml", &yaml);
    let output = refused(GATEWAY, folder.path().as_os_str()).await;
    for told in [
        ["gateway.yaml:3", "probe_listen"],
        ["tls.key", "is not the key of the first certificate"],
        ["ca.crt", "holds no certificate"],
    ] {
        assert_eq!(lines(&output, &told), 1, "{told:?}: {output}");
    }
}
