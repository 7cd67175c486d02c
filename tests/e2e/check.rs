//! `dcr-gateway check`: what would go wrong is told before it does.

use std::path::Path;
use std::time::Duration;

use dcr_tests::certificates::{Ca, Impostor, Name};
use dcr_tests::stand_in::dead_port;
use dcr_tests::{Folder, Process};

use crate::start::{CONNECTOR, GATEWAY, bridge};

const HASH: &str = "sha256:21cf4975bbee277c910d0d52744b98bc21aa070f416ec5c9ec18cd1a894b8b53";

/// A folder with a `gateway.yaml` that ends so, and one provider.
fn folder(connector: std::net::SocketAddr, gateway: &str, provider: &str) -> Folder {
    let folder = Folder::new();
    let _ = folder.write("gateway.yaml", &format!("installation: e2e\n{gateway}"));
    let yaml = format!(
        "id: one\npath: one\nconnector: http://{connector}\napi_keys:\n- hash: {HASH}\n{provider}"
    );
    let _ = folder.write("providers.d/one.yaml", &yaml);
    folder
}

const ADDRESSES: &str = "listen: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\n";

/// Whether nothing is wrong, and the lines of the table: provider, severity, code.
async fn check(folder: &Folder) -> (bool, Vec<[String; 3]>, String) {
    let (clean, output) = run(GATEWAY, folder.path()).await;
    let cells = |line: &str| {
        let mut cells = line.split_whitespace().map(str::to_owned);
        Some([cells.next()?, cells.next()?, cells.next()?])
    };
    // What follows the table is the log's.
    let table = output.lines().filter(|line| !line.starts_with('{'));
    let rows = table.skip(1).filter_map(cells).collect();
    (clean, rows, output)
}

/// A program's `check`: whether nothing is wrong, and what it printed.
async fn run(program: &str, config: &Path) -> (bool, String) {
    let arguments = ["check".as_ref(), "--config".as_ref(), config.as_os_str()];
    let mut process = Process::start(program, &arguments);
    let status = process.ended(Duration::from_secs(30)).await;
    (status.success(), process.output())
}

fn row(provider: &str, severity: &str, code: &str) -> [String; 3] {
    [provider, severity, code].map(str::to_owned)
}

#[tokio::test]
async fn a_good_configuration_before_a_connector_that_answers_is_clean() {
    let bridge = bridge().await;
    let folder = folder(bridge.connector.address, ADDRESSES, "");
    let (clean, rows, output) = check(&folder).await;
    assert!(clean, "{output}");
    let expected = [row("one", "ok", "CONNECTOR"), row("one", "ok", "ADMIN_API")];
    assert_eq!(rows, expected, "{output}");
}

#[tokio::test]
async fn what_a_start_or_a_call_would_stumble_over_is_told() {
    let nobody = dead_port();
    let missing = Folder::new().path().join("missing");
    let missing = missing.display();
    let audit = format!("{ADDRESSES}audit: {{file: {missing}/audit.log}}\n");
    let record = format!("record: {{directory: {missing}}}\n");
    let (clean, rows, output) = check(&folder(nobody, &audit, &record)).await;
    assert!(!clean, "{output}");
    for expected in [
        row("-", "error", "AUDIT"),
        row("one", "error", "RECORD"),
        row("one", "error", "CONNECTOR"),
    ] {
        assert!(rows.contains(&expected), "{expected:?}: {output}");
    }

    let expired = "  expires_at: 2025-01-01T00:00:00Z\n";
    let (_, rows, output) = check(&folder(nobody, ADDRESSES, expired)).await;
    assert!(rows.contains(&row("one", "error", "API_KEYS")), "{output}");

    let same = "listen: 127.0.0.1:8080\nprobe_listen: 127.0.0.1:8080\n";
    let (_, rows, output) = check(&folder(nobody, same, "")).await;
    assert_eq!(rows, [row("-", "error", "CONFIGURATION")], "{output}");
    assert!(
        output.contains("gateway.yaml:3: probe_listen: must not be"),
        "{output}"
    );

    let good = folder(nobody, ADDRESSES, "");
    let (_, output) = run(GATEWAY, &good.path().join("gateway.yaml")).await;
    assert!(output.contains("name the directory"), "{output}");

    let (_, _, output) = check(&folder(nobody, ADDRESSES, "oops: 1\n")).await;
    assert!(output.contains("correct what is said above"), "{output}");
    assert!(!output.contains("add its file"), "{output}");
}

#[tokio::test]
async fn an_idp_of_an_unknown_ca_is_told_as_such() {
    let ca = Ca::new("of the IdP alone");
    let idp = Impostor::open(&ca.issue(&[Name::Loopback])).await;
    let folder = Folder::new();
    let secret = folder.write("secret", "a-secret-of-a-test");
    let yaml = format!(
        "installation: e2e\n{ADDRESSES}idp:\n  base_url: https://{}\n  client_id: c\n  client_secret_file: {}\n",
        idp.address(),
        secret.display()
    );
    let file = folder.write("connector.yaml", &yaml);
    let (clean, output) = run(CONNECTOR, &file).await;
    assert!(!clean, "{output}");
    assert!(output.contains("name its CA in ca_file"), "{output}");
    assert!(!output.contains("log.file"), "{output}");
}

#[tokio::test]
async fn a_connector_that_learns_nothing_from_clients_of_its_own_says_so_and_makes_none() {
    let bridge = bridge().await;
    let config = bridge.connector.folder.path().join("connector.yaml");
    let words = ["check", "--probe", "--config"].map(std::ffi::OsStr::new);
    let arguments = [&words[..], &[config.as_os_str()]].concat();
    let mut process = Process::start(CONNECTOR, &arguments);
    let status = process.ended(Duration::from_secs(30)).await;
    assert!(status.success(), "{}", process.output());
    for code in ["ADMIN_API", "NOTHING_TO_PROBE"] {
        assert!(process.output().contains(code), "{}", process.output());
    }
    assert!(bridge.idp().clients().await.is_empty());
}
