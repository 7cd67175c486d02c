//! What a test starts: the bridge, with a proxy between it and a scripted server.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dcr_tests::{Connector, Folder, Gateway, Konnect, Planted, Process, Provider, Proxy, suite};

use tokio::time::{Instant, sleep};

use crate::server::{Get, Manners, OWN, PutSecret, Registration, Server};

const CONNECTOR: &str = env!("CARGO_BIN_EXE_dcr-connector-rfc7591");
/// Longer than a process may take to end, or to do one thing and end.
const END: Duration = Duration::from_secs(20);
/// Between two looks at what changes by itself.
const LOOK: Duration = Duration::from_millis(25);

/// Management by one token for all clients; its secret is beside the section.
pub(crate) const DCRM: &str = "  management:\n    client_credentials: {client_id: dcr-bridge, \
                               client_secret_file: SECRET, scope: dcrm}\n";

/// A running bridge with two providers, `one` and `two`, on one connector.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) gateway: Gateway,
    pub(crate) connector: Connector,
    pub(crate) konnect: Konnect,
    pub(crate) konnect_two: Konnect,
    kept: Folder,
    section: String,
    printed: String,
}

impl World {
    /// A bridge before a server of these manners, which it knows.
    pub(crate) async fn start(manners: Manners) -> Self {
        let behaviour = behaviour(&manners);
        Self::with(manners, &behaviour).await
    }

    /// A bridge whose section `idp` goes on with these lines.
    pub(crate) async fn with(manners: Manners, more: &str) -> Self {
        let server = Server::start(manners).await;
        let proxy = match recording(server.manners()) {
            Some(file) => Proxy::recording(server.url(), &file),
            None => Proxy::before(server.url()),
        };
        server.is_called(&proxy.url());
        let kept = Folder::new();
        let section = section(&server, &proxy, &kept, more);
        let (connector, gateway) = bridge(&section).await;
        let konnect = konnect_of(&gateway, "one", &proxy);
        let konnect_two = konnect_of(&gateway, "two", &proxy);
        Self {
            server,
            proxy,
            gateway,
            connector,
            konnect,
            konnect_two,
            kept,
            section,
            printed: String::new(),
        }
    }

    /// Kills connector and gateway, and starts both on what they have kept.
    pub(crate) async fn restart(&mut self) {
        for process in [&mut self.connector.process, &mut self.gateway.process] {
            process.kill().await;
            self.printed.push_str(&process.output());
        }
        (self.connector, self.gateway) = bridge(&self.section).await;
        self.konnect = konnect_of(&self.gateway, "one", &self.proxy);
        self.konnect_two = konnect_of(&self.gateway, "two", &self.proxy);
    }

    /// Waits until the server has no client left.
    #[track_caller]
    pub(crate) fn until_empty(&self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let end = Instant::now() + END;
            while !self.server.ids().is_empty() {
                assert!(Instant::now() < end, "{place}: a client is left behind");
                sleep(LOOK).await;
            }
        }
    }

    /// Whether a secret of a client is good, as an application finds out.
    pub(crate) async fn opens(&self, id: &str, secret: &str) -> bool {
        self.server.tokens().opens(id, secret).await
    }

    /// Runs a command of the connector with its configuration; whether it was content, and what it printed.
    pub(crate) async fn command(&mut self, words: &[&str]) -> (bool, String) {
        let config = self.connector.folder.path().join("connector.yaml");
        let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        arguments.extend([OsStr::new("--config"), config.as_os_str()]);
        let mut process = Process::start(CONNECTOR, &arguments);
        let status = process.ended(END).await;
        self.printed.push_str(&process.output());
        (status.success(), process.output())
    }

    /// Ends both processes, and searches all that was printed, and the store, for every secret that went by.
    pub(crate) async fn end(mut self) {
        for process in [&mut self.gateway.process, &mut self.connector.process] {
            process.terminate().await;
            let ended = process.ended(END).await;
            assert!(ended.success(), "a process ended with a failure");
        }
        self.search();
    }

    /// Kills both: told to end, they would wait for what never comes.
    pub(crate) async fn cut(mut self) {
        for process in [&mut self.gateway.process, &mut self.connector.process] {
            process.kill().await;
        }
        self.search();
    }

    fn search(&mut self) {
        for process in [&self.gateway.process, &self.connector.process] {
            self.printed.push_str(&process.output());
        }
        let planted = Planted::new();
        planted.extend(self.konnect.planted());
        planted.extend(self.konnect_two.planted());
        planted.plant("the connector's own secret", OWN.1);
        planted.plant("the initial access token", Server::initial_access_token());
        for (what, text) in self.server.planted() {
            planted.plant(what, &text);
        }
        planted.assert_absent("a process", &self.printed);
        for file in ["store.db", "store.db-wal"] {
            if let Ok(bytes) = std::fs::read(self.kept.path().join(file)) {
                planted.assert_absent("the store", &String::from_utf8_lossy(&bytes));
            }
        }
        let complaints = self.server.complaints();
        assert!(
            complaints.is_empty(),
            "the server complains: {complaints:?}"
        );
    }
}

