//! The IdP's token endpoint: where a secret proves that it works.

use std::time::Duration;

use dcr_proto::v1;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::options::{TokenAuth, TokenOptions};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A token endpoint, asked as an application asks it.
#[derive(Debug)]
pub(crate) struct Tokens {
    http: reqwest::Client,
    url: String,
    scope: Option<String>,
    auth: TokenAuth,
}

impl Tokens {
    #[expect(
        clippy::disallowed_methods,
        reason = "plays an application; no connector's client"
    )]
    pub(crate) fn new(options: &TokenOptions) -> Result<Option<Self>, String> {
        let Some(url) = options.token_url.clone() else {
            return Ok(None);
        };
        // Only the first one counts; any is this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| format!("--token-url cannot be used: {error}"))?;
        reqwest::Url::parse(&url).map_err(|error| format!("--token-url {url}: {error}"))?;
        Ok(Some(Self {
            http,
            url,
            scope: options.token_scope.clone(),
            auth: options.token_auth.unwrap_or(TokenAuth::Basic),
        }))
    }

    /// Whether these credentials get a token, and one with `scope` where that is asked for.
    ///
    /// # Errors
    /// A sentence when the answer tells neither.
    pub(crate) async fn opens(
        &self,
        client_id: &str,
        secret: &v1::Secret,
        scope: Option<&str>,
    ) -> Result<bool, String> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(
            scope
                .or(self.scope.as_deref())
                .map(|scope| ("scope", scope)),
        );
        let request = self
            .http
            .post(&self.url)
            .header("accept", "application/json");
        let request = match self.auth {
            TokenAuth::Basic => {
                request.basic_auth(encoded(client_id), Some(encoded(&secret.value)))
            }
            TokenAuth::Post => {
                form.extend([("client_id", client_id), ("client_secret", &secret.value)]);
                request
            }
        };
        let answer = request.form(&form).send().await;
        let answer = answer
            .map_err(|error| format!("no answer from --token-url: {}", error.without_url()))?;
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default();
        if status.is_success() && !text("access_token").is_empty() {
            // RFC 6749 section 5.1: told when it is not what was asked for.
            let told = text("scope");
            let has = scope.is_none_or(|s| told.is_empty() || told.split(' ').any(|t| t == s));
            return Ok(has);
        }
        // RFC 6749 section 5.2: 401 is for credentials alone, whatever the server calls it.
        if status == reqwest::StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        // Some servers say unauthorized_client where a secret is wrong.
        match text("error") {
            "invalid_client" | "unauthorized_client" => Ok(false),
            "invalid_scope" if scope.is_some() => Ok(false),
            // As glewlwyd refuses: nobody else has a reason to forbid what was allowed before.
            "" if status == reqwest::StatusCode::FORBIDDEN => Ok(false),
            error => Err(format!(
                "--token-url gave neither a token nor a refusal of the credentials: {status} {error}"
            )),
        }
    }
}

/// RFC 6749 section 2.3.1 encodes both as a form does, before Basic does its own.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
