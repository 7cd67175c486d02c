//! Whether a client's secret opens a token.

use std::time::{Duration, Instant};

use dcr_tests::http::Http;
use dcr_tests::token::{Method, TokenEndpoint};
use http::Version;
use rustls::ClientConfig;
use serde_json::Value;

use crate::bridge::explained;

/// How often somebody who waits looks again.
const AGAIN: Duration = Duration::from_millis(250);

/// The IdP's token endpoint.
pub(crate) struct Tokens {
    endpoint: TokenEndpoint,
    patience: Duration,
    wanted: Wanted,
}

/// What is asked for beside a token: some IdPs give none without.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
}

impl Tokens {
    /// The endpoint at a URL.
    pub(crate) fn new(url: &str, tls: ClientConfig, patience: Duration, wanted: Wanted) -> Self {
        let http = Http::over(
            tls,
            Version::HTTP_11,
            Some(Duration::from_secs(1)),
            patience,
        );
        Self {
            endpoint: TokenEndpoint::over(url, http).for_audience(wanted.audience.clone()),
            patience,
            wanted,
        }
    }

    /// Waits until a secret does or does not open a token, for IdPs tell their parts of a change one after the other,
    /// and tells what it did last.
    ///
    /// # Errors
    /// A sentence, when the endpoint answers neither.
    pub(crate) async fn settled(
        &self,
        id: &str,
        secret: &str,
        wanted: bool,
    ) -> Result<bool, String> {
        let deadline = Instant::now() + self.patience;
        loop {
            let opens = self.opens(id, secret).await?;
            if opens == wanted || Instant::now() >= deadline {
                return Ok(opens);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Tries the credentials in the body, then in the header: the IdP may want either.
    async fn opens(&self, id: &str, secret: &str) -> Result<bool, String> {
        let (mut refused, mut other) = (false, String::new());
        for method in [Method::Post, Method::Basic] {
            let scope = self.wanted.scope.as_deref();
            let answer = self.endpoint.try_ask(method, id, secret, scope).await;
            let answer = answer.map_err(|e| format!("--token-url: {}", explained(&e)))?;
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let error = body
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or_default();
            match (answer.status.as_u16(), error) {
                (200, _) => return Ok(true),
                // RFC 6749 section 5.2; some say unauthorized_client or invalid_grant where a secret is wrong.
                (401, _) | (400, "invalid_client" | "unauthorized_client" | "invalid_grant") => {
                    refused = true;
                }
                (status, error) => other = format!("{status} {}", error.escape_debug()),
            }
        }
        // One of the two ways to name oneself may be unknown to the IdP.
        if refused && (other.is_empty() || other == "400 invalid_request") {
            return Ok(false);
        }
        Err(format!(
            "--token-url answered {other}, which is neither a token nor a refused credential: is it the token endpoint, and does it want a --token-scope or --token-audience?"
        ))
    }
}
