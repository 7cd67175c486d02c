//! The bridge that is tried, and a record of what was made there.
//!
//! A call runs in a task that is waited for: whoever stops waiting loses no answer that tells what to delete.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::stderr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dcr_tests::http::{Answer, Http};
use http::{Request, StatusCode, Version};
use http_body_util::Full;
use rustls::ClientConfig;
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::call::{Call, Keys};
use crate::journal::Journal;

/// How often a call that was answered 429 is made again.
const PATIENT_CALLS: usize = 15;
/// The longest that a 429 may ask to wait.
const LONGEST_WAIT: u64 = 60;
/// What the HTTP client says of a request that it could not begin to send.
const UNCONNECTED: &str = "client error (Connect)";
/// How many names of lost creates are kept.
const NAMES: usize = 5;

/// A call and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// What was called, without key or body.
    pub(crate) asked: String,
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
    /// Whether the answer holds the key or a client secret, and must not be shown.
    holds_secret: bool,
}

impl Exchange {
    pub(crate) fn status(&self) -> StatusCode {
        self.answer.status
    }

    /// The body, if it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.answer.body).ok()
    }

    /// A member of the body that is text.
    pub(crate) fn text(&self, member: &str) -> Option<String> {
        Some(self.json()?.get(member)?.as_str()?.to_owned())
    }

    /// What the bridge says went wrong, shortened; nothing of an answer that holds a secret.
    pub(crate) fn complaint(&self) -> String {
        if self.holds_secret {
            return "with an answer that is not shown, for it holds the key or a client secret"
                .to_owned();
        }
        let said = self.text("error_description");
        let said = said.unwrap_or_else(|| self.answer.text());
        match said.char_indices().nth(300) {
            _ if said.is_empty() => "with no body".to_owned(),
            Some((end, _)) => format!("saying: {}...", said.split_at(end).0.escape_debug()),
            None => format!("saying: {}", said.escape_debug()),
        }
    }
}

/// What was made and is not deleted yet.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Clients, by id.
    pub(crate) clients: BTreeSet<String>,
    /// Names of clients that may have been made by a create that was never answered: the first few.
    pub(crate) unanswered: Vec<String>,
    /// Creates that were never answered, or with a failure of the bridge's, or with success and no client id.
    pub(crate) unknown: usize,
    /// Whether a 429 was left at that, for want of patience.
    pub(crate) impatient: bool,
}

struct Shared {
    base_url: String,
    key: String,
    tls: ClientConfig,
    timeout: Duration,
    /// How long is waited yet where a 429 asks for it.
    patience: Mutex<Duration>,
    calls: TaskTracker,
    made: Mutex<Made>,
}

/// A bridge, on connections of its own.
#[derive(Clone)]
pub(crate) struct Bridge {
    shared: Arc<Shared>,
    http: Http,
    journal: Option<Arc<Journal>>,
}

impl Bridge {
    /// The bridge at a base URL without a slash at its end.
    pub(crate) fn new(
        base_url: &str,
        key: &str,
        tls: ClientConfig,
        timeout: Duration,
        patience: Duration,
    ) -> Self {
        let shared = Shared {
            base_url: base_url.to_owned(),
            key: key.to_owned(),
            tls,
            timeout,
            patience: Mutex::new(patience),
            calls: TaskTracker::new(),
            made: Mutex::default(),
        };
        Self {
            http: shared.http(),
            journal: Some(Arc::new(Journal::new(key))),
            shared: Arc::new(shared),
        }
    }

    /// The same bridge on one more connection, and without a journal, which would grow.
    pub(crate) fn on_another_connection(&self) -> Self {
        Self {
            http: self.shared.http(),
            journal: None,
            shared: Arc::clone(&self.shared),
        }
    }

