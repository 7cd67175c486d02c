//! The admin access token: got once for all concurrent callers, renewed before it expires.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded::byte_serialize;

use super::client::is_sendable;
use super::{Answer, BaseUrl, Client, Effect, Method, Request};
use crate::fault::{Fault, FaultKind, Outcome, Reason};
use crate::model::Deadline;
use crate::settings::SecretFile;

/// What a token without `expires_in` is taken to live (RFC 6749 section 5.1 only recommends the member).
const USUAL_LIFE: Duration = Duration::from_mins(1);
/// Whatever an IdP says, a token is renewed after this.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// After an early renewal has failed, the old token is used for so long before the next.
const NEXT_RENEWAL: Duration = Duration::from_secs(10);

/// The connector's own credential: an OAuth client that gets its token by client_credentials (RFC 6749 section 4.4).
///
/// The secret's file is read for every token, so a rotated secret needs no restart.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_endpoint: TokenEndpoint,
    /// The OAuth client id.
    pub client_id: String,
    /// The file that holds the client secret.
    pub secret_file: SecretFile,
    /// The scope to ask for, if any.
    pub scope: Option<String>,
    /// The audience to ask for, where the IdP wants one (Auth0).
    pub audience: Option<String>,
    /// How the client shows its secret.
    pub auth_method: ClientAuthMethod,
}

/// Where a token endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// Segments below the client's base URL.
    Below(Vec<String>),
    /// A URL of the client's origin, as the operator or the IdP's discovery document has it.
    At(String),
}

/// How a client shows its secret at a token endpoint (RFC 6749 section 2.3.1), named as registered with IANA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// In the body.
    #[default]
    ClientSecretPost,
    /// In the header `Authorization`.
    ClientSecretBasic,
}

impl Client {
    /// Asks a token endpoint for a token as a client that is not our own does: to see whether a secret is its secret. For
    /// examinations.
    ///
    /// # Errors
    /// Those of [`Request::send_anonymously`]; what the endpoint answers is no error.
    pub async fn try_secret(
        &self,
        deadline: Deadline,
        endpoint: &TokenEndpoint,
        auth_method: ClientAuthMethod,
        (client_id, secret): (&str, &SecretString),
        scope: Option<&str>,
    ) -> Result<Answer, Fault> {
        let form = scope.map(|scope| ("scope", scope.to_owned()));
        let form = form.into_iter().collect();
        self.token_request(endpoint, auth_method, (client_id, secret), form)
            .send_anonymously(deadline)
            .await
    }

    fn token_request(
        &self,
        endpoint: &TokenEndpoint,
        auth_method: ClientAuthMethod,
        (client_id, secret): (&str, &SecretString),
        more: Vec<(&'static str, String)>,
    ) -> Request<'_> {
        // Whatever the token endpoint did, nothing was done to a client: hence a read.
        let request = match endpoint {
            TokenEndpoint::Below(segments) => {
                let segments: Vec<_> = segments.iter().map(String::as_str).collect();
                self.request(Effect::Reads, Method::POST, &segments)
            }
            TokenEndpoint::At(url) => self.at(Effect::Reads, Method::POST, url),
        };
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        #[expect(clippy::disallowed_methods, reason = "the request carries the secret")]
        let secret = secret.expose_secret();
        match auth_method {
            ClientAuthMethod::ClientSecretPost => {
                form.push(("client_id", client_id.to_owned()));
                form.push(("client_secret", secret.to_owned()));
                form.extend(more);
                request.form(form)
            }
            ClientAuthMethod::ClientSecretBasic => {
                form.extend(more);
                // RFC 6749 section 2.3.1 has both encoded as in a form.
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect();
                request
                    .form(form)
                    .basic(encoded(client_id), encoded(secret))
            }
        }
    }
}

/// Gets tokens and keeps the current one.
#[derive(Clone)]
pub(super) struct TokenSource {
    credentials: ClientCredentials,
    slot: Arc<Slot>,
}

