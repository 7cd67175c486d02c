//! Connections: one accept loop for HTTP and gRPC.
//!
//! `axum::serve` has no limit on how long a request's head may take, and tonic's own server waits for ever, also at
//! its graceful end, for a peer that says nothing. Here one rule covers both: a connection without a request in
//! flight is closed after a while, and soon when the process stops. (axum#2741; hyper#4170)
//!
//! Connections that have not sent a whole head are few for each peer, see [`headless`](crate::headless).
//!
//! Quiet is whoever has no request in flight. The time for the first whole request head begins with the connection: a
//! TLS handshake takes its own 5 s out of it, and whoever is still shaking hands then, or when the process stops, is
//! cut. A connection has its slot from the moment it is accepted.

use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Response;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Version, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::framing::{Framing, Watched};
use crate::headless::{Headless, Place};
use crate::http::{AmbiguousLength, HangUp, Limits};
use crate::jitter::jittered;
use crate::tls::ServerIdentity;

/// How long a connection that has been asked to close may go on without a request in flight.
const LINGER: Duration = Duration::from_millis(500);
/// How long to wait when the system has no socket to give (EMFILE, ENFILE, ENOBUFS).
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Accepts until `stop`, then answers what is in flight, at most for `limits.drain`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: Option<Arc<ServerIdentity>>,
    builder: impl Fn(Tracked) -> auto::Builder<Tracked>,
    stop: impl Future<Output = ()>,
) {
    let connections = TaskTracker::new();
    let mut builder = builder(Tracked(connections.clone()));
    configure(&mut builder, &limits);
    let shared = Arc::new(Shared {
        builder,
        router,
        headless: Arc::new(Headless::new(limits.headless_per_peer)),
        limits,
        tls,
        stopping: CancellationToken::new(),
        cut: CancellationToken::new(),
    });
    let slots = Arc::new(Semaphore::new(shared.limits.connections));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        if let Some((stream, peer, slot)) = accepted {
            connections.spawn(Arc::clone(&shared).connection(stream, peer, slot));
        }
    }
    drop(listener);
    shared.stopping.cancel();
    connections.close();
    if tokio::time::timeout(shared.limits.drain, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            left = slots_taken(&slots, &shared.limits),
            "requests were not answered in time; their connections are cut"
        );
        shared.cut.cancel();
        connections.wait().await;
    }
}

fn slots_taken(slots: &Semaphore, limits: &Limits) -> usize {
    limits.connections.saturating_sub(slots.available_permits())
}