/// Where exchanges with a server of these manners are written down, for tests/exchanges.sh. Those of servers that do not
/// keep to a description are not.
fn recording(manners: &Manners) -> Option<PathBuf> {
    let keeps_to_the_rfcs = manners.claims_uri.is_none()
        && manners.is_managed
        && !manners.says_200
        && !manners.gives_no_secret
        && manners.get_leaves_out.is_empty()
        && manners.put_leaves_out.is_empty()
        && !manners.lists_auth_method;
    let name = if manners.dcrm { "curity" } else { "rfc7591" };
    keeps_to_the_rfcs.then(|| recordings().join(format!("{name}.jsonl")))
}

/// The folder of the recordings. Their secrets are those of servers that end with the test.
pub(crate) fn recordings() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rfc7591-exchanges")
}

/// What `check` says of a section `idp` that cannot be used.
pub(crate) async fn refusal(section: &str) -> String {
    let folder = Folder::new();
    let _ = folder.write("key", &STANDARD.encode([7; 32]));
    let section = section.replace("FOLDER", &folder.path().display().to_string());
    let yaml = format!(
        "installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\nidp:\n{section}"
    );
    let file = folder.write("connector.yaml", &yaml);
    let arguments = ["check".as_ref(), "--config".as_ref(), file.as_os_str()];
    let mut process = Process::start(CONNECTOR, &arguments);
    let status = process.ended(END).await;
    assert!(!status.success(), "it was content with {section}");
    process.output()
}

async fn bridge(section: &str) -> (Connector, Gateway) {
    let connector = Connector::start(CONNECTOR, |_| section.to_owned(), "").await;
    let providers = ["one", "two"].map(|id| Provider::new(id, connector.address));
    let gateway = Gateway::start(suite::gateway(), &providers).await;
    (connector, gateway)
}

fn konnect_of(gateway: &Gateway, provider: &str, proxy: &Proxy) -> Konnect {
    let url = proxy.url();
    gateway
        .konnect(provider)
        .hiding(url.trim_start_matches("http://"))
        .hiding(OWN.1)
}

/// The section `idp`: the store and how a registration is authorised, as the manners want it.
fn section(server: &Server, proxy: &Proxy, kept: &Folder, more: &str) -> String {
    let manners = server.manners();
    let store = kept.path().join("store.db");
    let key = kept.write("key", &STANDARD.encode([7; 32]));
    let mut section = format!(
        "  issuer: {}\n  store: {{sqlite: {}, keyring: {{current: k1, keys: {{k1: {}}}}}}}\n",
        proxy.url(),
        store.display(),
        key.display()
    );
    let token = kept.write("initial-access-token", Server::initial_access_token());
    let credential = kept.write("own-secret", OWN.1);
    let (id, secret) = (OWN.0, credential.display());
    let written = match manners.registration {
        Registration::InitialAccessToken => writeln!(
            section,
            "  registration: {{initial_access_token_file: {}}}",
            token.display()
        ),
        Registration::ScopeOnce => writeln!(
            section,
            "  registration:\n    client_credentials: {{client_id: {id}, client_secret_file: {secret}, scope: dcr}}\n    \
             token_valid_once: true"
        ),
        Registration::Open => writeln!(section, "  registration: {{open: true}}"),
    };
    written.expect("a text grows");
    let more = more.replace("SECRET", &secret.to_string());
    section.push_str(&more.replace("ISSUER", &proxy.url()));
    section
}

/// What the README's `behaviour` says of a server of these manners, managed by the tokens of its clients.
pub(crate) fn behaviour(manners: &Manners) -> String {
    let get = match manners.get {
        Get::Nothing => "nothing",
        Get::NewToken => "new_token",
        Get::NewTokenAndSecret => "new_token_and_secret",
        Get::Unsupported => "unsupported",
    };
    let put_secret = match manners.put_secret {
        PutSecret::Kept => "kept",
        PutSecret::KeptIfSent => "kept_if_sent",
        PutSecret::MustBeSent => "must_be_sent",
        PutSecret::New => "new",
        PutSecret::Unsupported => "unsupported",
    };
    let put_token = if manners.put_replaces_token {
        "new"
    } else {
        "kept"
    };
    let delete = match (manners.can_delete, manners.says_200) {
        (false, _) => "unsupported",
        (true, true) => "answers_200",
        (true, false) => "answers_204",
    };
    format!(
        "  behaviour: {{get: {get}, put_secret: {put_secret}, put_token: {put_token}, delete: {delete}}}\n"
    )
}