/// The current tokens of a process. What is configured anew takes over the token of the same client with the same
/// rights, so that no call waits for the first one of a new secret, or fails when the IdP does not know it yet.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<std::sync::Mutex<HashMap<String, Weak<Slot>>>>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// A place for one token.
#[derive(Default)]
struct Slot {
    current: ArcSwapOption<Token>,
    renewing: Mutex<Renewing>,
}

/// What whoever renews leaves to the next.
#[derive(Default)]
struct Renewing {
    failed: Option<Instant>,
    refusal: Option<Refusal>,
}

/// How the IdP refused the credential.
struct Refusal {
    when: Instant,
    message: String,
}

impl Renewing {
    /// Remembers what came of it.
    fn ended(&mut self, fetched: &Result<Arc<Token>, Fault>) {
        let when = Instant::now();
        let fault = fetched.as_ref().err();
        self.failed = fault.map(|_| when);
        let refused = fault.filter(|fault| fault.kind() == &FaultKind::Refused);
        self.refusal = refused.map(|fault| Refusal {
            when,
            message: fault.to_string(),
        });
    }
}

impl Tokens {
    /// The place for the tokens of these credentials. What is in it was got with the secret before, perhaps.
    fn slot(&self, base: &BaseUrl, credentials: &ClientCredentials) -> Arc<Slot> {
        let ClientCredentials {
            token_endpoint,
            client_id,
            secret_file: _,
            scope,
            audience,
            auth_method: _,
        } = credentials;
        let key = format!("{base} {token_endpoint:?} {client_id:?} {scope:?} {audience:?}");
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            if let Some(token) = slot.current.load().as_ref() {
                token.superseded.store(true, Ordering::Relaxed);
            }
            // What failed with the secret before may go well with this one.
            if let Ok(mut renewing) = slot.renewing.try_lock() {
                *renewing = Renewing::default();
            }
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::default();
        slots.insert(key, Arc::downgrade(&slot));
        slot
    }
}

/// An access token.
#[derive(Debug)]
pub(super) struct Token {
    value: SecretString,
    /// Whether another should be got although this one is not old.
    superseded: AtomicBool,
    renew_at: Instant,
    expires_at: Instant,
}

impl Token {
    pub(super) fn value(&self) -> &SecretString {
        &self.value
    }

    /// The payload of a JWT (RFC 7519), unverified.
    pub(super) fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        #[expect(clippy::disallowed_methods, reason = "the claims are read, not shown")]
        let payload = self.value.expose_secret().split('.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    pub(super) fn new(base: &BaseUrl, credentials: ClientCredentials) -> Self {
        let slot = credentials.secret_file.tokens().slot(base, &credentials);
        Self { credentials, slot }
    }

