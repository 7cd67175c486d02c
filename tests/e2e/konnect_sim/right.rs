//! A bridge that keeps to the contract, with an IdP of its own; a fault makes it wrong in one way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use base64::Engine as _;
use bytes::Bytes;
use dcr_tests::loopback;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The key of every such bridge.
pub(super) const KEY: &str = "the_key_of_a_bridge_in_a_test";

/// What is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// `create`, `delete`, `rotate`, `hook`, `list`, `add`, `remove`, `token`, or `other`.
    pub(super) operation: &'static str,
    /// What follows the base URL, or the form at the token endpoint.
    pub(super) rest: String,
    pub(super) keys: Vec<String>,
    pub(super) content_type: String,
    pub(super) client_id: String,
    /// The secret's id in the path, or the secret at the token endpoint.
    pub(super) secret: String,
    /// Null where there is no JSON.
    pub(super) body: Value,
}

/// What is said. A body that is null is none.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) content_type: &'static str,
    pub(super) after: Duration,
}

impl Said {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            content_type: "application/json",
            after: Duration::ZERO,
        }
    }

    pub(super) fn refusal(status: u16) -> Self {
        Self::new(
            status,
            json!({"error": "refused", "error_description": "It is refused."}),
        )
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

type Mishear = Box<dyn FnMut(&mut Asked) + Send>;
type Change = Box<dyn FnMut(&Asked, &mut Said) + Send>;

/// What is wrong: how a question is misheard, and what becomes of the right answer.
pub(super) struct Fault {
    pub(super) before: Mishear,
    pub(super) after: Change,
}

/// A running bridge; ends when dropped.
pub(super) struct Bridge {
    pub(super) base_url: String,
    pub(super) token_url: String,
    _server: JoinSet<()>,
}

type Secrets = Vec<(String, String)>;

struct Inner {
    fault: Fault,
    clients: BTreeMap<String, Secrets>,
    made: u32,
}

impl Bridge {
    pub(super) async fn start(fault: Fault) -> Self {
        let (listener, address) = loopback::listener().await;
        let inner = Inner {
            fault,
            clients: BTreeMap::new(),
            made: 0,
        };
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::new(Mutex::new(inner)));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            base_url: format!("http://{address}/b"),
            token_url: format!("http://{address}/token"),
            _server: server,
        }
    }
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let said = {
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked = ask(&method, uri.path(), &headers, &body);
        (inner.fault.before)(&mut asked);
        let mut said = inner.say(&asked);
        (inner.fault.after)(&asked, &mut said);
        said
    };
    tokio::time::sleep(said.after).await;
    let mut response = Response::builder().status(said.status);
    if said.status == 429 {
        response = response.header("retry-after", "1");
    }
    match said.body {
        Value::Null => response.body(Body::empty()),
        // What is no object in a text is a body as it stands.
        Value::String(text) => response.body(Body::from(text)),
        body => response
            .header("content-type", said.content_type)
            .body(Body::from(body.to_string())),
    }
    .unwrap()
}

