//! Sending: one client per connector, its connections pooled and warm.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;
use url::Url;

use super::observe::Watch;
use super::token::TokenSource;
use super::{Answer, BaseUrl, ClientCredentials, LARGEST_ANSWER};
use crate::fault::{Fault, FaultKind, Outcome, Reason, root_cause};
use crate::model::{Deadline, Malformed};

const CONNECT: Duration = Duration::from_secs(2);
/// How long one read may take.
const ATTEMPT: Duration = Duration::from_secs(6);
/// A create that leaves with less than this would be given up by its caller more often than not.
const TIME_TO_CREATE: Duration = Duration::from_secs(3);
/// How long the answer to a change is read beyond its caller's deadline: it is the only copy of what was made.
const READ_TO_ITS_END: Duration = Duration::from_secs(30);
/// Shorter than the idle limits of usual load balancers, so that a pooled connection is rarely a dead one.
const IDLE: Duration = Duration::from_secs(50);
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Whether a call can change anything at the IdP; decides what a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changes: ends at the deadline or after 6 s.
    Reads,
    /// Something may change: never cut once it has left; its answer is read up to 30 s beyond the deadline.
    Changes,
    /// As `Changes`; makes a client or a secret, whose only copy is the answer: does not leave with less than 3 s left.
    Creates,
}

/// The HTTP client to one IdP. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    token: Option<TokenSource>,
}

