//! The connector and its identity provider within another process: the backend of `dcr-gateway dev`.

use std::io::{self, Write as _};
use std::time::Duration;

use dcr_connector::http::BaseUrl;
use dcr_connector::model::{Audience, Malformed, Scope};
use dcr_connector::{GrantMap, SecretFile, Shutdown, Subject, serve_on};
use secrecy::ExposeSecret as _;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::config::Grant;
use crate::server::{self, Options};
use crate::{MAX_SECRETS, Memory, config};

/// The client of the connector's own credential.
const ADMIN: &str = "dcr-connector-memory";
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// Why there is no backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The IdP's own address is of no use.
    #[error("the identity provider's address {0}")]
    Address(#[from] Malformed),
    /// No socket, no randomness, or no temporary file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connector on one socket and its IdP on another, to be served.
#[derive(Debug)]
pub struct Backend {
    connector: TcpListener,
    idp: TcpListener,
    memory: Memory,
    options: Options,
    base_url: String,
    // The connector reads its secret here, as every connector does; the file goes with this value.
    _secret_file: NamedTempFile,
}

impl Backend {
    /// Makes one with a new credential.
    ///
    /// # Errors
    /// See [`BackendError`].
    pub fn new(connector: TcpListener, idp: TcpListener) -> Result<Self, BackendError> {
        let base_url = format!("http://{}", idp.local_addr()?);
        let secret = server::random_secret()?;
        // Its mode is 0600.
        let mut file = NamedTempFile::with_prefix("dcr-dev-")?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a secret's file is where connectors look"
        )]
        file.write_all(secret.expose_secret().as_bytes())?;
        let (base, id, secret_file) = (
            BaseUrl::parse(&base_url, false)?,
            ADMIN.to_owned(),
            SecretFile::unwatched(file.path()),
        );
        let memory = config::memory(base, id, secret_file, GrantMap::default())?;
        let options = Options {
            admin_id: ADMIN.to_owned(),
            admin_secret: secret,
            token_lifetime: TOKEN_LIFETIME,
        };
        Ok(Self {
            connector,
            idp,
            memory,
            options,
            base_url,
            _secret_file: file,
        })
    }

    /// The same, where registrations of this audience grant this scope.
    #[must_use]
    pub fn granting(mut self, audience: Audience, scope: &Scope) -> Self {
        let grant = Grant::Scope(scope.to_string());
        self.memory.grants.map(Subject::Audience(audience), [grant]);
        self
    }

    /// How the IdP is made: who its admin is.
    #[must_use]
    pub fn idp(&self) -> &Options {
        &self.options
    }

    /// The IdP's token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("{}/token", self.base_url)
    }

    /// The most live secrets of a client.
    #[must_use]
    pub fn max_secrets(&self) -> u32 {
        MAX_SECRETS
    }

    /// Serves both until `shutdown` stops; the IdP goes last, when nothing is left to be undone.
    ///
    /// # Errors
    /// When the IdP cannot be served.
    pub async fn serve(self, shutdown: &Shutdown) -> io::Result<()> {
        let idp = server::serve(self.idp, self.options, shutdown.over());
        let (served, ()) = tokio::join!(idp, serve_on(self.memory, self.connector, shutdown));
        served
    }
}
