//! Whether a client's secret opens a token.

use std::time::{Duration, Instant};

use dcr_tests::http::Http;
use dcr_tests::token::{Method, TokenEndpoint};
use http::Version;
use rustls::ClientConfig;

use crate::bridge::explained;

/// How often somebody who waits looks again.
const AGAIN: Duration = Duration::from_millis(250);

/// The IdP's token endpoint.
pub(crate) struct Tokens {
    endpoint: TokenEndpoint,
    patience: Duration,
}

impl Tokens {
    /// The endpoint at a URL.
    pub(crate) fn new(url: &str, tls: ClientConfig, patience: Duration) -> Self {
        let http = Http::over(
            tls,
            Version::HTTP_11,
            Some(Duration::from_secs(1)),
            patience,
        );
        Self {
            endpoint: TokenEndpoint::over(url, http),
            patience,
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
        for method in [Method::Post, Method::Basic] {
            let answer = self.endpoint.try_ask(method, id, secret, None).await;
            let answer = answer.map_err(|e| format!("--token-url: {}", explained(&e)))?;
            let status = answer.status.as_u16();
            match status {
                200 => return Ok(true),
                400 | 401 => {}
                _ => {
                    return Err(format!(
                        "--token-url answered {status}, which is neither a token nor a refused credential: is it the token endpoint?"
                    ));
                }
            }
        }
        Ok(false)
    }
}
