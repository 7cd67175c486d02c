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
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Answer, Http};

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

/// What becomes of an exchange instead of what should.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// The IdP is not asked; this status, these headers and this body are the answer.
    Instead(StatusCode, HeaderMap, Bytes),
    /// The IdP does what it was asked, but its answer is lost and this one takes its place.
    AfterCommit(StatusCode, HeaderMap, Bytes),
    /// The IdP does it, and half of its answer arrives.
    HalfAnAnswer,
    /// The IdP does it, and its answer never arrives.
    Silence,
    /// The IdP does it, and one JSON member of its answer is another.
    Member(&'static str, Value),
}

/// A reverse proxy on loopback. Its tasks and connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    target: String,
    http: Http,
    seen: Mutex<Vec<Exchange>>,
    mishaps: Mutex<VecDeque<(Method, String, Mishap)>>,
    recording: Option<Mutex<File>>,
}

type Body = BoxBody<Bytes, io::Error>;

impl Proxy {
    /// Stands before the server at a URL (scheme, host and port).
    pub async fn before(target: &str) -> Self {
        Self::start(target, None).await
    }

    /// Stands before a server and writes every exchange to a file, one JSON object a line (`method`, `url`,
    /// `request_headers`, `request_body`, `status`, `response_headers`, `response_body`). The file holds secrets.
    pub async fn recording(target: &str, file: &Path) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(file)
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
        Self::start(target, Some(Mutex::new(file))).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    async fn start(target: &str, recording: Option<Mutex<File>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(State {
            target: target.trim_end_matches('/').to_owned(),
            http: Http::new(),
            seen: Mutex::default(),
            mishaps: Mutex::default(),
            recording,
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            server,
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

fn is_of_one_connection(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "transfer-encoding" | "content-length" | "te" | "upgrade"
    )
}

fn respond(answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body)
        .map_err(|never| match never {})
        .boxed();
    with_head(answer.status, &answer.headers, body)
}

/// The head of an answer, half of its body, and then nothing.
fn half(answer: &Answer) -> Response<Body> {
    let half = answer.body.slice(..answer.body.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(io::Error::other("enough"))];
    let body = StreamBody::new(tokio_stream::iter(frames)).boxed();
    let mut response = with_head(answer.status, &answer.headers, body);
    response
        .headers_mut()
        .insert("content-length", answer.body.len().into());
    response
}

/// A body that fails at once, which closes the connection.
fn hung_up() -> Body {
    StreamBody::new(tokio_stream::iter([Err(io::Error::other(
        "the IdP hung up",
    ))]))
    .boxed()
}

fn with_head(status: StatusCode, headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if !is_of_one_connection(name.as_str()) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
