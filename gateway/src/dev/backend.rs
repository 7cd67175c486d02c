//! What stands behind the gateway: the memory connector and its small identity provider.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fs, io};

use dcr_connector::serve_on;
use dcr_connector_memory::Memory;
use dcr_idp::Options;
use dcr_runtime::Shutdown;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The client of the connector's own credential.
const ADMIN: &str = "dcr-connector-memory";
const TOKEN_LIFETIME: Duration = Duration::from_mins(5);

/// A connector on one socket and its IdP on another, to be served.
#[derive(Debug)]
pub(super) struct Backend {
    connector: TcpListener,
    idp: TcpListener,
    options: Options,
    base_url: String,
    // Configured by files, as every connector is; they go with this value.
    files: TempDir,
}

impl Backend {
    /// Makes one with a new credential.
    pub(super) fn new(connector: TcpListener, idp: TcpListener) -> io::Result<Self> {
        let base_url = format!("http://{}", idp.local_addr()?);
        let options = Options {
            admin_id: ADMIN.to_owned(),
            admin_secret: dcr_idp::random_secret()?,
            token_lifetime: TOKEN_LIFETIME,
            clients: BTreeMap::new(),
        };
        let files = TempDir::with_prefix("dcr-dev-")?;
        let secret_file = files.path().join("client-secret");
        dcr_idp::write_secret(&secret_file, &options.admin_secret)?;
        let address = connector.local_addr()?;
        // JSON is YAML.
        let configuration = json!({
            "installation": "dev",
            "listen": address,
            "probe_listen": address,
            "idp": {
                "base_url": base_url,
                "client_id": ADMIN,
                "client_secret_file": secret_file.display().to_string(),
            },
        });
        fs::write(
            files.path().join("connector.yaml"),
            configuration.to_string(),
        )?;
        Ok(Self {
            connector,
            idp,
            options,
            base_url,
            files,
        })
    }

    /// The IdP's token endpoint.
    pub(super) fn token_url(&self) -> String {
        format!("{}/token", self.base_url)
    }

    /// Serves both until `shutdown` stops; the IdP goes last, when nothing is left to be undone.
    pub(super) async fn serve(self, shutdown: &Shutdown) -> io::Result<()> {
        let file = self.files.path().join("connector.yaml");
        let idp = dcr_idp::serve(self.idp, self.options, shutdown.over());
        let connector = serve_on::<Memory>(&file, self.connector, shutdown);
        let connector = async {
            connector
                .await
                .map_err(|problems| io::Error::other(problems.to_string()))
        };
        tokio::try_join!(idp, connector).map(drop)
    }
}
