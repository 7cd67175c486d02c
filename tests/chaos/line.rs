//! The line between Konnect and a gateway: it loses, cuts and doubles, and keeps what a gateway has answered whole and
//! Konnect never got.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dcr_tests::http::Answer;
use dcr_tests::raw::parse;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::certificates::Certificates;
use crate::journal::now;
use crate::plan::KonnectHop;

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// How long Konnect waits (the reference's host stops at 10 s).
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the line listens for what a gateway still says when Konnect has gone.
const LINGER: Duration = Duration::from_secs(15);

/// A client or secret in an answer that left a gateway whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) client_id: String,
    pub(crate) secret_id: Option<String>,
    pub(crate) why: &'static str,
    /// When it was read (microseconds since 1970).
    pub(crate) at: u64,
    /// When Konnect had gone and its gateway was told so, if it was (microseconds since 1970).
    pub(crate) gone: Option<u64>,
}

/// What Konnect hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The whole answer, and when the request had left (microseconds since 1970).
    Answer(Answer, u64),
    /// Nothing, or not all of it.
    Nothing,
    /// No gateway took the request.
    Unreached,
}

/// The line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    certificates: Arc<Certificates>,
    lost: Arc<Mutex<Vec<Lost>>>,
    tasks: TaskTracker,
}

impl Line {
    pub(crate) fn new(certificates: Arc<Certificates>) -> Self {
        Self {
            certificates,
            lost: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The same line for requests that are none of Konnect's business: what an answer to one tells excuses nothing when it
    /// is lost.
    pub(crate) fn of_trespassers(&self) -> Self {
        Self {
            lost: Arc::default(),
            ..self.clone()
        }
    }

    /// A connection to a gateway, unless it is dead or dies.
    async fn dial(&self, gateway: SocketAddr) -> Option<Stream> {
        let stream = TcpStream::connect(gateway).await.ok()?;
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(self.certificates.between().konnect);
        let hands = connector.connect(ServerName::from(gateway.ip()), stream);
        match timeout(PATIENCE, hands).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(e)) => {
                let inner = e.get_ref();
                let refusal = inner.and_then(|e| e.downcast_ref::<rustls::Error>());
                assert!(refusal.is_none(), "a gateway's certificate is refused: {e}");
                None
            }
            Err(_) => None,
        }
    }

    /// Brings a request to a gateway, and its answer home, or not.
    pub(crate) async fn exchange(
        &self,
        gateway: SocketAddr,
        request: &[u8],
        hop: KonnectHop,
    ) -> Heard {
        let Some(mut stream) = self.dial(gateway).await else {
            return Heard::Unreached;
        };
        let patience = match hop {
            KonnectHop::Leaves(time) | KonnectHop::Reset(time) => time,
            KonnectHop::Swallowed => Duration::from_millis(200),
            _ => PATIENCE,
        };
        let deadline = Instant::now() + patience;
        match hop {
            KonnectHop::HalfARequest => {
                let _ = send(&mut stream, &request[..request.len() / 2]).await;
                return Heard::Nothing;
            }
            KonnectHop::Swallowed => {
                sleep(patience).await;
                return Heard::Nothing;
            }
            KonnectHop::Twice(after) => self.again(gateway, request.to_vec(), after),
            _ => {}
        }
        if send(&mut stream, request).await.is_err() {
            return Heard::Nothing;
        }
        let left = now();
        let mut read = Vec::new();
        match timeout_at(deadline, whole(&mut stream, &mut read)).await {
            Ok(Some(answer)) => match hop {
                KonnectHop::LostAnswer => self.lose(&answer, "the line lost it", None),
                KonnectHop::HalfAnAnswer => self.lose(&answer, "the line lost half of it", None),
                _ => return Heard::Answer(answer, left),
            },
            Ok(None) => {}
            Err(_) if matches!(hop, KonnectHop::Reset(_)) => {
                // Dropped without a word of TLS.
                let _ = stream.get_ref().0.set_zero_linger();
            }
            Err(_) => self.linger(stream, read),
        }
        Heard::Nothing
    }

    /// Konnect has gone, which the gateway is told; what it says nevertheless is lost.
    fn linger(&self, mut stream: Stream, mut read: Vec<u8>) {
        let line = self.clone();
        self.tasks.spawn(async move {
            let _ = stream.shutdown().await;
            let gone = now();
            let answer = timeout(LINGER, whole(&mut stream, &mut read)).await;
            if let Ok(Some(answer)) = answer {
                line.lose(&answer, "Konnect had gone", Some(gone));
            }
        });
    }

    /// Sends a request a second time; its answer goes nowhere.
    fn again(&self, gateway: SocketAddr, request: Vec<u8>, after: Duration) {
        let line = self.clone();
        self.tasks.spawn(async move {
            sleep(after).await;
            let Some(mut stream) = line.dial(gateway).await else {
                return;
            };
            if send(&mut stream, &request).await.is_ok() {
                let end = Instant::now() + LINGER;
                let mut read = Vec::new();
                if let Ok(Some(answer)) = timeout_at(end, whole(&mut stream, &mut read)).await {
                    line.lose(&answer, "the line had sent the request again", None);
                }
            }
        });
    }

    fn lose(&self, answer: &Answer, why: &'static str, gone: Option<u64>) {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |member| body.get(member).and_then(Value::as_str).map(str::to_owned);
        if let Some(client_id) = text("client_id") {
            let lost = Lost {
                client_id,
                secret_id: text("secret_id"),
                why,
                at: now(),
                gone,
            };
            self.lock().push(lost);
        }
    }

    /// All that was lost, once nothing is under way any more.
    pub(crate) async fn lost(&self) -> Vec<Lost> {
        self.tasks.close();
        self.tasks.wait().await;
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads until the answer is whole; nothing when the connection ends before.
async fn whole(stream: &mut Stream, read: &mut Vec<u8>) -> Option<Answer> {
    loop {
        if let Some(answer) = parse(read, false) {
            return Some(answer);
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
