//! Konnect's management API, as much as lists applications: strict as Kong's description of it ("Portal Management
//! V3", `GET /v3/portals/{portalId}/applications`). It only takes what that describes, and answers all that it
//! requires.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{Timestamp, ToSpan as _};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::bridge::random;
use crate::loopback;

/// The most applications on a page that is asked for here; Kong does not publish its own limit.
const LARGEST_PAGE: usize = 100;

/// The applications of the portals, by the portal's id, in order of their creation.
#[derive(Debug, Default)]
pub struct Portals {
    portals: BTreeMap<String, Vec<Value>>,
    created: i64,
}

impl Portals {
    /// Makes a portal without applications and tells its id.
    pub fn portal(&mut self) -> String {
        let id = Uuid::new_v4().to_string();
        self.portals.insert(id.clone(), Vec::new());
        id
    }

    /// Makes an application whose client a DCR provider has made, and tells its id.
    pub fn with_dcr(&mut self, portal: &str, dcr_provider: &str, client_id: &str) -> String {
        self.client_credentials(portal, &json!({ "id": dcr_provider }), client_id)
    }

    /// Makes an application whose client somebody has made by hand, and tells its id.
    pub fn self_managed(&mut self, portal: &str, client_id: &str) -> String {
        self.client_credentials(portal, &Value::Null, client_id)
    }

    fn client_credentials(
        &mut self,
        portal: &str,
        dcr_provider: &Value,
        client_id: &str,
    ) -> String {
        let kind = if dcr_provider.is_null() {
            "self_managed_client_credentials"
        } else {
            "client_credentials"
        };
        self.insert(portal, &json!({
            "client_id": client_id,
            "dcr_provider": dcr_provider,
            "granted_scopes": null,
            "auth_strategy": {
                "id": Uuid::new_v4().to_string(), "name": "strategy", "credential_type": kind, "auth_methods": ["bearer"],
            },
        }))
    }

    /// Makes an application with an API key, which has no client, and tells its id.
    pub fn key_auth(&mut self, portal: &str) -> String {
        self.insert(portal, &json!({
            "auth_strategy": {
                "id": Uuid::new_v4().to_string(), "name": "keys", "credential_type": "key_auth", "key_names": ["apikey"],
            },
        }))
    }

    fn insert(&mut self, portal: &str, members: &Value) -> String {
        self.created += 1;
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let created_at = start.checked_add(self.created.seconds()).expect("a time");
        let id = Uuid::new_v4().to_string();
        let mut application = json!({
            "id": id,
            "created_at": created_at.to_string(),
            "updated_at": created_at.to_string(),
            "name": format!("application {}", self.created),
            "description": null,
            "registration_count": 0,
            "portal": { "id": portal },
            "owner": { "type": "developer", "id": Uuid::new_v4().to_string() },
        });
        crate::bodies::set(&mut application, members);
        self.portals
            .get_mut(portal)
            .expect("a portal")
            .push(application);
        id
    }

    /// Removes an application.
    pub fn remove(&mut self, portal: &str, id: &str) {
        let applications = self.portals.get_mut(portal).expect("a portal");
        let before = applications.len();
        applications.retain(|application| application.get("id") != Some(&id.into()));
        assert_eq!(applications.len() + 1, before, "no application {id}");
    }
}

type Change = Box<dyn FnOnce(&mut Portals) + Send>;

#[derive(Default)]
struct State {
    portals: Portals,
    /// What happens before the next answers, one each.
    changes: VecDeque<Option<Change>>,
    asked: usize,
    /// What was asked for that Konnect would refuse.
    refused: Vec<String>,
}

