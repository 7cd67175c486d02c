//! The one address of the connector's replicas, as a Kubernetes Service is one: each connection goes to one of them.
//! Loses, cuts and doubles single requests on the way. It ends the TLS of both sides, with certificates of its own, and
//! asks as much of theirs as any host does.

mod whole;

use std::error::Error;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::net::sockopt::set_socket_linger;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::befell::Befell;
use crate::certificates::Certificates;
use crate::names::Names;
use crate::passed::Log;
use crate::plan::{ConnectorHop, Levels};
use crate::replica::{Replica, Sender};
use crate::world::Options;
use whole::{Whole, again, whole};

type Body = BoxBody<Bytes, hyper::Error>;
/// The calls that make something anew each time that they are made.
const CREATING: [&str; 3] = ["CreateClient", "RotateClientSecret", "AddClientSecret"];

/// Whoever handed on the good answer of the two would have delivered what the other replica is about to undo.
const HALF_KNOWN: &str = "between gateway and connector: sent twice, to both replicas; one made it, one does not know and undoes it";

/// What came of the requests that got through twice.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resent {
    /// How many there were.
    pub(crate) count: usize,
    /// How many of them succeeded twice at one replica.
    pub(crate) succeeded_twice: usize,
    /// How many succeeded at both: the IdP refuses the second while it has the first, which was gone by then.
    pub(crate) done_by_both: usize,
    /// How often one of the two was refused with ALREADY_EXISTS.
    pub(crate) conflicts: usize,
}

#[derive(Debug)]
pub(crate) struct Balancer {
    replicas: Vec<Arc<Replica>>,
    next: AtomicUsize,
    certificates: Arc<Certificates>,
    seed: u64,
    levels: Levels,
    /// Those of all balancers: a story may ask another's.
    names: Arc<Mutex<Names>>,
    befell: Arc<Befell>,
    resent: Mutex<Resent>,
    pub(crate) log: Log,
    calm: AtomicBool,
    tasks: TaskTracker,
}

/// A connection from a gateway, and the one to a replica that it goes on as.
struct Link {
    replica: Arc<Replica>,
    sender: Sender,
    cut: Notify,
    /// The same socket once more: whoever closes the other may be told how.
    socket: OwnedFd,
}

impl Balancer {
    pub(crate) fn new(
        replicas: Vec<Arc<Replica>>,
        certificates: Arc<Certificates>,
        befell: Arc<Befell>,
        names: Arc<Mutex<Names>>,
        Options { seed, levels, .. }: &Options,
    ) -> Self {
        Self {
            replicas,
            next: AtomicUsize::new(0),
            certificates,
            seed: *seed,
            levels: *levels,
            names,
            befell,
            resent: Mutex::default(),
            log: Log::default(),
            calm: AtomicBool::new(false),
            tasks: TaskTracker::new(),
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
    async fn replica(&self) -> Option<(&Arc<Replica>, TcpStream)> {
        for _ in &self.replicas {
            let next = self.next.fetch_add(1, Ordering::SeqCst) % self.replicas.len();
            let replica = self.replicas.get(next)?;
            if let Some(stream) = replica.connect().await {
                return Some((replica, stream));
            }
        }
        None
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let Some((replica, upstream)) = self.replica().await else {
            return;
        };
        let Some((sender, upstream)) = replica.greet(upstream, &self.certificates).await else {
            return;
        };
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
            return;
        };
        let acceptor = TlsAcceptor::from(self.certificates.between().as_connector);
        let stream = match acceptor.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => return replica.judge(&error),
        };
        let link = Arc::new(Link {
            replica: Arc::clone(replica),
            sender,
            cut: Notify::new(),
            socket,
        });
        let service = service_fn(|request| {
            let (balancer, link) = (Arc::clone(&self), Arc::clone(&link));
            balancer.forward(request, link)
        });
        let downstream = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        // Whichever ends first ends the other: both are dropped here.
        let ended = tokio::select! {
            ended = upstream => ended,
            ended = downstream => ended,
            () = link.cut.notified() => Ok(()),
        };
        if let Err(error) = ended {
            replica.judge(&error);
        }
    }

