//! What a scenario starts: the bridge, with a proxy between it and Keycloak.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use dcr_tests::konnect::application;
use dcr_tests::{Connector, Folder, Gateway, Konnect, Planted, Process, Provider, Proxy};
use serde_json::Value;

use crate::Setup;

/// The connector's own client, made by the README's script.
pub(crate) const OWN: &str = "dcr-bridge";
/// Longer than a process may take to end, or to do one thing and end.
const END: Duration = Duration::from_secs(20);

/// The section `idp`, with the connector's own credential.
pub(crate) fn section(setup: &Setup, folder: &Folder, base_url: &str, more: &str) -> String {
    section_of(setup, folder, base_url, (OWN, &setup.secret), more)
}

/// The section `idp`, with any credential.
pub(crate) fn section_of(
    setup: &Setup,
    folder: &Folder,
    base_url: &str,
    (id, secret): (&str, &str),
    more: &str,
) -> String {
    let file = folder.write("keycloak-secret", secret);
    let realm = &setup.arguments.realm;
    format!(
        "  base_url: {base_url}\n  realm: {realm}\n  client_id: {id}\n  client_secret_file: {}\n{more}",
        file.display()
    )
}

/// A running bridge with two providers, `one` and `two`, on one connector.
pub(crate) struct World {
    pub(crate) setup: &'static Setup,
    pub(crate) proxy: Proxy,
    pub(crate) gateway: Gateway,
    connector: Connector,
    konnects: [Konnect; 2],
    credential: String,
    /// What the commands that ran beside the two processes have printed.
    printed: String,
}

impl World {
    /// A bridge without grants.
    pub(crate) async fn start(setup: &'static Setup) -> Self {
        Self::with(setup, "", "").await
    }

    /// A bridge; `idp` is added to the section `idp` of the connector's configuration, `top` to its top.
    pub(crate) async fn with(setup: &'static Setup, idp: &str, top: &str) -> Self {
        Self::of(setup, (OWN, &setup.secret), idp, top).await
    }

    /// A bridge with another credential.
    pub(crate) async fn of(
        setup: &'static Setup,
        credential: (&str, &str),
        idp: &str,
        top: &str,
    ) -> Self {
        let proxy = proxy(setup);
        let section = |folder: &Folder| section_of(setup, folder, &proxy.url(), credential, idp);
        let connector = Connector::start(&setup.arguments.connector, section, top).await;
        let providers = ["one", "two"].map(|id| Provider::new(id, connector.address));
        let gateway = Gateway::start(&setup.arguments.gateway, &providers).await;
        let hidden = [proxy.url(), setup.arguments.url.clone()];
        let hidden = hidden.map(|url| url.trim_start_matches("http://").to_owned());
        let konnects = ["one", "two"].map(|id| {
            let konnect = gateway
                .konnect(id)
                .hiding(&setup.secret)
                .hiding(credential.1);
            hidden
                .iter()
                .fold(konnect, |konnect, text| konnect.hiding(text))
        });
        let credential = credential.1.to_owned();
        let printed = String::new();
        Self {
            setup,
            proxy,
            gateway,
            connector,
            konnects,
            credential,
            printed,
        }
    }

    /// Konnect, at the provider `one`.
    pub(crate) fn konnect(&self) -> &Konnect {
        &self.konnects[0]
    }

    /// Konnect, at the provider `two`.
    pub(crate) fn konnect_two(&self) -> &Konnect {
        &self.konnects[1]
    }

    /// Where the connector serves gRPC.
    pub(crate) fn connector(&self) -> SocketAddr {
        self.connector.address
    }

    /// The connector's process id.
    pub(crate) fn connector_process(&self) -> i32 {
        let id = self.connector.process.id();
        id.try_into().expect("ids are of this size")
    }

    /// A client of the provider `one`: its id and its secret.
    pub(crate) async fn client(&self) -> (String, String) {
        let client = self.konnect().create(&application("ferry")).await.created();
        (
            client.client_id.to_string(),
            client.client_secret.to_string(),
        )
    }

    /// Runs the connector's command `adopt`.
    pub(crate) async fn adopt(&mut self, provider: &str, client_id: &str, more: &[&str]) {
        let config = self.connector.folder.path().join("connector.yaml");
        let words = [
            "--log",
            "trace",
            "adopt",
            "--provider",
            provider,
            "--client-id",
            client_id,
        ];
        let mut arguments = words.map(OsStr::new).to_vec();
        arguments.extend(["--config".as_ref(), config.as_os_str()]);
        arguments.extend(more.iter().map(OsStr::new));
        let mut process = Process::start(&self.setup.arguments.connector, &arguments);
        let status = process.ended(END).await;
        self.printed.push_str(&process.output());
        assert!(status.success(), "not adopted: {}", process.output());
    }

    /// Ends both processes, and searches all that was printed for every secret that went by.
    pub(crate) async fn end(mut self) {
        for (name, process) in self.processes() {
            process.terminate().await;
            let ended = process.ended(END).await;
            assert!(ended.success(), "{name} ended with a failure");
        }
        self.search();
    }

    /// Kills both: told to end, they would wait for answers that never come. Searches what they printed.
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
        let planted = Planted::new();
        for konnect in &self.konnects {
            planted.extend(konnect.planted());
        }
        plant(
            &planted,
            &self.proxy,
            [&*self.credential, &*self.setup.secret],
        );
        for (name, process) in self.processes() {
            planted.assert_absent(name, &process.output());
        }
        planted.assert_absent("a command", &self.printed);
    }
}

/// A proxy before Keycloak that records.
pub(crate) fn proxy(setup: &Setup) -> Proxy {
    Proxy::recording(&setup.arguments.url, &setup.arguments.recording)
}

/// Runs the connector's command `check` and tells whether it was content, and what it printed.
pub(crate) async fn check(
    setup: &Setup,
    proxy: &Proxy,
    section: impl FnOnce(&Folder) -> String,
) -> (bool, String) {
    let folder = Folder::new();
    let idp = section(&folder);
    let yaml =
        format!("installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\nidp:\n{idp}");
    let file = folder.write("connector.yaml", &yaml);
    let words = ["--log", "trace", "check", "--config"].map(OsStr::new);
    let arguments = [&words[..], &[file.as_os_str()]].concat();
    let mut process = Process::start(&setup.arguments.connector, &arguments);
    let status = process.ended(END).await;
    let planted = Planted::new();
    plant(&planted, proxy, [&*setup.secret]);
    planted.assert_absent("check", &process.output());
    (status.success(), process.output())
}

/// Plants every secret that a proxy saw, and others, each once.
fn plant<'a>(planted: &Planted, proxy: &Proxy, others: impl IntoIterator<Item = &'a str>) {
    let mut secrets: BTreeSet<String> = others.into_iter().map(str::to_owned).collect();
    for exchange in proxy.seen() {
        let is_credential = exchange.target.contains("client-secret");
        let answer = exchange
            .answer
            .map(|answer| answer.body)
            .unwrap_or_default();
        if let Ok(body) = serde_json::from_slice(&answer) {
            collect(&body, is_credential, &mut secrets);
        }
    }
    for secret in secrets {
        planted.plant("a secret between connector and Keycloak", &secret);
    }
}

fn collect(value: &Value, is_credential: bool, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text)
                        if matches!(&**name, "access_token" | "secret")
                            || (is_credential && name == "value") =>
                    {
                        secrets.insert(text.clone());
                    }
                    other => collect(other, is_credential, secrets),
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                collect(element, is_credential, secrets);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
