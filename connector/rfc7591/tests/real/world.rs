//! What a scenario starts: gateways and connectors, before the server that there is.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use dcr_tests::konnect::{application, merge};
use dcr_tests::{Connector, Folder, Gateway, Http, Konnect, Planted, Process, Provider};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::Setup;
use crate::server::SCOPE;

/// Longer than a process may take to end, or to do one thing and end. An operation that waits to write its row may take
/// half a minute.
const END: Duration = Duration::from_secs(45);

/// Where a connector keeps its rows.
pub(crate) enum Store {
    /// In a file of its own.
    Sqlite,
    /// In the database that replicas share.
    Postgresql,
}

/// One running connector, and a gateway that leads to it.
pub(crate) struct World {
    pub(crate) setup: &'static Setup,
    pub(crate) gateway: Gateway,
    pub(crate) connector: Connector,
    pub(crate) konnect: Konnect,
    kept: Folder,
    /// What processes that are no more have printed.
    printed: String,
}

impl World {
    /// A bridge that keeps its rows in a file.
    pub(crate) async fn start(setup: &'static Setup) -> Self {
        Self::with(setup, &Store::Sqlite, "").await
    }

    /// A bridge whose section `idp` goes on with these lines.
    pub(crate) async fn with(setup: &'static Setup, store: &Store, idp: &str) -> Self {
        let kept = Folder::new();
        let program = &setup.arguments.connector;
        let section = |_: &Folder| section(setup, &setup.server.idp, store, &kept, idp);
        let connector = Connector::start(program, section, "").await;
        Self::before(setup, connector, kept).await
    }

    /// A bridge whose connector has the same address each time it is started.
    pub(crate) async fn lasting(setup: &'static Setup, store: &Store) -> Self {
        let kept = Folder::new();
        let program = &setup.arguments.connector;
        let section = |_: &Folder| section(setup, &setup.server.idp, store, &kept, "");
        let connector = Connector::start_at(program, setup.connector, section, "").await;
        Self::before(setup, connector, kept).await
    }

    async fn before(setup: &'static Setup, connector: Connector, kept: Folder) -> Self {
        let provider = Provider::new("one", connector.address);
        let gateway = Gateway::start(&setup.arguments.gateway, &[provider]).await;
        let mut konnect = gateway.konnect("one").hiding(setup.server.authority());
        for secret in setup.server.credentials() {
            konnect = konnect.hiding(&secret);
        }
        Self {
            setup,
            gateway,
            connector,
            konnect,
            kept,
            printed: String::new(),
        }
    }

    /// A client: its id and its secret.
    pub(crate) async fn client(&self) -> (String, String) {
        let client = self.konnect.create(&ferry()).await.created();
        (
            client.client_id.to_string(),
            client.client_secret.to_string(),
        )
    }

    /// Kills the connector and starts it again on what it has kept.
    pub(crate) async fn restart(&mut self) {
        self.connector.process.kill().await;
        let was = self.connector.again().await;
        self.printed.push_str(&was.output());
    }

    /// Runs a command of the connector with its configuration; whether it was content, and what it printed.
    pub(crate) async fn command(&mut self, words: &[&str]) -> (bool, String) {
        let config = self.connector.folder.path().join("connector.yaml");
        let (content, output) = command(self.setup, words, &config).await;
        self.printed.push_str(&output);
        (content, output)
    }

    /// Ends both processes, and searches all that was printed, and the store, for every secret that went by.
    pub(crate) async fn end(mut self) {
        // Without its idle connections, which a gateway would let ask once more.
        self.konnect = self.konnect.over(Http::new());
        for (name, process) in self.processes() {
            process.terminate().await;
            let ended = process.ended(END).await;
            assert!(ended.success(), "{name} ended with a failure");
        }
        self.search();
    }

    /// Kills both: told to end, they would wait for what never comes.
    pub(crate) async fn cut(mut self) {
        for (_, process) in self.processes() {
            process.kill().await;
        }
        self.search();
    }

    fn processes(&mut self) -> [(&'static str, &mut Process); 2] {
        [
            ("the gateway", &mut self.gateway.process),
            ("the connector", &mut self.connector.process),
        ]
    }

    fn search(&mut self) {
        let planted = planted(self.setup);
        planted.extend(self.konnect.planted());
        for (name, process) in self.processes() {
            planted.assert_absent(name, &process.output());
        }
        planted.assert_absent("a process", &self.printed);
        for file in ["store.db", "store.db-wal"] {
            if let Ok(bytes) = std::fs::read(self.kept.path().join(file)) {
                planted.assert_absent("the store", &String::from_utf8_lossy(&bytes));
            }
        }
    }
}

/// A create's body; the scope is one that every server knows.
pub(crate) fn ferry() -> Value {
    let mut body = application("ferry");
    merge(&mut body, &json!({"scopes": [SCOPE]}));
    body
}

/// The section `idp`: what the server's script says of it, the store, and more.
pub(crate) fn section(
    setup: &Setup,
    idp: &str,
    store: &Store,
    kept: &Folder,
    more: &str,
) -> String {
    #[expect(clippy::disallowed_methods, reason = "the file is the key's place")]
    let key = kept.write("key", setup.key.expose_secret());
    let place = match store {
        Store::Sqlite => format!("sqlite: {}", kept.path().join("store.db").display()),
        Store::Postgresql => {
            let postgresql = setup.postgresql.as_ref().expect("there is one");
            format!("postgres_url_file: {}", postgresql.url_file().display())
        }
    };
    let key = key.display();
    format!("{idp}  store: {{{place}, keyring: {{current: k1, keys: {{k1: {key}}}}}}}\n{more}")
}

/// A key, made as operators make one.
pub(crate) async fn new_key(connector: &Path) -> SecretString {
    let words = ["store", "new-key"].map(OsStr::new);
    let mut process = Process::start(connector, &words);
    let status = process.ended(END).await;
    assert!(status.success(), "no key: {}", process.output());
    process.output().trim().to_owned().into()
}

/// Runs a command of the connector; whether it was content, and what it printed.
pub(crate) async fn command(setup: &Setup, words: &[&str], config: &Path) -> (bool, String) {
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    arguments.extend([OsStr::new("--config"), config.as_os_str()]);
    let mut process = Process::start(&setup.arguments.connector, &arguments);
    let status = process.ended(END).await;
    let output = process.output();
    planted(setup).assert_absent("a command", &output);
    (status.success(), output)
}

/// Every secret that went by between connector and server, and those that the connector was given.
pub(crate) fn planted(setup: &Setup) -> Planted {
    let mut secrets: BTreeSet<String> = setup.server.credentials().into_iter().collect();
    for exchange in setup.proxy.seen() {
        let Some(answer) = exchange.answer else {
            continue;
        };
        let Ok(Value::Object(members)) = serde_json::from_slice(&answer.body) else {
            continue;
        };
        for name in ["client_secret", "registration_access_token", "access_token"] {
            secrets.extend(members.get(name).and_then(Value::as_str).map(str::to_owned));
        }
    }
    let planted = Planted::new();
    #[expect(clippy::disallowed_methods, reason = "it is searched for")]
    planted.plant("the store's key", setup.key.expose_secret());
    for secret in secrets {
        planted.plant("a secret between connector and server", &secret);
    }
    planted
}
