//! The connector that keeps the rules, and its identity provider.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::time::Duration;

use dcr_conformance::Options;
use dcr_connector::{Shutdown, serve_on};
use dcr_connector_memory::Memory;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const AUDIENCE: &str = "https://api.ferry.example";
const SCOPE: &str = "timetable.read";
/// The connector's own credential.
pub(crate) const OWN: &str = "dcr-connector-memory";
const UNMARKED: &str = "made-by-hand";
const ADOPTED: &str = "adopted";

/// A running connector, and all that there is to know of it. It ends with the test.
pub(crate) async fn start() -> Options {
    let connector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", idp.local_addr().unwrap());
    let mut options = Options::new(format!("http://{}", connector.local_addr().unwrap()));
    options.tokens.token_url = Some(format!("{base_url}/token"));
    options.mapped_audience = Some(AUDIENCE.to_owned());
    options.mapped_scope = Some(SCOPE.to_owned());
    options.own_client = Some(OWN.to_owned());
    options.unmarked_client = Some(UNMARKED.to_owned());
    options.admitted_client = Some(ADOPTED.to_owned());

    let adopted = [
        ("dcr_installation", options.installation.as_str()),
        ("dcr_provider", options.provider.as_str()),
        ("dcr_operation", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ("dcr_adopted", "true"),
    ];
    let adopted = adopted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let admin_secret = dcr_idp::random_secret().unwrap();
    let idp_options = dcr_idp::Options {
        admin_id: OWN.to_owned(),
        admin_secret: admin_secret.clone(),
        token_lifetime: Duration::from_mins(5),
        clients: BTreeMap::from([
            (UNMARKED.to_owned(), BTreeMap::new()),
            (ADOPTED.to_owned(), BTreeMap::from(adopted)),
        ]),
    };
    let files = TempDir::new().unwrap();
    let secret_file = files.path().join("client-secret");
    dcr_idp::write_secret(&secret_file, &admin_secret).unwrap();
    let file = files.path().join("connector.yaml");
    let yaml = format!(
        "installation: dcr-conformance\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\n\
         idp:\n  base_url: {base_url}\n  client_id: {OWN}\n  client_secret_file: {}\n  \
         grants: [{{audience: {AUDIENCE}, scopes: [{SCOPE}]}}]\n",
        secret_file.display()
    );
    fs::write(&file, yaml).unwrap();

    tokio::spawn(dcr_idp::serve(idp, idp_options, pending()));
    tokio::spawn(async move {
        let ended = serve_on::<Memory>(&file, connector, &Shutdown::new()).await;
        drop(files);
        ended
    });
    options
}
