//! Hydra's administrator, who sees what is there, whatever the bridge says.

use bytes::Bytes;
use dcr_tests::Http;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

pub(crate) struct Admin {
    http: Http,
    clients: String,
}

impl Admin {
    pub(crate) fn at(admin_url: &str) -> Self {
        Self {
            http: Http::new(),
            clients: format!("{admin_url}/admin/clients"),
        }
    }

    /// The client of this id.
    pub(crate) async fn client(&self, id: &str) -> Option<Value> {
        let (status, body) = self.call(Method::GET, &format!("/{id}"), Value::Null).await;
        (status == 200).then_some(body)
    }

    /// Makes a client as an administrator does.
    pub(crate) async fn insert(&self, id: &str) {
        let client = json!({"client_id": id, "client_name": "made by hand"});
        let (status, _) = self.call(Method::POST, "", client).await;
        assert_eq!(status, 201, "the administrator cannot make {id}");
    }

    pub(crate) async fn remove(&self, id: &str) {
        let (status, _) = self
            .call(Method::DELETE, &format!("/{id}"), Value::Null)
            .await;
        assert_eq!(status, 204, "{id} is not there");
    }

    /// The ids of all clients that bear a mark.
    pub(crate) async fn marked(&self) -> Vec<String> {
        let (_, clients) = self.call(Method::GET, "?page_size=500", Value::Null).await;
        let clients = clients.as_array().expect("a list").iter();
        let marked = clients.filter(|client| !client["metadata"]["dcr_installation"].is_null());
        marked
            .map(|client| client["client_id"].to_string())
            .collect()
    }

    async fn call(&self, method: Method, rest: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{rest}", self.clients))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answer = self.http.send(request).await.expect("Hydra answers");
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status.as_u16(), body)
    }
}
