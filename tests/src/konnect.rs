//! Konnect, played over HTTP: its seven calls, and any other request as it stands.

use std::panic::Location;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use crate::bodies::{application, event, merge, set, verify};
use crate::http::{Answer, Http};
use crate::planted::Planted;
use crate::rules;
use crate::schema::{Application, ErrorBody, NewSecret, SecretList, SecretMetadata, SecretWithId};

/// One DCR provider in Konnect. Every answer it gets is held against the rules that hold for all of them.
#[derive(Debug, Clone)]
pub struct Konnect {
    base_url: String,
    key: Option<String>,
    http: Http,
    planted: Planted,
    hidden: Vec<String>,
}

impl Konnect {
    /// A provider with this base URL and API key.
    #[must_use]
    pub fn new(base_url: &str, key: &str) -> Self {
        let planted = Planted::new();
        planted.plant("an API key", key);
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            key: Some(key.to_owned()),
            http: Http::new(),
            planted,
            hidden: vec![key.to_owned()],
        }
    }

    /// The same provider with another key, or with none.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The same provider at another path of the same bridge, or behind another base URL.
    #[must_use]
    pub fn at(&self, base_url: &str) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// The same provider over another client: over TLS, or another version of HTTP.
    #[must_use]
    pub fn over(&self, http: Http) -> Self {
        Self {
            http,
            ..self.clone()
        }
    }

    /// Names what no answer may hold: the IdP's address, the connector's credential.
    #[must_use]
    pub fn hiding(mut self, text: &str) -> Self {
        self.hidden.push(text.to_owned());
        self
    }

    /// The key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The base URL, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Every key that was used and every client secret that was received so far.
    #[must_use]
    pub fn planted(&self) -> &Planted {
        &self.planted
    }

    /// `POST /`.
    #[track_caller]
    pub fn create(&self, body: &Value) -> impl Future<Output = Reply> + Send + use<> {
        self.call(Method::POST, "/", Some(body))
    }

    /// `DELETE /{clientId}`.
    #[track_caller]
    pub fn delete(&self, client_id: &str) -> impl Future<Output = Reply> + Send + use<> {
        self.call(Method::DELETE, &format!("/{client_id}"), None)
    }

    /// `POST /{clientId}/new-secret`.
    #[track_caller]
    pub fn rotate(&self, client_id: &str) -> impl Future<Output = Reply> + Send + use<> {
        self.call(Method::POST, &format!("/{client_id}/new-secret"), None)
    }

    /// `POST /{clientId}/event-hook`.
    #[track_caller]
    pub fn hook(
        &self,
        client_id: &str,
        event: &Value,
    ) -> impl Future<Output = Reply> + Send + use<> {
        self.call(
            Method::POST,
            &format!("/{client_id}/event-hook"),
            Some(event),
        )
    }

    /// `GET /{clientId}/secrets`.
    #[track_caller]
    pub fn list(&self, client_id: &str) -> impl Future<Output = Reply> + Send + use<> {
        self.call(Method::GET, &format!("/{client_id}/secrets"), None)
    }

    /// `POST /{clientId}/secrets`.
    #[track_caller]
    pub fn add(&self, client_id: &str) -> impl Future<Output = Reply> + Send + use<> {
        self.call(Method::POST, &format!("/{client_id}/secrets"), None)
    }

    /// `DELETE /{clientId}/secrets/{secretId}`.
    #[track_caller]
    pub fn remove(
        &self,
        client_id: &str,
        secret_id: &str,
    ) -> impl Future<Output = Reply> + Send + use<> {
        self.call(
            Method::DELETE,
            &format!("/{client_id}/secrets/{secret_id}"),
            None,
        )
    }

    /// Any call; `path` follows the base URL as it is written.
    #[track_caller]
    pub fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> impl Future<Output = Reply> + Send + use<> {
        let mut request = self.request(method, path);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(
            request
                .body(Full::from(body))
                .expect("a request that HTTP can write"),
        )
    }

    /// The beginning of a request with the provider's key.
    #[must_use]
    #[track_caller]
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url));
        match &self.key {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    /// Sends a request and holds the answer against the rules.
    #[track_caller]
    pub fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Reply> + Send + use<> {
        let sent = self.try_send(request);
        let place = Location::caller();
        async move {
            match sent.await {
                Ok(reply) => reply,
                Err(e) => panic!("{place}: no answer: {e}"),
            }
        }
    }

    /// Sends a request to a bridge that may be going away.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer.
    #[track_caller]
    pub fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Reply, String>> + Send + use<> {
        let place = Location::caller();
        let asked = format!("{} {}", request.method(), request.uri());
        let Self {
            http,
            planted,
            hidden,
            ..
        } = self.clone();
        async move {
            let began = Instant::now();
            let answer = http
                .send(request)
                .await
                .map_err(|e| format!("{asked}: {e}"))?;
            Ok(Reply::check(
                answer,
                &asked,
                &hidden,
                planted,
                began.elapsed(),
                place,
            ))
        }
    }

    /// Holds an answer that came another way (see [`raw`](crate::raw)) against the rules.
    #[track_caller]
    pub fn check(&self, answer: Answer) -> Reply {
        let planted = self.planted.clone();
        let place = Location::caller();
        Reply::check(
            answer,
            "a raw request",
            &self.hidden,
            planted,
            Duration::ZERO,
            place,
        )
    }
}

