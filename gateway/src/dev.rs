//! `dev`: the whole bridge in one process, with the memory connector and its small identity provider.
//!
//! Nothing is kept: the API key is new at every start, and clients end with the process.

mod backend;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dcr_connector_memory::MAX_SECRETS;
use dcr_contract::ConnectorAddress;
use dcr_contract::model::{Installation, Malformed, ProviderId};
use dcr_runtime::{Shutdown, listen};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use self::backend::Backend;
use crate::audit::Audit;
use crate::config::{Config, ProviderConfig};
use crate::guard::Protections;
use crate::keys::{self, ApiKey, KeyHash};
use crate::limits::Rate;
use crate::providers::ProviderPath;
use crate::serve::{StartError, serve_on};

/// Both the id and the path of the one provider.
const PROVIDER: &str = "dev";
/// Where the printed commands keep the client between them.
const CLIENT_FILE: &str = "dcr-dev-client.json";

/// How `dev` is to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to serve Konnect's calls; a loopback address, since it is plain HTTP. Port 0 is any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A file to write addresses and key to, as JSON, once all is up.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// Why `dev` does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error(
        "--listen {0} is not a loopback address, and `dev` serves plain HTTP: choose one like 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the system has no randomness to give")]
    Random,
    #[error("cannot start: {0}")]
    Setup(#[from] Malformed),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
}

/// What somebody who wants to call the bridge has to know.
struct Ready {
    base_url: String,
    api_key: SecretString,
    token_url: String,
    max_secrets: u32,
    metrics_url: String,
}

/// Runs the bridge until it is told to stop.
pub(crate) async fn dev(options: &Options, shutdown: &Shutdown) -> Result<(), DevError> {
    if !options.listen.ip().is_loopback() {
        return Err(DevError::NotLoopback(options.listen));
    }
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind("--listen", options.listen).await?;
    let probe_listener = listen::bind("probes", any_port).await?;
    let connector_listener = listen::bind("connector", any_port).await?;
    let idp_listener = listen::bind("identity provider", any_port).await?;

    let connector = connector_listener.local_addr()?;
    let backend = Backend::new(connector_listener, idp_listener)?;

    let api_key = keys::generate().map_err(|_| DevError::Random)?;
    let ready = Ready {
        base_url: format!("http://{}/{PROVIDER}", listener.local_addr()?),
        api_key,
        token_url: backend.token_url(),
        max_secrets: MAX_SECRETS,
        metrics_url: format!("http://{}/metrics", probe_listener.local_addr()?),
    };
    let mut provider = ProviderConfig::new(
        ProviderId::parse(PROVIDER)?,
        ProviderPath::parse(PROVIDER)?,
        ConnectorAddress::parse(&format!("http://{connector}"))?,
    );
    provider.api_keys.push(ApiKey {
        hash: ready.hash(),
        expires_at: None,
    });
    // Whoever measures it wants to see how fast it is.
    provider.limits.rate = Rate::per_second(1_000_000, 1_000_000);
    let (listen, probe_listen) = (listener.local_addr()?, probe_listener.local_addr()?);
    let mut config = Config::new(Installation::parse("dev")?, listen, probe_listen);
    config.providers.push(provider);
    // The sockets are open: whoever calls now is answered as soon as the servers run.
    if let Some(file) = &options.ready_file {
        ready.write(file)?;
    }
    ready.print()?;
    // The gateway may have to undo something when it is told to stop: the backend stops after it.
    let after = Shutdown::new();
    let gateway = async {
        let served = serve_on(
            listener,
            probe_listener,
            &config,
            Protections::default(),
            Audit::default(),
            shutdown,
        )
        .await;
        after.stop();
        served
    };
    let backend = async {
        let served = backend.serve(&after).await;
        shutdown.stop();
        served
    };
    let (gateway, backend) = tokio::join!(gateway, backend);
    gateway?;
    Ok(backend?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the key of a toy, shown to whoever started it"
)]
impl Ready {
    fn hash(&self) -> KeyHash {
        KeyHash::of(self.api_key.expose_secret().as_bytes())
    }

    fn print(&self) -> io::Result<()> {
        let Self {
            base_url,
            token_url,
            metrics_url,
            ..
        } = self;
        let key = self.api_key.expose_secret();
        let [create, token, delete] = self.commands();
        writeln!(
            io::stdout(),
            "The bridge runs, with an identity provider of its own. Nothing is kept when it ends.\n\n  \
             Base URL   {base_url}\n  API key    {key}\n  Token URL  {token_url}\n  Metrics    {metrics_url}\n\n\
             Create a client, as Konnect does:\n\n{create}\n\n\
             Get a token with it:\n\n{token}\n\n\
             Delete it:\n\n{delete}\n"
        )
    }

    /// Commands that work one after another in any shell; the client is kept in a file between them.
    fn commands(&self) -> [String; 3] {
        let Self {
            base_url,
            token_url,
            ..
        } = self;
        let key = self.api_key.expose_secret();
        let member =
            |name: &str| format!(r#"$(sed 's/.*"{name}":"\([^"]*\)".*/\1/' {CLIENT_FILE})"#);
        let (id, secret) = (member("client_id"), member("client_secret"));
        let body = r#"{"client_name":"hello","redirect_uris":[],"grant_types":["client_credentials"],"scopes":["hello.read"]}"#;
        [
            format!(
                "curl -sS -X POST {base_url} -H 'X-API-KEY: {key}' -H 'Content-Type: application/json' \
                 -d '{body}' | tee {CLIENT_FILE}"
            ),
            format!(
                "curl -sS {token_url} -d grant_type=client_credentials --data-urlencode \"client_id={id}\" \
                 --data-urlencode \"client_secret={secret}\""
            ),
            format!(
                "curl -sS -X DELETE \"{base_url}/{id}\" -H 'X-API-KEY: {key}' -w '%{{http_code}}\\n' && rm {CLIENT_FILE}"
            ),
        ]
    }

    /// Writes the file whole or not at all, for its owner alone.
    fn write(&self, file: &Path) -> io::Result<()> {
        #[derive(Serialize)]
        struct Json<'a> {
            base_url: &'a str,
            api_key: &'a str,
            token_url: &'a str,
            max_secrets: u32,
            metrics_url: &'a str,
        }
        let json = serde_json::to_vec(&Json {
            base_url: &self.base_url,
            api_key: self.api_key.expose_secret(),
            token_url: &self.token_url,
            max_secrets: self.max_secrets,
            metrics_url: &self.metrics_url,
        })?;
        let mut name = file.as_os_str().to_owned();
        name.push(".new");
        let new = Path::new(&name);
        // What an earlier run left there, or somebody else put there, is neither followed nor kept.
        let _ = fs::remove_file(new);
        let mut options = OpenOptions::new();
        let mut written = options.write(true).create_new(true).mode(0o600).open(new)?;
        written.write_all(&json)?;
        fs::rename(new, file)
    }
}
