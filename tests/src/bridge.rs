//! The bridge's processes with their configuration: a gateway, and a connector of any kind.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use uuid::Uuid;

use crate::folder::Folder;
use crate::konnect::Konnect;
use crate::process::Process;

/// What every mark of a test's clients begins with.
pub const INSTALLATION: &str = "e2e";

/// One DCR provider: a file in the gateway's `providers.d/`.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its id and its path.
    pub id: String,
    /// `http://HOST:PORT` of its connector.
    pub connector: String,
    /// The URI SAN of its connector, where that is reached over TLS.
    pub connector_identity: Option<String>,
    /// Its keys, with the time each expires, if it does.
    pub keys: Vec<(String, Option<String>)>,
    /// The members about limits, as YAML. At first there is no limit that a test could meet unasked.
    pub limits: String,
}

impl Provider {
    /// A provider with one new key, served at the path that is its id.
    #[must_use]
    pub fn new(id: &str, connector: SocketAddr) -> Self {
        let connector = format!("http://{connector}");
        Self {
            id: id.to_owned(),
            connector,
            connector_identity: None,
            keys: vec![(new_key(), None)],
            limits: "rate_limit: {per_second: 1000000, burst: 1000000}\n".to_owned(),
        }
    }

    /// The same, but the connector is reached over TLS and has this URI SAN.
    #[must_use]
    pub fn secured(id: &str, connector: SocketAddr, identity: &str) -> Self {
        Self {
            connector: format!("https://{connector}"),
            connector_identity: Some(identity.to_owned()),
            ..Self::new(id, connector)
        }
    }

    /// The provider's file.
    #[must_use]
    pub fn yaml(&self) -> String {
        let Self {
            id,
            connector,
            connector_identity,
            keys,
            limits,
        } = self;
        let mut yaml = format!("id: {id}\npath: {id}\nconnector: {connector}\n{limits}");
        if let Some(identity) = connector_identity {
            let _ = writeln!(yaml, "connector_identity: {identity}");
        }
        yaml.push_str("api_keys:\n");
        for (key, expires_at) in keys {
            let hash = digest(&SHA256, key.as_bytes());
            let _ = write!(yaml, "- hash: \"sha256:");
            for byte in hash.as_ref() {
                let _ = write!(yaml, "{byte:02x}");
            }
            let _ = writeln!(yaml, "\"");
            if let Some(time) = expires_at {
                let _ = writeln!(yaml, "  expires_at: {time}");
            }
        }
        yaml
    }
}

/// A key that Konnect would accept: `[A-Za-z0-9_]`, 12 to 256 characters.
#[must_use]
pub fn new_key() -> String {
    format!("key_{}", random())
}

/// A text that nobody else has, of letters and digits.
#[must_use]
pub fn random() -> String {
    let text =
        URL_SAFE_NO_PAD.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
    text.replace(['-', '_'], "x")
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where it serves Konnect.
    pub address: SocketAddr,
    /// Where it serves its probes.
    pub probes: SocketAddr,
    /// Its configuration.
    pub folder: Folder,
    providers: Vec<Provider>,
}

impl Gateway {
    /// Starts the gateway's program for these providers and waits until it listens.
    pub async fn start(program: impl AsRef<OsStr>, providers: &[Provider]) -> Self {
        let no_limit = "failed_authentications: {per_minute: 1000000, burst: 1000000}\n";
        Self::start_with(program, providers, no_limit).await
    }

    /// The same with these members in `gateway.yaml` beside those that every gateway has.
    pub async fn start_with(
        program: impl AsRef<OsStr>,
        providers: &[Provider],
        more: &str,
    ) -> Self {
        Self::start_telling(program, providers, more, "trace").await
    }

    /// The same with another level of what it prints.
    pub async fn start_telling(
        program: impl AsRef<OsStr>,
        providers: &[Provider],
        more: &str,
        level: &str,
    ) -> Self {
        let folder = Folder::new();
        let yaml = format!(
            "installation: {INSTALLATION}\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\n{more}"
        );
        let _ = folder.write("gateway.yaml", &yaml);
        for provider in providers {
            let _ = folder.write(&provider_file(&provider.id), &provider.yaml());
        }
        let arguments = [
            "--log".as_ref(),
            level.as_ref(),
            "serve".as_ref(),
            "--config".as_ref(),
            folder.path().as_os_str(),
        ];
        let mut process = Process::start(program, &arguments);
        let address = listening(&mut process, "listen").await;
        let probes = listening(&mut process, "probe_listen").await;
        Self {
            process,
            address,
            probes,
            folder,
            providers: providers.to_vec(),
        }
    }

    /// Its providers.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Konnect with the base URL and the first key of a provider.
    #[must_use]
    pub fn konnect(&self, provider: &str) -> Konnect {
        let key = self.key(provider);
        let provider = self.provider(provider);
        let (_, authority) = provider.connector.split_once("://").expect("a URL");
        Konnect::new(&format!("http://{}/{}", self.address, provider.id), key).hiding(authority)
    }