/// An answer that broke no rule; what it has to be is the test's to say.
#[derive(Debug)]
#[must_use = "an answer that nobody looks at proves nothing"]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// How long it took.
    pub took: Duration,
    asked: String,
    planted: Planted,
}

/// What a failed call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `error`.
    pub error: String,
    /// `error_description`, with the reference.
    pub description: String,
    /// The call's name in the logs.
    pub reference: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// How long it took to be said.
    pub took: Duration,
}

impl Refusal {
    /// The description up to the reference: what is the same for two calls that must look alike.
    #[must_use]
    pub fn sentence(&self) -> &str {
        let (sentence, _) = self
            .description
            .rsplit_once("Reference: ")
            .unwrap_or((&self.description, ""));
        sentence.trim_end()
    }
}

impl Reply {
    fn check(
        answer: Answer,
        asked: &str,
        hidden: &[String],
        planted: Planted,
        took: Duration,
        place: &Location<'_>,
    ) -> Self {
        let broken = rules::broken(&answer, hidden);
        assert!(
            broken.is_empty(),
            "{place}: the answer {} to {asked} breaks the rules: {}",
            answer.status,
            broken.join("; ")
        );
        Self {
            answer,
            took,
            asked: asked.to_owned(),
            planted,
        }
    }

    /// A 201 with a client.
    #[track_caller]
    pub fn created(self) -> Application {
        let application: Application = self.read(StatusCode::CREATED);
        self.planted
            .plant("a client secret", &application.client_secret);
        application
    }

    /// A 200 with a client's only secret.
    #[track_caller]
    pub fn rotated(self, client_id: &str) -> NewSecret {
        let secret: NewSecret = self.read(StatusCode::OK);
        assert_eq!(
            &*secret.client_id, client_id,
            "the answer is about another client"
        );
        self.planted.plant("a client secret", &secret.client_secret);
        secret
    }

    /// A 200 with what is known about a client's secrets.
    #[track_caller]
    pub fn listed(self, client_id: &str) -> Vec<SecretMetadata> {
        let SecretList { secrets } = self.read(StatusCode::OK);
        for (index, secret) in secrets.iter().enumerate() {
            assert_eq!(
                &*secret.client_id, client_id,
                "an entry is about another client"
            );
            assert!(!secret.secret_id.is_empty(), "an entry has no id");
            let twice = secrets
                .iter()
                .skip(index + 1)
                .any(|s| s.secret_id == secret.secret_id);
            assert!(!twice, "two entries have the id {}", secret.secret_id);
        }
        secrets
    }

    /// A 201 with one more secret.
    #[track_caller]
    pub fn added(self, client_id: &str) -> SecretWithId {
        let secret: SecretWithId = self.read(StatusCode::CREATED);
        assert_eq!(
            &*secret.client_id, client_id,
            "the answer is about another client"
        );
        self.planted.plant("a client secret", &secret.client_secret);
        secret
    }

    /// A 200 that says nothing: a hook's.
    #[track_caller]
    pub fn heard(self) {
        self.expect(StatusCode::OK);
        assert!(
            self.answer.body.is_empty(),
            "the contract defines no body: {}",
            self.answer.text()
        );
    }

    /// A 204.
    #[track_caller]
    pub fn gone(self) {
        self.expect(StatusCode::NO_CONTENT);
    }

    /// A failure with this status.
    #[track_caller]
    pub fn refused(self, status: u16) -> Refusal {
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        let body: ErrorBody = self.read(status);
        let reference = rules::reference(&body.error_description)
            .unwrap_or_default()
            .to_owned();
        let retry_after = self
            .answer
            .header("retry-after")
            .and_then(|text| text.parse().ok());
        Refusal {
            error: body.error,
            description: body.error_description,
            reference,
            retry_after,
            took: self.took,
        }
    }

    #[track_caller]
    fn expect(&self, status: StatusCode) {
        let Answer { status: found, .. } = self.answer;
        // A body is told only where it holds no secret.
        let body = if found.is_success() {
            String::new()
        } else {
            self.answer.text()
        };
        assert_eq!(found, status, "{}: {body}", self.asked);
    }

    #[track_caller]
    fn read<T: DeserializeOwned>(&self, status: StatusCode) -> T {
        self.expect(status);
        match serde_json::from_slice(&self.answer.body) {
            Ok(body) => body,
            Err(e) => panic!("{}: the body does not fit the schema: {e}", self.asked),
        }
    }
}