/// A running API on loopback. Ends when dropped.
pub struct Management {
    address: SocketAddr,
    token: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl std::fmt::Debug for Management {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Management")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Management {
    /// Starts one without portals.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    pub async fn start() -> Self {
        let (listener, address) = loopback::listener().await;
        let token = format!("kpat_{}", random());
        let state = Arc::default();
        let server = tokio::spawn(serve(listener, token.clone(), Arc::clone(&state)));
        Self {
            address,
            token,
            state,
            server,
        }
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token that it admits.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Changes what is there, at once.
    pub fn change<T>(&self, change: impl FnOnce(&mut Portals) -> T) -> T {
        change(&mut lock(&self.state).portals)
    }

    /// Changes what is there just before the `number`th answer from now, counted from 1.
    pub fn before_answer(&self, number: usize, change: impl FnOnce(&mut Portals) + Send + 'static) {
        let mut state = lock(&self.state);
        while state.changes.len() < number {
            state.changes.push_back(None);
        }
        let place = state.changes.get_mut(number - 1).expect("it was made");
        *place = Some(Box::new(change));
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        lock(&self.state).asked
    }

    /// What was asked for against the description, but for wrong tokens.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        lock(&self.state).refused.clone()
    }
}

impl Drop for Management {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, token: String, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (token, state) = (token.clone(), Arc::clone(&state));
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&request, &token, &mut lock(&state));
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            let _ = connection.await;
        });
    }
}

fn answer(request: &Request<Incoming>, token: &str, state: &mut State) -> Response<Full<Bytes>> {
    state.asked += 1;
    if let Some(Some(change)) = state.changes.pop_front() {
        change(&mut state.portals);
    }
    let header = |name| request.headers().get(name).map(http::HeaderValue::as_bytes);
    if header("authorization") != Some(format!("Bearer {token}").as_bytes()) {
        return problem(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    match page(request, &state.portals.portals) {
        Ok(page) => respond(StatusCode::OK, "application/json", &page),
        Err(status) => {
            state
                .refused
                .push(format!("{} {}", request.method(), request.uri()));
            problem(status, "Refused")
        }
    }
}

fn page(
    request: &Request<Incoming>,
    portals: &BTreeMap<String, Vec<Value>>,
) -> Result<Value, StatusCode> {
    let segments: Vec<_> = request.uri().path().split('/').collect();
    let ["", "v3", "portals", portal, "applications"] = segments[..] else {
        return Err(StatusCode::NOT_FOUND);
    };
    if request.method() != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let accepts = request
        .headers()
        .get("accept")
        .map(http::HeaderValue::as_bytes);
    if accepts != Some(b"application/json") {
        return Err(StatusCode::NOT_ACCEPTABLE);
    }
    let applications = portals.get(portal).ok_or(StatusCode::NOT_FOUND)?;
    let (mut size, mut number) = (10, 1);
    for pair in request.uri().query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').ok_or(StatusCode::BAD_REQUEST)?;
        let [name, value] = [name, value].map(|text| percent_decode_str(text).decode_utf8_lossy());
        let natural = || {
            value
                .parse()
                .ok()
                .filter(|n| *n > 0)
                .ok_or(StatusCode::BAD_REQUEST)
        };
        match (&*name, &*value) {
            ("page[size]", _) => size = natural()?,
            ("page[number]", _) => number = natural()?,
            // In ascending order, as they stand here.
            ("sort", "created_at") => {}
            _ => return Err(StatusCode::BAD_REQUEST),
        }
    }
    if size > LARGEST_PAGE {
        return Err(StatusCode::BAD_REQUEST);
    }
    let data: Vec<_> = applications
        .iter()
        .skip((number - 1) * size)
        .take(size)
        .collect();
    let meta = json!({"page": {"number": number, "size": size, "total": applications.len()}});
    Ok(json!({ "data": data, "meta": meta }))
}

fn problem(status: StatusCode, title: &str) -> Response<Full<Bytes>> {
    let problem = json!({
        "status": status.as_u16(), "title": title, "instance": "konnect:trace:1", "detail": title,
    });
    respond(status, "application/problem+json", &problem)
}

fn respond(status: StatusCode, content_type: &str, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("content-type", content_type);
    let response = response.body(Full::new(body.to_string().into()));
    response.expect("a response that HTTP can write")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
