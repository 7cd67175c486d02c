//! What an application does with its credentials: it asks the IdP for an access token.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::http::{Answer, Http};

/// How a client names itself at the token endpoint (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// In the `Authorization` header.
    Basic,
    /// In the body.
    Post,
}

/// A token endpoint.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    url: String,
    http: Http,
    audience: Option<String>,
}

impl TokenEndpoint {
    /// The endpoint at a URL.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self::over(url, Http::new())
    }

    /// The same, over another client.
    #[must_use]
    pub fn over(url: &str, http: Http) -> Self {
        Self {
            url: url.to_owned(),
            http,
            audience: None,
        }
    }

    /// The same, which asks for this audience.
    #[must_use]
    pub fn for_audience(self, audience: Option<String>) -> Self {
        Self { audience, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for a token with the client credentials grant; the answer as it is.
    pub async fn ask(&self, method: Method, id: &str, secret: &str, scope: Option<&str>) -> Answer {
        match self.try_ask(method, id, secret, scope).await {
            Ok(answer) => answer,
            Err(e) => panic!("no answer from the token endpoint: {e}"),
        }
    }

    /// The same, at an endpoint that may not answer.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer.
    pub async fn try_ask(
        &self,
        method: Method,
        id: &str,
        secret: &str,
        scope: Option<&str>,
    ) -> Result<Answer, String> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(scope.map(|scope| ("scope", scope)));
        form.extend(
            self.audience
                .iter()
                .map(|audience| ("audience", &**audience)),
        );
        let mut request = Request::post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json");
        match method {
            Method::Basic => {
                let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
                request = request.header("authorization", format!("Basic {pair}"));
            }
            Method::Post => form.extend([("client_id", id), ("client_secret", secret)]),
        }
        let pairs = form
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        let request = request.body(Full::from(form));
        self.http.send(request.map_err(|e| e.to_string())?).await
    }

    /// The claims of a token that the credentials open; `None` when they are refused as such.
    pub async fn claims(&self, id: &str, secret: &str, scope: Option<&str>) -> Option<Value> {
        let answer = self.ask(Method::Post, id, secret, scope).await;
        let body = answer.json();
        if answer.status.is_success() {
            let token = body
                .get("access_token")
                .and_then(Value::as_str)
                .expect("an access token");
            return Some(claims(token));
        }
        // RFC 6749 section 5.2 says invalid_client; Keycloak says unauthorized_client where a secret is wrong.
        let error = body
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert!(
            answer.status == 401 && ["invalid_client", "unauthorized_client"].contains(&error),
            "neither a token nor a refused credential: {} {body}",
            answer.status
        );
        None
    }

    /// Whether the credentials open a token.
    pub async fn opens(&self, id: &str, secret: &str) -> bool {
        self.claims(id, secret, None).await.is_some()
    }
}

/// The claims of a JWT. Its signature is between the IdP and the API.
#[must_use]
#[track_caller]
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a JWT has three parts");
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .expect("the parts of a JWT are base64url");
    serde_json::from_slice(&bytes).expect("the claims of a JWT are JSON")
}

/// The scopes of a token.
#[must_use]
pub fn scopes(claims: &Value) -> Vec<String> {
    let text = claims
        .get("scope")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The audiences of a token, which may be one text or a list (RFC 7519 section 4.1.3).
#[must_use]
pub fn audiences(claims: &Value) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many
            .iter()
            .filter_map(|a| Some(a.as_str()?.to_owned()))
            .collect(),
        _ => Vec::new(),
    }
}