fn ask(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Asked {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let keys = headers.get_all("x-api-key").iter();
    let mut asked = Asked {
        operation: "other",
        keys: keys.map(|key| key.to_str().unwrap().to_owned()).collect(),
        content_type: text("content-type").unwrap_or_default().to_owned(),
        body: serde_json::from_slice(body).unwrap_or_default(),
        ..Asked::default()
    };
    if path == "/token" {
        asked.operation = "token";
        (asked.client_id, asked.secret) = credentials(text("authorization"), body);
        asked.rest = String::from_utf8_lossy(body).into_owned();
        return asked;
    }
    let Some(rest) = path.strip_prefix("/b") else {
        return asked;
    };
    rest.clone_into(&mut asked.rest);
    let parts: Vec<_> = rest.trim_start_matches('/').split('/').collect();
    (asked.operation, asked.client_id, asked.secret) = match (method.as_str(), &parts[..]) {
        ("POST", [""]) => ("create", String::new(), String::new()),
        ("DELETE", [id]) => ("delete", (*id).to_owned(), String::new()),
        ("POST", [id, "new-secret"]) => ("rotate", (*id).to_owned(), String::new()),
        ("POST", [id, "event-hook"]) => ("hook", (*id).to_owned(), String::new()),
        ("GET", [id, "secrets"]) => ("list", (*id).to_owned(), String::new()),
        ("POST", [id, "secrets"]) => ("add", (*id).to_owned(), String::new()),
        ("DELETE", [id, "secrets", secret]) => ("remove", (*id).to_owned(), (*secret).to_owned()),
        _ => return asked,
    };
    asked
}

/// A client's id and secret, in the body or in the header.
fn credentials(header: Option<&str>, body: &[u8]) -> (String, String) {
    let body = String::from_utf8_lossy(body);
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let member = |name: &str| {
        let value = body
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(decoded)
    };
    let basic = header.and_then(|header| header.strip_prefix("Basic "));
    let basic = basic.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let basic = basic.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if let Some((id, secret)) = basic.as_deref().and_then(|text| text.split_once(':')) {
        return (decoded(id), decoded(secret));
    }
    (
        member("client_id").unwrap_or_default(),
        member("client_secret").unwrap_or_default(),
    )
}

impl Inner {
    fn say(&mut self, asked: &Asked) -> Said {
        if asked.operation == "token" {
            let secrets = self.clients.get(&asked.client_id).into_iter().flatten();
            return match secrets
                .map(|(_, secret)| secret)
                .find(|s| **s == asked.secret)
            {
                Some(_) => Said::new(200, json!({"access_token": "t", "token_type": "Bearer"})),
                None => Said::new(401, json!({"error": "invalid_client"})),
            };
        }
        if asked.keys != [KEY] {
            return Said::refusal(401);
        }
        match asked.operation {
            "other" => return Said::refusal(404),
            "create" => return self.create(&asked.body),
            _ => {}
        }
        let id = &asked.client_id;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !id.bytes().all(legal) || id.len() > 255 {
            return Said::refusal(400);
        }
        if asked.operation == "delete" {
            self.clients.remove(id);
            return Said::new(204, Value::Null);
        }
        let (one, two) = (self.secret(), self.secret());
        let Some(secrets) = self.clients.get_mut(id) else {
            return Said::refusal(404);
        };
        match asked.operation {
            "rotate" => {
                *secrets = vec![one.clone()];
                Said::new(200, json!({"client_id": id, "client_secret": one.1}))
            }
            "hook" if asked.body["client_id"] != **id => Said::refusal(400),
            "hook" => Said::new(200, Value::Null),
            "add" => {
                secrets.push(two.clone());
                let body = json!({
                    "secret_id": two.0, "client_id": id, "client_secret": two.1,
                    "created_at": "2026-09-01T08:30:00Z", "expires_at": null,
                });
                Said::new(201, body)
            }
            "remove" => {
                secrets.retain(|(secret_id, _)| *secret_id != asked.secret);
                Said::new(204, Value::Null)
            }
            _ => {
                let entry = |(secret_id, _): &(String, String)| {
                    json!({
                        "secret_id": secret_id, "client_id": id, "status": "ACTIVE",
                        "created_at": "2026-09-01T08:30:00Z", "expires_at": null,
                    })
                };
                let entries: Vec<_> = secrets.iter().map(entry).collect();
                Said::new(200, json!({"secrets": entries}))
            }
        }
    }

    fn create(&mut self, body: &Value) -> Said {
        if body["client_name"].as_str().is_none_or(str::is_empty) {
            return Said::refusal(400);
        }
        let (id, secret) = self.secret();
        let client_id = format!("c-{id}");
        let answer = json!({
            "client_id": client_id, "client_secret": secret,
            "client_id_issued_at": "2026-09-01T08:30:00Z",
            "client_secret_expires_at": "2027-09-01T08:30:00+02:00",
        });
        self.clients.insert(client_id, vec![(id, secret)]);
        Said::new(201, answer)
    }

    /// An id and a secret that nobody else has.
    fn secret(&mut self) -> (String, String) {
        self.made += 1;
        (
            format!("s{}", self.made),
            format!("secret-value-{}", self.made),
        )
    }
}
