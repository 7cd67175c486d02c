//! The connector, configured as its README says, held against the contract.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::time::Duration;

use dcr_conformance::{Checked, Options, run};
use dcr_connector::{Shutdown, serve_on};
use dcr_connector_memory::Memory;
use tempfile::TempDir;
use tokio::net::TcpListener;

const README: &str = include_str!("../README.md");

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_every_rule_of_the_contract() {
    let connector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", idp.local_addr().unwrap());

    // What the suite cannot see from outside, it is told.
    let mut options = Options::new(format!("http://{}", connector.local_addr().unwrap()));
    options.tokens.token_url = Some(format!("{base_url}/token"));
    options.own_client = Some("dcr-connector".to_owned());
    options.unmarked_client = Some("made-by-hand".to_owned());
    options.admitted_client = Some("adopted".to_owned());
    options.mapped_audience = Some("https://api.ferry.example".to_owned());
    options.mapped_scope = Some("timetable.read".to_owned());

    let secret = dcr_idp::random_secret().unwrap();
    let files = TempDir::new().unwrap();
    let file = files.path().join("connector.yaml");
    let secret_file = dcr_idp::write_secret(&files.path().join("client-secret"), &secret);
    secret_file.unwrap();
    let yaml = README
        .split("```")
        .find_map(|block| block.strip_prefix("yaml"));
    let yaml = yaml.unwrap().replace("http://127.0.0.1:8000", &base_url);
    let secret_file = format!("{}/client-secret", files.path().display());
    fs::write(&file, yaml.replace("client-secret", &secret_file)).unwrap();

    let adopted = [
        ("dcr_installation", options.installation.as_str()),
        ("dcr_provider", options.provider.as_str()),
        ("dcr_operation", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ("dcr_adopted", "true"),
    ];
    let adopted = adopted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let clients = BTreeMap::from([
        ("made-by-hand".to_owned(), BTreeMap::new()),
        ("adopted".to_owned(), BTreeMap::from(adopted)),
    ]);
    let idp_options = dcr_idp::Options {
        admin_id: "dcr-connector".to_owned(),
        admin_secret: secret,
        token_lifetime: Duration::from_mins(5),
        clients,
    };

    let shutdown = Shutdown::new();
    let report = tokio::select! {
        report = run(options) => report.unwrap(),
        ended = serve_on::<Memory>(&file, connector, &shutdown) => panic!("the connector ended: {ended:?}"),
        ended = dcr_idp::serve(idp, idp_options, pending()) => panic!("the IdP ended: {ended:?}"),
    };
    report.assert_passed();
    // What would take half a minute, and what would end the test's own process.
    let left = ["abort/may_be_asked_for_again_after_settle_after", "drain/"];
    let skipped: Vec<_> = report.skipped().map(Checked::full_name).collect();
    let is_left = |name: &String| left.iter().any(|left| name.starts_with(left));
    assert!(skipped.iter().all(is_left), "{skipped:?}");
}