impl Client {
    /// A client of this base URL. `ca` are PEM certificates to trust beside the system's.
    ///
    /// # Errors
    /// `Malformed` when `ca` holds no certificates.
    pub fn new(base: BaseUrl, ca: Option<&[u8]>) -> Result<Self, Malformed> {
        // One provider for the whole process; the second and later calls find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = match ca.map(reqwest::Certificate::from_pem_bundle) {
            None => Vec::new(),
            Some(Ok(certificates)) if !certificates.is_empty() => certificates,
            Some(_) => return Err(Malformed::new("must hold PEM certificates")),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that builds a client"
        )]
        let builder = reqwest::Client::builder()
            .user_agent(concat!("dcr-bridge/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true);
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
        let builder = if ca.is_empty() {
            builder
        } else {
            builder.tls_certs_merge(ca)
        };
        let http = builder
            .build()
            .map_err(|error| Malformed::new(format!("cannot be used for TLS: {error}")))?;
        Ok(Self {
            http,
            base,
            token: None,
        })
    }

    /// Authorises every call by an access token that these credentials get.
    #[must_use]
    pub fn authorized_by(mut self, credentials: ClientCredentials) -> Self {
        self.token = Some(TokenSource::new(&self.base, credentials));
        self
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// A GET of the resource below the base URL; reads.
    pub fn get(&self, segments: &[&str]) -> Request<'_> {
        self.request(Effect::Reads, Method::GET, segments)
    }

    /// A POST to the resource; changes.
    pub fn post(&self, segments: &[&str]) -> Request<'_> {
        self.request(Effect::Changes, Method::POST, segments)
    }

    /// A POST to the resource that makes a client or a secret.
    pub fn create(&self, segments: &[&str]) -> Request<'_> {
        self.request(Effect::Creates, Method::POST, segments)
    }

    /// A PUT to the resource; changes.
    pub fn put(&self, segments: &[&str]) -> Request<'_> {
        self.request(Effect::Changes, Method::PUT, segments)
    }

    /// A PATCH of the resource; changes.
    pub fn patch(&self, segments: &[&str]) -> Request<'_> {
        self.request(Effect::Changes, Method::PATCH, segments)
    }

    /// A DELETE of the resource; changes.
    pub fn delete(&self, segments: &[&str]) -> Request<'_> {
        self.request(Effect::Changes, Method::DELETE, segments)
    }

    /// Any call to the resource.
    pub fn request(&self, effect: Effect, method: Method, segments: &[&str]) -> Request<'_> {
        self.prepared(effect, method, self.base.join(segments))
    }

    /// Any call to a URL that the IdP answered or the operator configured. It is sent only if the URL is of this origin.
    pub fn at(&self, effect: Effect, method: Method, url: &str) -> Request<'_> {
        self.prepared(effect, method, self.base.same_origin(url))
    }

    fn prepared(&self, effect: Effect, method: Method, url: Result<Url, Fault>) -> Request<'_> {
        Request {
            client: self,
            effect,
            method,
            url,
            query: Vec::new(),
            body: Body::None,
            basic: None,
        }
    }

    /// The claims of a new access token, unverified, where it is a JWT: what the IdP says that our own
    /// credential may do. For examinations only.
    ///
    /// # Errors
    /// Those of getting a token.
    pub async fn token_claims<T: DeserializeOwned>(
        &self,
        deadline: Deadline,
    ) -> Result<Option<T>, Fault> {
        match &self.token {
            Some(source) => Ok(source.fetch(self, deadline).await?.claims()),
            None => Ok(None),
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        url: &Url,
        token: Option<&SecretString>,
        deadline: Deadline,
    ) -> Result<Answer, Fault> {
        let call = format!("{} {}", request.method, url.path());
        let end = request.effect.end(deadline, &call)?;
        let mut http = self.http.request(request.method.clone(), url.clone());
        http = http.header(ACCEPT, "application/json");
        if let Some(token) = token {
            #[expect(clippy::disallowed_methods, reason = "the header carries the token")]
            {
                http = http.bearer_auth(token.expose_secret());
            }
        }
        if let Some((user, password)) = &request.basic {
            http = http.basic_auth(user, Some(password));
        }
        http = match &request.body {
            Body::None => http,
            Body::Json(bytes) => http
                .header(CONTENT_TYPE, "application/json")
                .body(bytes.clone()),
            Body::Form(pairs) => http.form(pairs),
        };
        let watch = Watch::begin(&request.method, request.effect, &self.base);
        let send = self.exchange(http, request.effect, call.clone());
        let answer = match timeout_at(end, send.instrument(watch.span())).await {
            Ok(answer) => answer,
            Err(_) => Err(request
                .effect
                .unanswered(format!("{call} was not answered in time"))),
        };
        watch.end(&answer);
        answer
    }

    async fn exchange(
        &self,
        http: reqwest::RequestBuilder,
        effect: Effect,
        call: String,
    ) -> Result<Answer, Fault> {
        let lost = |error: reqwest::Error| {
            let error = error.without_url();
            if error.is_connect() {
                let message = if is_distrusted(&error) {
                    format!(
                        "{call}: the identity provider's certificate is not trusted; name its CA in ca_file, or correct the \
                         address"
                    )
                } else {
                    format!("{call}: the identity provider was not reached")
                };
                return Fault::new(FaultKind::Unavailable { after: None }, message)
                    .reason(Reason::Unreachable)
                    .because(root_cause(&error));
            }
            effect
                .unanswered(format!("{call}: the connection was lost"))
                .because(error)
        };
        let mut response = http.send().await.map_err(&lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = bytes::BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(&lost)? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(effect
                    .unanswered(format!("{call} was answered with more than 1 MiB"))
                    .reason(Reason::IdpAnswerUnusable));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            effect,
            status,
            headers,
            body: body.freeze(),
            call,
            by_code: false,
        })
    }
}

impl Effect {
    /// When to stop reading an answer.
    fn end(self, deadline: Deadline, call: &str) -> Result<Instant, Fault> {
        let needed = match self {
            Self::Reads | Self::Changes => Duration::ZERO,
            Self::Creates => TIME_TO_CREATE,
        };
        if deadline.remaining() <= needed {
            let message = format!("{call}: too little time was left; nothing was sent");
            return Err(Fault::new(FaultKind::Unavailable { after: None }, message)
                .reason(Reason::TimedOut));
        }
        Ok(match self {
            Self::Reads => deadline.at_most(ATTEMPT).instant(),
            Self::Creates | Self::Changes => deadline.instant() + READ_TO_ITS_END,
        })
    }

    /// What a call means that was sent and not answered whole.
    fn unanswered(self, message: String) -> Fault {
        let fault = Fault::new(FaultKind::TimedOut, message);
        match self {
            Self::Reads => fault.outcome(Outcome::NotApplied),
            Self::Creates | Self::Changes => fault,
        }
    }
}