    /// The current token. When it gets old, one caller renews it while the others go on with it.
    ///
    /// # Errors
    /// `Refused` when the IdP does not accept the credential, and what every call can meet.
    pub(super) async fn current(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Fault> {
        let Some(token) = self
            .slot
            .current
            .load_full()
            .filter(|t| Instant::now() < t.expires_at)
        else {
            return self.renew(client, None, deadline).await;
        };
        let superseded = token.superseded.load(Ordering::Relaxed);
        if Instant::now() < token.renew_at && !superseded {
            return Ok(token);
        }
        let Ok(mut renewing) = self.slot.renewing.try_lock() else {
            return Ok(token);
        };
        // Whoever had the lock before may have done the work.
        let newer = self.slot.current.load_full();
        if let Some(newer) = newer.filter(|newer| !Arc::ptr_eq(newer, &token)) {
            return Ok(newer);
        }
        if renewing
            .failed
            .is_some_and(|failed| failed.elapsed() < NEXT_RENEWAL)
        {
            return Ok(token);
        }
        // A token endpoint that hangs leaves the call itself the other half.
        let half = deadline.at_most(deadline.remaining() / 2);
        let fetched = self.fetch_and_keep(client, half).await;
        renewing.ended(&fetched);
        match fetched {
            Ok(fresh) => Ok(fresh),
            Err(fault) => {
                tracing::warn!(
                    "the access token could not be renewed, the old one still works: {fault}"
                );
                Ok(token)
            }
        }
    }

    /// A token other than `refused`, which the IdP has not accepted.
    pub(super) async fn renewed(
        &self,
        client: &Client,
        refused: &Arc<Token>,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Fault> {
        self.renew(client, Some(refused), deadline).await
    }

    async fn renew(
        &self,
        client: &Client,
        refused: Option<&Arc<Token>>,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Fault> {
        let began = Instant::now();
        let waiting = self.slot.renewing.lock();
        let Ok(mut renewing) = timeout_at(deadline.instant(), waiting).await else {
            let message = "no access token was to be had in time; nothing was sent";
            return Err(Fault::new(FaultKind::Unavailable { after: None }, message)
                .reason(Reason::TimedOut));
        };
        // Whoever had the lock before may have done the work.
        let usable = |token: &Arc<Token>| {
            Instant::now() < token.expires_at && refused.is_none_or(|r| !Arc::ptr_eq(token, r))
        };
        if let Some(token) = self.slot.current.load_full().filter(usable) {
            return Ok(token);
        }
        // Or has been refused what everybody who waited would be refused.
        if let Some(refusal) = &renewing.refusal
            && refusal.when > began
        {
            let message = refusal.message.clone();
            return Err(
                Fault::new(FaultKind::Refused, message).reason(Reason::IdpCredentialRefused)
            );
        }
        let fetched = self.fetch_and_keep(client, deadline).await;
        renewing.ended(&fetched);
        fetched
    }

    /// Fetches the next current token.
    async fn fetch_and_keep(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Fault> {
        let token = self.fetch(client, deadline).await?;
        self.slot.current.store(Some(Arc::clone(&token)));
        Ok(token)
    }

    /// Fetches a token that nobody else has: the credential and its rights as they are now.
    pub(super) async fn fetch(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Fault> {
        #[derive(Deserialize)]
        struct Grant {
            access_token: SecretString,
            expires_in: Option<u64>,
        }
        let credentials = &self.credentials;
        let refused = |message: String| {
            Fault::new(FaultKind::Refused, message).reason(Reason::IdpCredentialRefused)
        };
        let secret = credentials
            .secret_file
            .read()
            .map_err(|problem| refused(format!("the connector's own secret: {problem}")))?;
        let scope = credentials.scope.clone().map(|scope| ("scope", scope));
        let audience = credentials.audience.clone();
        let audience = audience.map(|audience| ("audience", audience));
        let request = client.token_request(
            &credentials.token_endpoint,
            credentials.auth_method,
            (&credentials.client_id, &secret),
            scope.into_iter().chain(audience).collect(),
        );
        let asked_at = Instant::now();
        let answer = request.send_anonymously(deadline).await?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                return Err(refused(answer.refusal_by_code()));
            }
            _ => return Err(answer.fault_by_code()),
        }
        let grant: Grant = answer.json()?;
        if !is_sendable(&grant.access_token) {
            // Found out here, where nothing has been sent that could have changed anything.
            let message = "the token endpoint gave an access token that no header can carry";
            return Err(Fault::internal(message)
                .reason(Reason::IdpAnswerUnusable)
                .outcome(Outcome::NotApplied));
        }
        let life = grant.expires_in.map_or(USUAL_LIFE, Duration::from_secs);
        let life = life.min(LONGEST_LIFE);
        Ok(Arc::new(Token {
            value: grant.access_token,
            superseded: AtomicBool::new(false),
            renew_at: asked_at + life.mul_f32(0.8),
            expires_at: asked_at + life.saturating_sub(Duration::from_secs(1)),
        }))
    }
}