    /// The first key of a provider.
    #[must_use]
    pub fn key(&self, provider: &str) -> &str {
        let (key, _) = self
            .provider(provider)
            .keys
            .first()
            .expect("a provider has a key");
        key
    }

    /// Puts a provider into its configuration, or another version of one; see [`reload`](Self::reload).
    pub fn put(&mut self, provider: &Provider) {
        let _ = self
            .folder
            .write(&provider_file(&provider.id), &provider.yaml());
        self.providers.retain(|known| known.id != provider.id);
        self.providers.push(provider.clone());
    }

    /// Takes a provider's file away.
    pub fn take(&mut self, id: &str) {
        let file = self.folder.path().join(provider_file(id));
        std::fs::remove_file(file).expect("a provider has a file");
    }

    /// Has it look at its files, and waits until it has read what has changed. Tells what it then logged.
    #[track_caller]
    pub fn reload(&mut self) -> impl Future<Output = Value> {
        reload(&mut self.process)
    }

    /// A provider as it was put.
    #[must_use]
    pub fn provider(&self, id: &str) -> &Provider {
        let provider = self.providers.iter().find(|p| p.id == id);
        provider.expect("a provider of this gateway")
    }
}

/// A running connector.
#[derive(Debug)]
pub struct Connector {
    /// The process.
    pub process: Process,
    /// Where it serves gRPC.
    pub address: SocketAddr,
    /// Where it serves its probes.
    pub probes: SocketAddr,
    /// Its configuration, `connector.yaml` in this folder.
    pub folder: Folder,
    program: OsString,
}

impl Connector {
    /// Starts a connector's program and waits until it listens. `idp` makes its own section of the configuration,
    /// indented by two, and may put secrets into the folder.
    pub async fn start(
        program: impl AsRef<OsStr>,
        idp: impl FnOnce(&Folder) -> String,
        more: &str,
    ) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(program, anywhere, idp, more).await
    }

    /// The same at an address that it has again when it is started [`again`](Self::again).
    pub async fn start_at(
        program: impl AsRef<OsStr>,
        listen: SocketAddr,
        idp: impl FnOnce(&Folder) -> String,
        more: &str,
    ) -> Self {
        let folder = Folder::new();
        let idp = idp(&folder);
        let yaml = format!(
            "installation: {INSTALLATION}\nlisten: {listen}\nprobe_listen: 127.0.0.1:0\n{more}idp:\n{idp}"
        );
        let _ = folder.write("connector.yaml", &yaml);
        let program = program.as_ref().to_owned();
        let (process, address, probes) = connector(&program, &folder).await;
        Self {
            process,
            address,
            probes,
            folder,
            program,
        }
    }

    /// Starts it once more on its configuration, after it has ended; gives back the process that was.
    pub async fn again(&mut self) -> Process {
        let (process, address, probes) = connector(&self.program, &self.folder).await;
        (self.address, self.probes) = (address, probes);
        std::mem::replace(&mut self.process, process)
    }
}

async fn connector(program: &OsStr, folder: &Folder) -> (Process, SocketAddr, SocketAddr) {
    let file = folder.path().join("connector.yaml");
    let arguments = [
        "--log".as_ref(),
        "trace".as_ref(),
        "serve".as_ref(),
        "--config".as_ref(),
        file.as_os_str(),
    ];
    let mut process = Process::start(program, &arguments);
    let address = listening(&mut process, "listen").await;
    let probes = listening(&mut process, "probe_listen").await;
    (process, address, probes)
}

impl Connector {
    /// Has it look at its files, and waits until it has read what has changed. Tells what it then logged.
    #[track_caller]
    pub fn reload(&mut self) -> impl Future<Output = Value> {
        reload(&mut self.process)
    }
}

/// Where a provider's file is in a gateway's folder.
#[must_use]
pub fn provider_file(id: &str) -> String {
    format!("providers.d/{id}.yaml")
}

#[track_caller]
fn reload(process: &mut Process) -> impl Future<Output = Value> {
    let place = std::panic::Location::caller();
    async move {
        let printed = process.output().len();
        process.hangup().await;
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).ok()?;
            let fields = line.get_mut("fields").map(Value::take).unwrap_or(line);
            let said = fields.get("message").and_then(Value::as_str);
            // What has not changed is not read: a test that waits for that would wait in vain.
            let unchanged = said.is_some_and(|said| said.starts_with("SIGHUP: nothing"));
            assert!(!unchanged, "{place}: nothing has changed: {fields}");
            (said == Some("configuration read")).then_some(fields)
        };
        process.line_after(printed, line).await
    }
}

/// Waits until a process has said where it listens for what `member` of its configuration asked for.
async fn listening(process: &mut Process, member: &str) -> SocketAddr {
    let text = format!("listening ({member})");
    process
        .line(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            // The members of an event stand in `fields`, or beside the others.
            let fields = line.get("fields").unwrap_or(&line);
            let said = fields.get("message").and_then(Value::as_str) == Some(&text);
            fields
                .get("address")
                .filter(|_| said)?
                .as_str()?
                .parse()
                .ok()
        })
        .await
}