    async fn forward(
        self: Arc<Self>,
        request: Request<Incoming>,
        link: Arc<Link>,
    ) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let rpc = head.uri.path().rsplit('/').next().unwrap_or_default();
        let hop = self.hop(rpc, &body);
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = head.uri.clone();
            *request.headers_mut() = head.headers.clone();
            request
        };
        // Asks a connector, and notes what it was asked and what it said.
        let came = |by: usize| self.log.came(head.uri.path(), &body, by);
        let ask = async |mut sender: Sender, number: Option<usize>| {
            link.replica.through().await;
            let _until_cut = self.log.through(number);
            let answer = whole(sender.send_request(request()).await?).await?;
            self.log
                .answered(number, &answer.grpc_status(), &answer.body);
            link.replica.through().await;
            Ok::<_, hyper::Error>((number, answer))
        };
        let hand_on = |(number, answer)| {
            self.log.heard(number);
            Ok(again(answer))
        };
        let (sender, by) = (link.sender.clone(), link.replica.number);
        let number = came(by);
        match hop {
            ConnectorHop::Whole => return hand_on(ask(sender, number).await?),
            ConnectorHop::CutBefore => link.cut.notify_one(),
            ConnectorHop::Reset => {
                let _ = set_socket_linger(&link.socket, Some(Duration::ZERO));
                link.cut.notify_one();
            }
            ConnectorHop::CutAfter => {
                let _ = ask(sender, number).await?;
                link.cut.notify_one();
            }
            ConnectorHop::Swallowed => {}
            ConnectorHop::LostAnswer => {
                let _ = ask(sender, number).await?;
            }
            ConnectorHop::Twice { second, other } => {
                let (twin, its_number) = self.twin(&link, other).await;
                let later = async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    ask(twin, came(its_number)).await
                };
                let (one, two) = tokio::join!(ask(sender, number), later);
                let (one, two) = (one?, two?);
                self.befell(hop);
                if CREATING.contains(&rpc) {
                    self.count(&[&one.1, &two.1], its_number == by);
                    if Whole::is_half_known(&one.1, &two.1) {
                        self.befell.add(HALF_KNOWN.to_owned());
                    }
                }
                let takes_two = Whole::is_second(&one.1, &two.1, second);
                return hand_on(if takes_two { two } else { one });
            }
        }
        self.befell(hop);
        // Until the caller gives up.
        std::future::pending().await
    }

    /// Who gets a request the second time: another replica, where there is one that lives.
    async fn twin(&self, link: &Link, other: bool) -> (Sender, usize) {
        let is_other = |replica: &&Arc<Replica>| replica.number != link.replica.number;
        let replica = self.replicas.iter().find(is_other).filter(|_| other);
        if let Some(replica) = replica
            && let Some(stream) = replica.connect().await
            && let Some((sender, upstream)) = replica.greet(stream, &self.certificates).await
        {
            self.tasks.spawn(upstream);
            return (sender, replica.number);
        }
        (link.sender.clone(), link.replica.number)
    }

    fn hop(&self, rpc: &str, body: &[u8]) -> ConnectorHop {
        // One message, uncompressed (gRPC over HTTP/2, Length-Prefixed-Message).
        let message = body.get(5..).unwrap_or_default();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names.of(rpc, message);
        drop(names);
        if self.calm.load(Ordering::SeqCst) {
            return ConnectorHop::Whole;
        }
        ConnectorHop::draw(self.seed, self.levels, &name, rpc)
    }

    /// Counts what has befallen a request.
    fn befell(&self, hop: ConnectorHop) {
        if let Some(what) = hop.mishap() {
            self.befell
                .add(format!("between gateway and connector: {what}"));
        }
    }

    fn count(&self, answers: &[&Whole], by_one: bool) {
        let statuses: Vec<_> = answers.iter().map(|answer| answer.grpc_status()).collect();
        let how_many = |status: &str| statuses.iter().filter(|s| s.as_str() == status).count();
        let mut resent = self.resent.lock().unwrap_or_else(PoisonError::into_inner);
        resent.count += 1;
        let twice = how_many("0") == 2;
        resent.succeeded_twice += usize::from(twice && by_one);
        resent.done_by_both += usize::from(twice && !by_one);
        resent.conflicts += how_many("6");
    }
}
