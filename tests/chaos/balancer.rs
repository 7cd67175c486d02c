//! The one address of the connector's replicas, as a Kubernetes Service is one: each connection goes to one of them.
//! Loses, cuts and doubles single requests on the way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::passed::Log;
use crate::plan::{ConnectorHop, Levels};

type Body = BoxBody<Bytes, hyper::Error>;
type Sender = SendRequest<Full<Bytes>>;

/// What came of the requests that got through twice.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resent {
    /// How many there were.
    pub(crate) count: usize,
    /// How many of them succeeded twice.
    pub(crate) succeeded_twice: usize,
    /// How often one of the two was refused with ALREADY_EXISTS.
    pub(crate) conflicts: usize,
}

#[derive(Debug)]
pub(crate) struct Balancer {
    replicas: Vec<SocketAddr>,
    next: AtomicUsize,
    requests: AtomicUsize,
    seed: u64,
    levels: Levels,
    resent: Mutex<Resent>,
    pub(crate) log: Log,
    calm: AtomicBool,
}

impl Balancer {
    pub(crate) fn new(replicas: Vec<SocketAddr>, seed: u64, levels: Levels) -> Self {
        Self {
            replicas,
            next: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            seed,
            levels,
            resent: Mutex::default(),
            log: Log::default(),
            calm: AtomicBool::new(false),
        }
    }

    pub(crate) fn resent(&self) -> Resent {
        *self.resent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            connections.spawn(Arc::clone(&self).connection(stream));
            while connections.try_join_next().is_some() {}
        }
    }

    /// A connection to the next replica that lives; there is none for a while when all were killed.
    async fn replica(&self) -> Option<(usize, TcpStream)> {
        for _ in &self.replicas {
            let next = self.next.fetch_add(1, Ordering::SeqCst) % self.replicas.len();
            let replica = self.replicas.get(next)?;
            if let Ok(stream) = TcpStream::connect(replica).await {
                let _ = stream.set_nodelay(true);
                return Some((next, stream));
            }
        }
        None
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let Some((number, replica)) = self.replica().await else {
            return;
        };
        let io = TokioIo::new(replica);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let Ok((sender, upstream)) = handshake.await else {
            return;
        };
        let cut = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let (balancer, sender, cut) = (Arc::clone(&self), sender.clone(), Arc::clone(&cut));
            balancer.forward(request, number, sender, cut)
        });
        let downstream = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        // Whichever ends first ends the other: both are dropped here.
        tokio::select! {
            _ = upstream => {}
            _ = downstream => {}
            () = cut.notified() => {}
        }
    }

    async fn forward(
        self: Arc<Self>,
        request: Request<Incoming>,
        replica: usize,
        sender: Sender,
        cut: Arc<Notify>,
    ) -> Result<Response<Body>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let hop = self.hop(head.uri.path(), &body);
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = head.uri.clone();
            *request.headers_mut() = head.headers.clone();
            request
        };
        // Asks the connector, and notes what it was asked and what it said.
        let ask = async |mut sender: Sender| {
            let number = self.log.asked(head.uri.path(), &body, replica);
            let answer = whole(sender.send_request(request()).await?).await?;
            self.log
                .answered(number, &answer.grpc_status(), &answer.body);
            Ok::<_, hyper::Error>((number, answer))
        };
        let hand_on = |(number, answer)| {
            self.log.heard(number);
            Ok(again(answer))
        };
        match hop {
            ConnectorHop::Whole => return hand_on(ask(sender).await?),
            ConnectorHop::CutBefore => cut.notify_one(),
            ConnectorHop::CutAfter => {
                let _ = ask(sender).await?;
                cut.notify_one();
            }
            ConnectorHop::Swallowed => {}
            ConnectorHop::LostAnswer => {
                let _ = ask(sender).await?;
            }
            ConnectorHop::Twice { second } => {
                let later = async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    ask(sender.clone()).await
                };
                let (one, two) = tokio::join!(ask(sender.clone()), later);
                let (one, two) = (one?, two?);
                self.count(&[&one.1, &two.1]);
                return hand_on(if second { two } else { one });
            }
        }
        // Until the caller gives up.
        std::future::pending().await
    }

    fn hop(&self, path: &str, body: &[u8]) -> ConnectorHop {
        if self.calm.load(Ordering::SeqCst) {
            return ConnectorHop::Whole;
        }
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let creates = path.ends_with("/CreateClient");
        // A create is known by the name of its client, which stands in the message as it is.
        let name = creates.then(|| {
            let begin = body.windows(6).position(|text| text == b"chaos-")?;
            std::str::from_utf8(body.get(begin..begin + 12)?).ok()
        });
        let key = match name.flatten() {
            Some(name) => name.to_owned(),
            None => format!("{path}/{number}"),
        };
        let never_twice = ["/CreateClient", "/RotateClientSecret", "/AddClientSecret"];
        let never_twice = never_twice.iter().any(|rpc| path.ends_with(rpc));
        ConnectorHop::draw(self.seed, self.levels, &key, never_twice)
    }

    fn count(&self, answers: &[&Whole]) {
        let statuses: Vec<_> = answers.iter().map(|answer| answer.grpc_status()).collect();
        let how_many = |status: &str| statuses.iter().filter(|s| s.as_str() == status).count();
        let mut resent = self.resent.lock().unwrap_or_else(PoisonError::into_inner);
        resent.count += 1;
        resent.succeeded_twice += usize::from(how_many("0") == 2);
        resent.conflicts += how_many("6");
    }
}

/// An answer that was read to its end.
struct Whole {
    head: http::response::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Whole {
    fn grpc_status(&self) -> String {
        let trailers = self.trailers.as_ref().unwrap_or(&self.head.headers);
        let status = trailers.get("grpc-status").and_then(|v| v.to_str().ok());
        status.unwrap_or_default().to_owned()
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Whole, hyper::Error> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(Whole {
        head,
        body: body.to_bytes(),
        trailers,
    })
}

fn again(answer: Whole) -> Response<Body> {
    let data = (!answer.body.is_empty()).then(|| Ok(Frame::data(answer.body)));
    let trailers = answer
        .trailers
        .map(|trailers| Ok(Frame::trailers(trailers)));
    let frames: Vec<_> = data.into_iter().chain(trailers).collect();
    let body = StreamBody::new(tokio_stream::iter(frames));
    Response::from_parts(answer.head, BoxBody::new(body))
}