#[derive(Clone)]
enum Body {
    None,
    Json(bytes::Bytes),
    Form(Vec<(&'static str, String)>),
}

/// One call, being put together.
#[must_use]
pub struct Request<'a> {
    client: &'a Client,
    effect: Effect,
    method: Method,
    url: Result<Url, Fault>,
    query: Vec<(&'static str, String)>,
    body: Body,
    basic: Option<(String, String)>,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Request<'_> {
    /// Adds a query parameter.
    pub fn query(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Sends this as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(body);
        if bytes.is_err() {
            let message = "a request for the identity provider is no JSON";
            self.url = Err(Fault::internal(message));
        }
        self.body = Body::Json(bytes.unwrap_or_default().into());
        self
    }

    /// Sends this as a form.
    pub fn form(mut self, pairs: Vec<(&'static str, String)>) -> Self {
        self.body = Body::Form(pairs);
        self
    }

    /// Authorises it by HTTP Basic (RFC 7617).
    pub(super) fn basic(mut self, user: String, password: String) -> Self {
        self.basic = Some((user, password));
        self
    }

    /// Sends it and reads the whole answer, whatever its status; a 401 is met once with a new access token, for the
    /// IdP itself has said that nothing was done.
    ///
    /// # Errors
    /// `Unavailable` when nothing was sent, `TimedOut` when an answer was lost (UNKNOWN for a change), `Refused`
    /// when no access token was to be had.
    pub async fn send(mut self, deadline: Deadline) -> Result<Answer, Fault> {
        let url = self.take_url()?;
        let client = self.client;
        let Some(source) = &client.token else {
            return client.attempt(&self, &url, None, deadline).await;
        };
        let token = source.current(client, deadline).await?;
        let answer = client
            .attempt(&self, &url, Some(token.value()), deadline)
            .await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = source.renewed(client, &token, deadline).await?;
        client
            .attempt(&self, &url, Some(token.value()), deadline)
            .await
    }

    /// Sends it once with an access token that no other call has had, for IdPs whose tokens are valid once.
    ///
    /// # Errors
    /// Those of [`Request::send`].
    pub async fn send_with_new_token(mut self, deadline: Deadline) -> Result<Answer, Fault> {
        let url = self.take_url()?;
        let client = self.client;
        let Some(source) = &client.token else {
            return client.attempt(&self, &url, None, deadline).await;
        };
        let token = source.fetch(client, deadline).await?;
        client
            .attempt(&self, &url, Some(token.value()), deadline)
            .await
    }

    /// Sends it once with this token instead of the client's own.
    ///
    /// # Errors
    /// Those of [`Request::send`]; `Internal` with NOT_APPLIED for a token that no header can carry.
    pub async fn send_with(
        mut self,
        token: &SecretString,
        deadline: Deadline,
    ) -> Result<Answer, Fault> {
        let url = self.take_url()?;
        if !is_sendable(token) {
            let message = "a token of the identity provider is one that no header can carry";
            return Err(Fault::internal(message)
                .reason(Reason::IdpAnswerUnusable)
                .outcome(Outcome::NotApplied));
        }
        self.client
            .attempt(&self, &url, Some(token), deadline)
            .await
    }

    /// Sends it without an access token.
    ///
    /// # Errors
    /// Those of [`Request::send`] but `Refused`.
    pub async fn send_anonymously(mut self, deadline: Deadline) -> Result<Answer, Fault> {
        let url = self.take_url()?;
        self.client.attempt(&self, &url, None, deadline).await
    }

    fn take_url(&mut self) -> Result<Url, Fault> {
        let mut url = std::mem::replace(
            &mut self.url,
            Err(Fault::internal("a request was sent twice")),
        )?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}

/// Whether a header can carry a token (RFC 6750 section 2.1 allows less).
pub(super) fn is_sendable(token: &SecretString) -> bool {
    #[expect(clippy::disallowed_methods, reason = "its characters are looked at")]
    let token = token.expose_secret();
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether the other side's certificate was refused, by us.
fn is_distrusted(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    // An `io::Error` is no more than what it holds, which its `source` leaves out.
    let held = error.downcast_ref::<std::io::Error>();
    let held = held.and_then(std::io::Error::get_ref);
    held.is_some_and(|held| is_distrusted(held)) || error.source().is_some_and(is_distrusted)
}
