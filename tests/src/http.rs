//! HTTP requests as a stranger sends them: no retry, no redirect, no path made nicer on the way.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde_json::Value;

use crate::certificates::{provider, roots};

/// Longer than anything the bridge may take; who waits so long waits for nothing.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The largest answer that is read, in bytes: no bridge, IdP or metrics page has so much to say.
const LARGEST: usize = 8 * 1024 * 1024;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header's value, when it is there once and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let one = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(one)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(e) => panic!("{} with no JSON ({e}): {}", self.status, self.text()),
        }
    }
}

/// A client with connections that are kept open; each failed one is a failure.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    patience: Duration,
}

impl Http {
    /// Makes one that trusts nobody: for plain HTTP.
    #[must_use]
    pub fn new() -> Self {
        Self::trusting("", Version::HTTP_11)
    }

    /// Makes one that trusts these CAs (PEM) and speaks HTTP/1.1 or HTTP/2, over TLS as ALPN agrees on it.
    #[must_use]
    pub fn trusting(cas: &str, version: Version) -> Self {
        Self::keeping(cas, version, None)
    }

    /// Makes one for plain HTTP/1.1 that lets go of a connection that it has not used for so long. HTTP/1.1 has no word
    /// by which a server could tell an idle peer that it closes, so whoever keeps one for longer than the server may
    /// send a request into the closing.
    #[must_use]
    pub fn letting_go_after(idle: Duration) -> Self {
        Self::keeping("", Version::HTTP_11, Some(idle))
    }

    fn keeping(cas: &str, version: Version, idle: Option<Duration>) -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots(cas))
            .with_no_client_auth();
        Self::over(config, version, idle, PATIENCE)
    }

    /// Makes one that speaks TLS as `config` says, lets go of a connection that it has not used for `idle`, and waits
    /// for a whole answer as long as `patience`.
    #[must_use]
    pub fn over(
        config: ClientConfig,
        version: Version,
        idle: Option<Duration>,
        patience: Duration,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http();
        let connector = if version == Version::HTTP_2 {
            builder.enable_http2().wrap_connector(connector)
        } else {
            builder.enable_http1().wrap_connector(connector)
        };
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .http2_only(version == Version::HTTP_2)
            .build(connector);
        Self { client, patience }
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer in time.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|e| say(&e))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|e| say(&*e))?.to_bytes();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        match tokio::time::timeout(self.patience, Box::pin(exchange)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.patience)),
        }
    }

    /// Gets a page; for probes, metrics and discovery documents.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer.
    pub async fn get(&self, url: &str) -> Result<Answer, String> {
        let request = Request::get(url)
            .body(Full::default())
            .map_err(|e| say(&e))?;
        self.send(request).await
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// An error with everything behind it.
fn say(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
