//! What stands between a connector and its IdP: it sees every exchange, writes them down, and spoils one when told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::http::{Answer, Http, PATIENCE};
use crate::mishap::{Body, Mishap, half, hung_up, is_of_one_connection, respond};

/// One exchange that went by.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// Path and query as they were on the wire.
    pub target: String,
    /// The request's headers.
    pub request_headers: HeaderMap,
    /// The request's body.
    pub request_body: Bytes,
    /// What the IdP answered; `None` when it was not asked or did not answer.
    pub answer: Option<Answer>,
}

/// A reverse proxy on loopback. Its tasks and connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Keeps the address while nobody listens there.
    _reserved: TcpSocket,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    target: String,
    http: Http,
    seen: Mutex<Vec<Exchange>>,
    mishaps: Mutex<VecDeque<(Method, String, Mishap)>>,
    held: watch::Sender<usize>,
    recording: Option<Mutex<File>>,
}

impl Proxy {
    /// Stands before the server at a URL (scheme, host and port).
    #[must_use]
    pub fn before(target: &str) -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), target, None)
    }

    /// Stands before a server and writes every exchange to a file, one JSON object a line (`method`, `url`,
    /// `request_headers`, `request_body`, `status`, `response_headers`, `response_body`). The file holds secrets.
    #[must_use]
    pub fn recording(target: &str, file: &Path) -> Self {
        Self::recording_at(SocketAddr::from(([127, 0, 0, 1], 0)), target, file)
    }

    /// The same at an address that the server has been told is its own.
    #[must_use]
    pub fn recording_at(address: SocketAddr, target: &str, file: &Path) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(file)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
        Self::start(address, target, Some(Mutex::new(file)))
    }

    fn start(address: SocketAddr, target: &str, recording: Option<Mutex<File>>) -> Self {
        let reserved = bound(address);
        let address = reserved
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(State {
            target: target.trim_end_matches('/').to_owned(),
            http: Http::new(),
            seen: Mutex::default(),
            mishaps: Mutex::default(),
            held: watch::Sender::new(0),
            recording,
        });
        let server = listen(address, &state);
        Self {
            address,
            _reserved: reserved,
            state,
            server,
        }
    }

    /// Cuts every connection and refuses new ones: the IdP is dead. Its address stays its own.
    pub async fn stop(&mut self) {
        self.server.abort();
        // An aborted task has dropped its listener when it is joined.
        let _ = (&mut self.server).await;
    }

    /// The IdP lives again, at the same address.
    pub fn resume(&mut self) {
        self.server = listen(self.address, &self.state);
    }

    /// Waits until this many answers have been held back ([`Mishap::held`]).
    #[track_caller]
    pub fn held(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let place = std::panic::Location::caller();
        let mut held = self.state.held.subscribe();
        async move {
            let enough = timeout(PATIENCE, held.wait_for(|held| *held >= count)).await;
            assert!(
                enough.is_ok(),
                "{place}: fewer than {count} answers were held back"
            );
        }
    }

    /// Where it is: what the connector is told is its IdP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that went by so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Exchange> {
        lock(&self.state.seen).clone()
    }

    /// How many exchanges went by so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state.seen).len()
    }

    /// Spoils the next exchange of this method whose path holds this text; further ones wait in line.
    pub fn spoil(&self, method: Method, path: &str, mishap: Mishap) {
        lock(&self.state.mishaps).push_back((method, path.to_owned(), mishap));
    }

    /// Whether every mishap has happened.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        lock(&self.state.mishaps).is_empty()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A socket that several may bind, so that an address outlives its listener.
fn bound(address: SocketAddr) -> TcpSocket {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        Ok::<_, io::Error>(socket)
    };
    bind().unwrap_or_else(|e| panic!("cannot bind {address}: {e}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the task ends with what holds it"
)]
fn listen(address: SocketAddr, state: &Arc<State>) -> JoinHandle<()> {
    let listener = bound(address)
        .listen(1024)
        .unwrap_or_else(|e| panic!("cannot listen at {address}: {e}"));
    tokio::spawn(serve(listener, Arc::clone(state)))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        let service = service_fn(move |request| forward(request, Arc::clone(&state)));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::new(hung_up()));
    };
    let mut exchange = Exchange {
        target: head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned(),
        method: head.method,
        request_headers: head.headers,
        request_body: body.to_bytes(),
        answer: None,
    };
    let mishap = state.mishap(&exchange);
    if let Some(Mishap::Instead(status, headers, body)) = mishap {
        state.note(exchange);
        return Ok(respond(Answer {
            status,
            headers,
            body,
        }));
    }
    let Some(answer) = state.ask(&exchange).await else {
        state.note(exchange);
        return Ok(Response::new(hung_up()));
    };
    exchange.answer = Some(answer.clone());
    state.note(exchange);
    Ok(match mishap {
        None | Some(Mishap::Instead(..)) => respond(answer),
        Some(Mishap::AfterCommit(status, headers, body)) => respond(Answer {
            status,
            headers,
            body,
        }),
        Some(Mishap::HalfAnAnswer) => half(&answer),
        Some(Mishap::Silence) => std::future::pending().await,
        Some(Mishap::Held(mut is_open)) => {
            state.held.send_modify(|held| *held += 1);
            let _ = is_open.wait_for(|is_open| *is_open).await;
            respond(answer)
        }
        Some(Mishap::Member(name, value)) => {
            let mut body = answer.json();
            crate::konnect::merge(&mut body, &json!({ name: value }));
            respond(Answer {
                body: body.to_string().into(),
                ..answer
            })
        }
    })
}

impl State {
    fn mishap(&self, exchange: &Exchange) -> Option<Mishap> {
        let mut mishaps = lock(&self.mishaps);
        let hit = |(method, path, _): &(Method, String, Mishap)| {
            *method == exchange.method && exchange.target.contains(path.as_str())
        };
        let place = mishaps.iter().position(hit)?;
        mishaps.remove(place).map(|(_, _, mishap)| mishap)
    }

    async fn ask(&self, exchange: &Exchange) -> Option<Answer> {
        let mut request = Request::builder()
            .method(exchange.method.clone())
            .uri(format!("{}{}", self.target, exchange.target));
        // The Host header stays: an IdP derives its issuer and its links from it.
        for (name, value) in &exchange.request_headers {
            if !is_of_one_connection(name.as_str()) {
                request = request.header(name, value);
            }
        }
        let request = request
            .body(Full::new(exchange.request_body.clone()))
            .ok()?;
        self.http.send(request).await.ok()
    }

    fn note(&self, exchange: Exchange) {
        if let (Some(file), Some(answer)) = (&self.recording, &exchange.answer) {
            let line = format!("{}\n", self.line(&exchange, answer));
            lock(file)
                .write_all(line.as_bytes())
                .expect("the disk has room");
        }
        lock(&self.seen).push(exchange);
    }

    fn line(&self, exchange: &Exchange, answer: &Answer) -> Value {
        let text = |body: &Bytes| {
            let text = String::from_utf8_lossy(body).into_owned();
            if text.is_empty() {
                Value::Null
            } else {
                text.into()
            }
        };
        json!({
            "method": exchange.method.as_str(),
            "url": format!("{}{}", self.target, exchange.target),
            "request_headers": headers(&exchange.request_headers),
            "request_body": text(&exchange.request_body),
            "status": answer.status.as_u16(),
            "response_headers": headers(&answer.headers),
            "response_body": text(&answer.body),
        })
    }
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value).into()))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
