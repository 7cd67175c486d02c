//! The small IdP, in the test's own process, and its admin's view of it: what is true there, whatever the bridge
//! says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method as Verb, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, oneshot};
use tokio::time::{Instant, sleep};

use dcr_idp::{Options, serve};

use crate::bridge::random;
use crate::http::{Answer, Http, PATIENCE};
use crate::loopback;
use crate::token::{Method, TokenEndpoint};

/// Where it keeps its clients.
pub const CLIENTS: &str = "/admin/clients";
/// Longer than any test.
const TOKEN_LIFETIME: Duration = Duration::from_mins(10);
/// Between two looks at what changes by itself.
const LOOK: Duration = Duration::from_millis(25);

/// A running IdP with one client: the credential of its admin, which is also the connector's. Ends when dropped.
#[derive(Debug)]
pub struct SmallIdp {
    address: SocketAddr,
    admin: Admin,
    _stop: oneshot::Sender<()>,
}

impl SmallIdp {
    /// Starts one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds the other end of its channel"
    )]
    pub async fn start() -> Self {
        let (listener, address) = loopback::listener().await;
        let admin = Admin {
            url: format!("http://{address}"),
            client_id: format!("admin-{}", random()),
            client_secret: random(),
            token: OnceCell::new(),
            http: Http::new(),
        };
        let options = Options {
            admin_id: admin.client_id.clone(),
            admin_secret: admin.client_secret.clone().into(),
            token_lifetime: TOKEN_LIFETIME,
            clients: BTreeMap::new(),
        };
        let (stop, stopped) = oneshot::channel();
        let server = serve(listener, options, async {
            let _: Result<(), _> = stopped.await;
        });
        tokio::spawn(async {
            if let Err(e) = server.await {
                panic!("the small IdP has failed: {e}");
            }
        });
        Self {
            address,
            admin,
            _stop: stop,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.admin.url
    }

    /// Its token endpoint.
    #[must_use]
    pub fn tokens(&self) -> TokenEndpoint {
        TokenEndpoint::new(&format!("{}/token", self.url()))
    }

    /// Its admin.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }
}

/// Speaks to the IdP's admin API, past everything that stands between the connector and the IdP.
#[derive(Debug)]
pub struct Admin {
    url: String,
    client_id: String,
    client_secret: String,
    token: OnceCell<String>,
    http: Http,
}

impl Admin {
    /// The id of the client that is the connector's own credential.
    #[must_use]
    pub fn own_client_id(&self) -> &str {
        &self.client_id
    }

    /// That client's secret.
    #[must_use]
    pub fn own_client_secret(&self) -> &str {
        &self.client_secret
    }

    /// A client; `None` when there is none.
    pub async fn client(&self, id: &str) -> Option<Value> {
        let answer = self.ask(Verb::GET, &format!("{CLIENTS}/{id}"), None).await;
        match answer.status {
            StatusCode::NOT_FOUND => None,
            _ => Some(expect(&answer, StatusCode::OK)),
        }
    }

    /// All clients but the connector's own, the oldest first.
    pub async fn clients(&self) -> Vec<Value> {
        let mut clients = Vec::new();
        let mut page = CLIENTS.to_owned();
        loop {
            let answer = self.ask(Verb::GET, &page, None).await;
            let list = expect(&answer, StatusCode::OK);
            let more = list.get("clients").and_then(Value::as_array);
            clients.extend(more.expect("a list of clients").iter().cloned());
            match list.get("next").and_then(Value::as_str) {
                Some(next) => page = format!("{CLIENTS}?after={next}"),
                None => break,
            }
        }
        clients.retain(|client| client.get("client_id") != Some(&json!(self.client_id)));
        clients
    }

    /// Makes a client without the bridge, and tells its id and secret.
    pub async fn insert(&self, client: &Value) -> (String, String) {
        let answer = self.ask(Verb::POST, CLIENTS, Some(client)).await;
        let made = expect(&answer, StatusCode::CREATED);
        let text = |member| {
            let text = made.get(member).and_then(Value::as_str);
            text.expect("a client has an id and a secret").to_owned()
        };
        (text("client_id"), text("client_secret"))
    }

    /// Changes a client without the bridge.
    pub async fn update(&self, id: &str, members: &Value) {
        let path = format!("{CLIENTS}/{id}");
        let answer = self.ask(Verb::PATCH, &path, Some(members)).await;
        let _ = expect(&answer, StatusCode::OK);
    }

    /// Replaces the secret of the connector's own credential, and tells the new one. Access tokens live on.
    pub async fn rotate_own_secret(&self) -> String {
        let path = format!("{CLIENTS}/{}/new-secret", self.client_id);
        let answer = self.ask(Verb::POST, &path, None).await;
        let rotated = expect(&answer, StatusCode::OK);
        let secret = rotated.get("client_secret").and_then(Value::as_str);
        secret.expect("a new secret").to_owned()
    }

    /// Waits until no client is left but the connector's own.
    #[track_caller]
    pub fn nothing_left(&self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        let deadline = Instant::now() + PATIENCE;
        async move {
            loop {
                let left = self.clients().await;
                if left.is_empty() {
                    return;
                }
                assert!(Instant::now() < deadline, "{place}: left behind: {left:?}");
                sleep(LOOK).await;
            }
        }
    }

    async fn ask(&self, method: Verb, path: &str, body: Option<&Value>) -> Answer {
        let token = self.token.get_or_init(|| self.new_token()).await;
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a request that HTTP can write");
        match self.http.send(request).await {
            Ok(answer) => answer,
            Err(e) => panic!("no answer from the IdP's admin API: {e}"),
        }
    }

    async fn new_token(&self) -> String {
        let endpoint = TokenEndpoint::new(&format!("{}/token", self.url));
        let (id, secret) = (&self.client_id, &self.client_secret);
        let answer = endpoint.ask(Method::Post, id, secret, Some("admin")).await;
        let grant = expect(&answer, StatusCode::OK);
        let token = grant.get("access_token").and_then(Value::as_str);
        token.expect("an access token").to_owned()
    }
}

#[track_caller]
fn expect(answer: &Answer, status: StatusCode) -> Value {
    assert_eq!(answer.status, status, "the IdP said: {}", answer.text());
    answer.json()
}