/// The next connection, once there is a slot for it: peers beyond the cap wait in the system's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) if is_the_peers(error.kind()) => None,
        Err(error) => {
            tracing::error!(%error, "cannot accept connections for now; is the limit of open files too low?");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Errors of the one connection that was to be accepted, not of the listener.
fn is_the_peers(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

fn configure(builder: &mut auto::Builder<Tracked>, limits: &Limits) {
    builder
        .http1()
        .timer(TokioTimer::new())
        // Its one timeout is for the head of a request and for the pause between two requests alike; see `quiet`.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.streams)
        // What a peer may send before anybody reads it. Requests are small, and connections many.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
}

/// Runs what hyper spawns (the handlers of HTTP/2 streams) among the connections, so that the end waits for it.
#[derive(Clone, Debug)]
pub(crate) struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

struct Shared {
    builder: auto::Builder<Tracked>,
    router: Router,
    headless: Arc<Headless>,
    limits: Limits,
    /// None is plain text.
    tls: Option<Arc<ServerIdentity>>,
    stopping: CancellationToken,
    cut: CancellationToken,
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _slot: OwnedSemaphorePermit,
    ) {
        let head = Instant::now() + self.limits.header_read;
        if stream.set_nodelay(true).is_err() {
            return; // the peer has gone
        }
        let place = self.headless.admit(peer.ip());
        match &self.tls {
            None => self.requests(stream, peer, place, head).await,
            Some(identity) => {
                if let Some(stream) = self.handshake(identity, stream, peer, &place).await {
                    self.requests(stream, peer, place, head).await;
                }
            }
        }
    }

    async fn handshake(
        &self,
        identity: &ServerIdentity,
        stream: TcpStream,
        peer: SocketAddr,
        place: &Place,
    ) -> Option<TlsStream<TcpStream>> {
        let limit = self.limits.handshake.min(self.limits.header_read);
        let handshake = TlsAcceptor::from(identity.current()).accept(stream);
        tokio::select! {
            shaken = tokio::time::timeout(limit, handshake) => match shaken {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => log_handshake(peer, &error),
                Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
            },
            () = place.crowded_out() => {}
            () = self.stopping.cancelled() => {}
        }
        None
    }

    /// Answers the requests of a connection whose first one must have its head before `head`.
    async fn requests<S>(&self, stream: S, peer: SocketAddr, place: Place, head: Instant)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (activity, mut watched) = watch::channel(Activity::default());
        let activity = Arc::new(activity);
        let framing = Arc::new(Framing::default());
        let may_be_http1 = self.builder.is_http1_available();
        let stream = Watched::new(stream, may_be_http1.then(|| Arc::clone(&framing)));
        let hang_up = CancellationToken::new();
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if framing.is_ambiguous(&request) {
                request.extensions_mut().insert(AmbiguousLength);
            }
            let version = request.version();
            let in_flight = InFlight::begin(&activity, version);
            let answer = self.router.clone().call(request);
            let (hang_up, stopping) = (hang_up.clone(), self.stopping.clone());
            async move {
                let mut answer: Result<Response<Body>, Infallible> = answer.await;
                if let Ok(answer) = &mut answer
                    && (answer.extensions_mut().remove::<HangUp>().is_some()
                        || stopping.is_cancelled())
                {
                    close_after(answer, version, &hang_up);
                }
                drop(in_flight);
                answer
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut begun = watched.clone();
        let crowded_out = async {
            let head = async { drop(begun.wait_for(|now| now.begun).await) };
            tokio::select! {
                () = place.crowded_out() => return,
                () = head => {}
            }
            drop(place);
            std::future::pending::<()>().await;
        };

        let limits = &self.limits;
        // Always the connection first: a request that has arrived is read before anybody judges that there is none.
        tokio::select! {
            biased;
            ended = &mut connection => return log_end(peer, ended),
            () = quiet(&mut watched, head, limits.idle) => {}
            () = aged(limits.max_age) => {}
            () = hang_up.cancelled() => {}
            () = crowded_out => return,
            () = self.stopping.cancelled() => {}
        }
        // HTTP/1 can tell only in an answer that it is the last. To close now would cut a request that is on its way:
        // whoever asks within a moment is answered and told, and whoever does not is idle.
        if self.stopping.is_cancelled() && watched.borrow().is_http1 {
            tokio::select! {
                biased;
                ended = &mut connection => return log_end(peer, ended),
                () = quiet(&mut watched, Instant::now() + LINGER, LINGER) => {}
                () = self.cut.cancelled() => return,
            }
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            ended = connection => log_end(peer, ended),
            () = quiet(&mut watched, Instant::now() + LINGER, LINGER) => {}
            () = self.cut.cancelled() => {}
        }
    }
}

/// Lets this answer be the connection's last.
fn close_after(answer: &mut Response<Body>, version: Version, hang_up: &CancellationToken) {
    if version < Version::HTTP_2 {
        let close = header::HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    } else {
        // HTTP/2 tells it by GOAWAY.
        hang_up.cancel();
    }
}

fn log_end(peer: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended");
    }
}

/// What concerns a certificate is an operator's affair; the rest is strangers' noise.
fn log_handshake(peer: SocketAddr, error: &std::io::Error) {
    use rustls::Error::{AlertReceived, NoCertificatesPresented};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(AlertReceived(alert)) => {
            tracing::warn!(%peer, ?alert, "the other side refuses our certificate or TLS");
        }
        Some(NoCertificatesPresented) => {
            tracing::warn!(%peer, "the other side shows no certificate, and is refused");
        }
        // The verifier has told of a certificate that it refused.
        _ => tracing::debug!(%peer, %error, "no TLS handshake"),
    }
}

/// Ends when the connection has had no request by `first`, or no request in flight for `later` since its last answer.
async fn quiet(activity: &mut watch::Receiver<Activity>, first: Instant, later: Duration) {
    loop {
        let now = *activity.borrow_and_update();
        let changed = activity.changed();
        if now.in_flight > 0 {
            // The sender lives as long as the connection.
            let _closed = changed.await;
            continue;
        }
        let limit = if now.begun {
            Instant::now() + later
        } else {
            first
        };
        if tokio::time::timeout_at(limit, changed).await.is_err() {
            return;
        }
    }
}

async fn aged(max_age: Option<Duration>) {
    match max_age {
        Some(age) => tokio::time::sleep(jittered(age)).await,
        None => std::future::pending().await,
    }
}

#[derive(Clone, Copy, Default)]
struct Activity {
    in_flight: usize,
    begun: bool,
    is_http1: bool,
}

/// One request in flight, until dropped: a peer that goes away drops its handler.
struct InFlight(Arc<watch::Sender<Activity>>);

impl InFlight {
    fn begin(activity: &Arc<watch::Sender<Activity>>, version: Version) -> Self {
        activity.send_modify(|now| {
            now.in_flight = now.in_flight.saturating_add(1);
            now.begun = true;
            now.is_http1 = version < Version::HTTP_2;
        });
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0
            .send_modify(|now| now.in_flight = now.in_flight.saturating_sub(1));
    }
}
