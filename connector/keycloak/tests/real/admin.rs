//! Keycloak as its administrator sees it, past the proxy.

use std::collections::BTreeSet;
use std::time::Duration;

use dcr_tests::bridge::random;
use dcr_tests::konnect::merge;
use dcr_tests::{Answer, Http};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// How long a token is used; it lives for a minute.
const TOKEN_USE: Duration = Duration::from_secs(30);

/// An administrator of one realm.
pub(crate) struct Admin {
    url: String,
    realm: String,
    user: String,
    password: String,
    token: Mutex<Option<(String, Instant)>>,
    http: Http,
}

impl Admin {
    pub(crate) fn new(url: &str, realm: &str, user: &str, password: &str) -> Self {
        let [url, realm, user, password] = [url, realm, user, password].map(str::to_owned);
        Self {
            url,
            realm,
            user,
            password,
            token: Mutex::default(),
            http: Http::new(),
        }
    }

    /// A token that lives long enough for a call.
    async fn token(&self) -> String {
        let mut kept = self.token.lock().await;
        match &*kept {
            Some((token, until)) if *until > Instant::now() => token.clone(),
            _ => {
                let until = Instant::now() + TOKEN_USE;
                let token = self.new_token().await;
                kept.insert((token, until)).0.clone()
            }
        }
    }

    async fn new_token(&self) -> String {
        let form = format!(
            "grant_type=password&client_id=admin-cli&username={}&password={}",
            encoded(&self.user),
            encoded(&self.password)
        );
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.into())
            .expect("a request that HTTP can write");
        let answer = self.http.send(request).await.expect("Keycloak answers");
        assert!(
            answer.status.is_success(),
            "no token for the administrator: {}",
            answer.status
        );
        answer.json()["access_token"]
            .as_str()
            .expect("an access token")
            .to_owned()
    }

    /// Any call below the realm.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("{}/admin/realms/{}/{path}", self.url, self.realm);
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.token().await))
            .header("content-type", "application/json")
            .body(body.map(Value::to_string).unwrap_or_default().into())
            .expect("a request that HTTP can write");
        self.http.send(request).await.expect("Keycloak answers")
    }

    async fn done(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let asked = format!("{method} {path}");
        let answer = self.call(method, path, body).await;
        assert!(
            answer.status.is_success(),
            "{asked}: {} {}",
            answer.status,
            answer.text()
        );
        answer
    }

    /// A client, if there is one of this id. Its scopes are sorted, since Keycloak tells them in any order.
    pub(crate) async fn client(&self, client_id: &str) -> Option<Value> {
        let path = format!("clients?clientId={}", encoded(client_id));
        let found = self.done(Method::GET, &path, None).await.json();
        let found = found.as_array().expect("a list").iter();
        let mut found = found
            .filter(|client| client["clientId"] == client_id)
            .cloned();
        let mut client = found.next()?;
        for list in ["defaultClientScopes", "optionalClientScopes"] {
            if let Some(scopes) = client.get_mut(list).and_then(Value::as_array_mut) {
                scopes.sort_by_key(Value::to_string);
            }
        }
        Some(client)
    }

    /// A client that has to be there.
    #[track_caller]
    pub(crate) fn there(&self, client_id: &str) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let found = self.client(client_id).await;
            found.unwrap_or_else(|| panic!("{place}: Keycloak has no client {client_id}"))
        }
    }

    /// The ids of all clients.
    pub(crate) async fn ids(&self) -> BTreeSet<String> {
        let found = self.done(Method::GET, "clients", None).await.json();
        let id = |client: &Value| client["clientId"].as_str().expect("an id").to_owned();
        found.as_array().expect("a list").iter().map(id).collect()
    }

    /// Waits until the realm has these clients and no others.
    #[track_caller]
    pub(crate) fn only(&self, ids: &BTreeSet<String>) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let found = self.ids().await;
                if found == *ids {
                    return;
                }
                let more: Vec<_> = found.symmetric_difference(ids).collect();
                assert!(
                    Instant::now() < deadline,
                    "{place}: left behind or lost: {more:?}"
                );
                sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// The names of the realm's client scopes.
    pub(crate) async fn scopes(&self) -> BTreeSet<String> {
        let found = self.done(Method::GET, "client-scopes", None).await.json();
        let name = |scope: &Value| scope["name"].as_str().expect("a name").to_owned();
        found.as_array().expect("a list").iter().map(name).collect()
    }

    /// Makes a client by hand, with a service account; its id and its secret.
    pub(crate) async fn insert(&self, members: &Value) -> (String, String) {
        let (id, secret) = (format!("by-hand-{}", random()), random());
        let mut client = json!({
            "clientId": id, "secret": secret, "publicClient": false, "serviceAccountsEnabled": true,
            "standardFlowEnabled": false, "directAccessGrantsEnabled": false,
        });
        merge(&mut client, members);
        self.done(Method::POST, "clients", Some(&client)).await;
        (id, secret)
    }

    /// Changes members of a client.
    pub(crate) async fn update(&self, client_id: &str, members: &Value) {
        let mut client = self.there(client_id).await;
        merge(&mut client, members);
        let path = format!("clients/{}", client["id"].as_str().expect("an id"));
        self.done(Method::PUT, &path, Some(&client)).await;
    }

    /// Removes a client that a scenario made by hand.
    pub(crate) async fn remove(&self, client_id: &str) {
        let client = self.there(client_id).await;
        let path = format!("clients/{}", client["id"].as_str().expect("an id"));
        self.done(Method::DELETE, &path, None).await;
    }

    /// Gives a client's service account roles of `realm-management`.
    pub(crate) async fn allow(&self, client_id: &str, roles: &[&str]) {
        let client = self.there(client_id).await;
        let of = self.there("realm-management").await;
        let of = of["id"].as_str().expect("an id");
        let path = format!(
            "clients/{}/service-account-user",
            client["id"].as_str().expect("an id")
        );
        let user = self.done(Method::GET, &path, None).await.json();
        for role in roles {
            let path = format!("clients/{of}/roles/{role}");
            let role = self.done(Method::GET, &path, None).await.json();
            let user = user["id"].as_str().expect("an id");
            let path = format!("users/{user}/role-mappings/clients/{of}");
            self.done(Method::POST, &path, Some(&json!([role]))).await;
        }
    }
}

/// Percent-encodes everything but letters and digits.
fn encoded(text: &str) -> String {
    let byte = |b: u8| {
        if b.is_ascii_alphanumeric() {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}
