//! A strict authorization server with a registration endpoint, in the test's own process. It shares nothing with the
//! connector: what crosses between the two is HTTP.

mod clients;
mod manners;
mod rules;
mod tokens;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use dcr_tests::loopback;
use dcr_tests::token::TokenEndpoint;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) use self::clients::Client;
use self::clients::Clients;
pub(crate) use self::manners::{Get, Manners, PutSecret, Registration};

/// The connector's own client: its id and its secret.
pub(crate) const OWN: (&str, &str) = ("dcr-bridge", "planted-own-secret");

/// A running server. Ends when dropped.
pub(crate) struct Server {
    address: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    manners: Manners,
    /// What the server is called by those who use it: a proxy stands before it.
    public: Mutex<String>,
    clients: Mutex<Clients>,
}

impl Server {
    pub(crate) async fn start(manners: Manners) -> Self {
        let (listener, address) = loopback::listener().await;
        let state = Arc::new(State {
            manners,
            public: Mutex::new(format!("http://{address}")),
            clients: Mutex::default(),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        #[expect(
            clippy::disallowed_methods,
            reason = "the task ends with what holds it"
        )]
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address: format!("http://{address}"),
            state,
            task,
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.address
    }

    /// What it calls itself from now on.
    pub(crate) fn is_called(&self, url: &str) {
        url.clone_into(&mut lock(&self.state.public));
    }

    pub(crate) fn manners(&self) -> &Manners {
        &self.state.manners
    }

    /// A token that registers again and again.
    pub(crate) fn initial_access_token() -> &'static str {
        "planted-initial-access-token"
    }

    /// Where applications get their tokens.
    pub(crate) fn tokens(&self) -> TokenEndpoint {
        TokenEndpoint::new(&format!(
            "{}{}",
            self.address, self.state.manners.token_path
        ))
    }

    /// A client as it is here.
    pub(crate) fn client(&self, id: &str) -> Option<Client> {
        lock(&self.state.clients).by_id.get(id).cloned()
    }

    /// All clients, by id.
    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.state.clients).by_id.keys().cloned().collect()
    }

    /// Changes a client behind everybody's back.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Client)) {
        let mut clients = lock(&self.state.clients);
        change(clients.by_id.get_mut(id).expect("a client"));
    }

    /// Deletes a client behind everybody's back.
    pub(crate) fn forget(&self, id: &str) {
        let gone = lock(&self.state.clients).by_id.remove(id);
        assert!(gone.is_some(), "no client {id}");
    }

    /// Forgets what it complained of, where that was the test's doing.
    pub(crate) fn forgive(&self) {
        lock(&self.state.clients).complaints.clear();
    }

    /// Every secret that it gave out.
    pub(crate) fn planted(&self) -> Vec<(&'static str, String)> {
        lock(&self.state.clients).planted.clone()
    }

    /// What was asked for that no server would take, which a connector must not do.
    pub(crate) fn complaints(&self) -> Vec<String> {
        lock(&self.state.clients).complaints.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer: its status, and its JSON if it has any.
type Said = (StatusCode, Option<Value>);

async fn answer(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (status, body) = state.answer(&method, uri.path(), &headers, &body);
    match body {
        Some(body) => (status, [("cache-control", "no-store")], axum::Json(body)).into_response(),
        None => status.into_response(),
    }
}

impl State {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Said {
        // As a server does whose configured address ends in a slash.
        let path = path.replace("//", "/");
        let public = lock(&self.public).clone();
        if path == "/.well-known/openid-configuration" && *method == Method::GET {
            return (StatusCode::OK, Some(self.discovery(&public)));
        }
        let mut clients = lock(&self.clients);
        if path == self.manners.token_path && *method == Method::POST {
            return tokens::token(&mut clients, headers, body);
        }
        if path == self.manners.registration_path {
            return match *method {
                Method::POST => clients.register(&self.manners, &public, headers, body),
                _ => (StatusCode::METHOD_NOT_ALLOWED, None),
            };
        }
        let id = path
            .strip_prefix(self.manners.registration_path)
            .and_then(|rest| rest.strip_prefix('/'));
        match id {
            Some(id) => clients.manage(&self.manners, &public, method, id, headers, body),
            None => (StatusCode::NOT_FOUND, None),
        }
    }

    fn discovery(&self, public: &str) -> Value {
        let slash = if self.manners.doubles_slashes {
            "/"
        } else {
            ""
        };
        let mut document = json!({
            "issuer": public,
            "registration_endpoint": format!("{public}{slash}{}", self.manners.registration_path),
            "token_endpoint": format!("{public}{slash}{}", self.manners.token_path),
            "scopes_supported": self.manners.scopes,
            "grant_types_supported": self.manners.grant_types,
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        });
        if !self.manners.names_token_endpoint {
            let members = document.as_object_mut().expect("an object");
            members.remove("token_endpoint");
        }
        document
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