    /// What all answers so far had in common.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// What was made and is not deleted yet.
    pub(crate) fn made(&self) -> MutexGuard<'_, Made> {
        self.shared.made()
    }

    /// Waits for the calls that nobody waits for any more.
    pub(crate) async fn settle(&self) {
        self.shared.calls.close();
        self.shared.calls.wait().await;
    }

    /// Makes a call. A 429 that says when to come again is obeyed: nothing was done, and Konnect is not that fast.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer in time.
    pub(crate) async fn call(&self, call: &Call) -> Result<Exchange, String> {
        for _ in 0..PATIENT_CALLS {
            let exchange = self.once(call).await?;
            let wait = exchange.answer.header("retry-after");
            let wait = wait.and_then(|text| text.parse::<u64>().ok());
            let wait = wait.filter(|seconds| {
                *seconds <= LONGEST_WAIT && exchange.status() == StatusCode::TOO_MANY_REQUESTS
            });
            match wait {
                Some(seconds) if !self.shared.waits(seconds.max(1)) => {
                    self.made().impatient = true;
                    return Ok(exchange);
                }
                Some(seconds) => {
                    if seconds > 2 {
                        let _ = std::io::Write::write_all(
                            &mut stderr(),
                            format!("(429: the bridge asks to wait for {seconds} s)\n").as_bytes(),
                        );
                    }
                    tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
                }
                _ => return Ok(exchange),
            }
        }
        self.once(call).await
    }

    /// Makes a call, once.
    ///
    /// # Errors
    /// A sentence, when there was no whole answer in time.
    pub(crate) async fn once(&self, call: &Call) -> Result<Exchange, String> {
        let request = self.request(call)?;
        let (this, call) = (self.clone(), call.clone());
        let answered = self.shared.calls.spawn(async move {
            let asked = format!("{} {}", call.method, shown(&call.path));
            let began = Instant::now();
            let answer = this.http.send(request).await;
            let took = began.elapsed();
            if let Some(journal) = &this.journal {
                journal.note(&asked, answer.as_ref().ok(), took);
            }
            // Where nobody was connected, nothing was asked.
            if !matches!(&answer, Err(e) if e.contains(UNCONNECTED)) {
                this.shared.note(&call, answer.as_ref().ok());
            }
            answer
                .map(|answer| Exchange {
                    asked: asked.clone(),
                    holds_secret: this.holds_secret(&answer),
                    answer,
                    took,
                })
                .map_err(|e| format!("{asked}: {}", explained(&e)))
        });
        answered.await.map_err(|e| e.to_string())?
    }

    /// Whether an answer holds the key, or a client secret: one that is known, or one that nobody has seen yet.
    fn holds_secret(&self, answer: &Answer) -> bool {
        let text = answer.text();
        let journal = self.journal.as_ref();
        text.contains(&self.shared.key)
            || text.contains("\"client_secret\"")
            || journal.is_some_and(|journal| journal.holds_secret(answer))
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, String> {
        let Shared { base_url, key, .. } = &*self.shared;
        let keys = match &call.keys {
            Keys::Own => vec![key],
            Keys::None => vec![],
            Keys::Other(other) => vec![other],
            Keys::Two(other) => vec![key, other],
        };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{base_url}{}", call.path))
            .header("accept", "application/json");
        for key in keys {
            request = request.header("x-api-key", key);
        }
        if let Some(content_type) = call.content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(call.body.clone()));
        request.map_err(|e| format!("{} {}: {e}", call.method, shown(&call.path)))
    }
}

impl Shared {
    /// Whether there is patience left for so many seconds, which is less then.
    fn waits(&self, seconds: u64) -> bool {
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let left = patience.checked_sub(Duration::from_secs(seconds));
        *patience = left.unwrap_or(*patience);
        left.is_some()
    }

    fn http(&self) -> Http {
        // Shorter than servers keep a connection that is not used, or a request would be sent into its closing.
        let idle = Some(Duration::from_secs(1));
        Http::over(self.tls.clone(), Version::HTTP_11, idle, self.timeout)
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a call made or deleted.
    fn note(&self, call: &Call, answer: Option<&Answer>) {
        if let Some(name) = &call.creates {
            let id = answer.filter(|answer| answer.status.is_success());
            let id = id.map(|answer| {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                body.get("client_id")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            });
            match (id, answer) {
                (Some(Some(id)), _) if !id.is_empty() => {
                    self.made().clients.insert(id);
                }
                (None, Some(answer)) if !answer.status.is_server_error() => {}
                // Whoever fails may have failed after the client was made.
                _ => {
                    let mut made = self.made();
                    made.unknown += 1;
                    if made.unanswered.len() < NAMES {
                        made.unanswered.push(name.chars().take(40).collect());
                    }
                }
            }
        }
        if let (Some(id), Some(answer)) = (&call.deletes, answer)
            && (answer.status.is_success() || answer.status == StatusCode::NOT_FOUND)
        {
            self.made().clients.remove(id);
        }
    }
}

/// A path as a line can hold it.
fn shown(path: &str) -> String {
    let mut shown = String::new();
    for c in path.chars().take(80) {
        let _ = write!(shown, "{}", c.escape_debug());
    }
    if path.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    if shown.is_empty() {
        shown.push_str("(the base URL)");
    }
    shown
}

/// What kept an answer from coming, and what to do about it.
pub(crate) fn explained(error: &str) -> String {
    let has = |text: &str| error.contains(text);
    let advice = if has("Connection refused") {
        "nobody listens there: start the bridge, or correct the URL"
    } else if has("dns error") || has("lookup") {
        "the host has no address: correct the URL, or the DNS; Konnect asks public DNS only"
    } else if has("UnknownIssuer") || has("self-signed") {
        "its certificate is of no CA that is trusted here, and Konnect trusts public CAs only; for a CA of your own give --ca-file"
    } else if has("NotValidForName") || has("certificate not valid for name") {
        "its certificate is for another host name, which Konnect refuses as well"
    } else if has("certificate") {
        "Konnect refuses such a certificate as well: replace it"
    } else if has("InvalidContentType") || has("corrupt message") {
        "it does not speak TLS there: is the URL to begin with http://, or is the port another?"
    } else if has("no answer within") {
        "Konnect gives up as well: find what is slow, or make sure that the address can be reached from here"
    } else {
        "it hung up, or what it said is no HTTP: see its log"
    };
    format!("{error}; {advice}")
}
