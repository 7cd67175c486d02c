//! A small OAuth 2.0 authorization server: clients in memory, an admin API, a token endpoint.
//!
//! | path | what |
//! | --- | --- |
//! | `POST /token` | client_credentials, by `client_secret_basic` and `client_secret_post` (RFC 6749) |
//! | `GET /jwks` | the keys of its tokens, which are JWTs (RFC 7517, RFC 9068) |
//! | `GET /.well-known/oauth-authorization-server` | what it can do (RFC 8414); also at `openid-configuration` |
//! | `/admin/clients` … | clients and secrets, for a token with the scope `admin`; see `admin` |
//!
//! A client has at most two secrets. What is rotated, removed or deleted is dead at once.

mod admin;
mod form;
mod keys;
mod metadata;
mod refusal;
mod state;
mod token;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router, middleware};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::net::TcpListener;

use crate::keys::Keys;
use crate::metadata::Metadata;
use crate::refusal::Refusal;
use crate::state::{Issued, Table};

/// How a server is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The client id of whoever may use the admin API.
    pub admin_id: String,
    /// That client's secret.
    pub admin_secret: SecretString,
    /// How long a token lives.
    pub token_lifetime: Duration,
    /// The clients that are there from the start, by id, with their attributes. They use client_credentials; nobody
    /// knows their secrets.
    pub clients: BTreeMap<String, BTreeMap<String, String>>,
}

/// The server's state.
struct Idp {
    issuer: String,
    keys: Keys,
    token_lifetime: i64,
    table: Mutex<Table>,
}

impl Idp {
    fn new(issuer: String, options: Options) -> io::Result<Self> {
        let mut table = Table::default();
        let mut insert = |metadata: Metadata, secret: Issued| {
            let taken = |_| io::Error::other("two clients from the start have one id");
            table.insert(metadata, &secret).map_err(taken)
        };
        let mut admin = Metadata::plain(options.admin_id);
        admin.scopes.push(token::ADMIN_SCOPE.to_owned());
        let now = Timestamp::now();
        let secret = Issued::given(options.admin_secret, "admin".to_owned(), now);
        insert(admin, secret)?;
        for (id, attributes) in options.clients {
            let mut client = Metadata::plain(id);
            client.attributes = attributes;
            insert(client, Issued::random(now).map_err(|_| no_randomness())?)?;
        }
        let lifetime = i64::try_from(options.token_lifetime.as_secs());
        Ok(Self {
            issuer,
            keys: Keys::generate()?,
            token_lifetime: lifetime.map_err(io::Error::other)?,
            table: Mutex::new(table),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a secret of 32 random bytes.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_secret() -> io::Result<SecretString> {
    let text = keys::random_text::<32>();
    text.map(SecretString::from).map_err(|_| no_randomness())
}

/// Writes a secret into a new file that its owner alone can read, where a connector looks for it.
///
/// # Errors
/// When there is such a file already, or none can be made.
#[expect(
    clippy::disallowed_methods,
    reason = "a secret's file is where connectors look"
)]
pub fn write_secret(file: &Path, secret: &SecretString) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(secret.expose_secret().as_bytes())
}

fn no_randomness() -> io::Error {
    io::Error::other("the system has no randomness to give")
}

/// Serves on a listener until `stop` resolves. The issuer is the listener's own address.
///
/// # Errors
/// When no signing key can be made, or the socket fails.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let issuer = format!("http://{}", listener.local_addr()?);
    let router = router(Arc::new(Idp::new(issuer, options)?));
    // Whoever is connected then has nothing to lose: all that is here is in memory.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served,
        () = stop => Ok(()),
    }
}

fn router(idp: Arc<Idp>) -> Router {
    let admin = Router::new()
        .route("/clients", get(admin::list).post(admin::create))
        .route(
            "/clients/{id}",
            get(admin::get).patch(admin::update).delete(admin::delete),
        )
        .route("/clients/{id}/new-secret", post(admin::rotate))
        .route(
            "/clients/{id}/secrets",
            get(admin::list_secrets).post(admin::add_secret),
        )
        .route(
            "/clients/{id}/secrets/{secret_id}",
            delete(admin::remove_secret),
        )
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&idp),
            token::admin_only,
        ));
    let (jwks, described) = (idp.keys.jwks(), description(&idp.issuer));
    let describe = get(async move || Json(described));
    Router::new()
        .nest("/admin", admin)
        .route("/token", post(token::token))
        .route("/jwks", get(async move || Json(jwks)))
        .route("/.well-known/oauth-authorization-server", describe.clone())
        .route("/.well-known/openid-configuration", describe)
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .with_state(idp)
}

fn description(issuer: &str) -> serde_json::Value {
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}

async fn nothing() -> Response {
    Refusal::not_found("there is nothing at this path").into_response()
}

async fn not_allowed() -> Response {
    let description = "this path has no such method";
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        description,
    )
    .into_response()
}
