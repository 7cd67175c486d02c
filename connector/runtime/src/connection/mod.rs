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

mod activity;
mod peer;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::rt::Executor;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::headless::Headless;
use crate::http::Limits;
use crate::rate::Gate;
use crate::tls::ServerIdentity;

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
        told: Gate::default(),
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
    /// Handshakes that failed for what an operator should know.
    told: Gate,
    stopping: CancellationToken,
    cut: CancellationToken,
}
