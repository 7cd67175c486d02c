//! An HTTP server for a router: HTTP/1.1 and HTTP/2 on one port, by ALPN over TLS, with prior knowledge without.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::connection;
use crate::shutdown::Shutdown;
use crate::tls::ServerIdentity;

/// What a peer may take. Limits on bodies and on the time of a whole request are the router's.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; more wait in the system's queue until one ends. Default 1,024.
    pub connections: usize,
    /// Connections of one peer (an IPv6 peer is a /64) that have not sent a whole request head; of more, the oldest are
    /// closed after a second. Default 64.
    pub headless_per_peer: usize,
    /// From the connection to its first whole request head, however it dribbles. Default 5 s.
    pub header_read: Duration,
    /// For a TLS handshake; part of `header_read`. Default 5 s.
    pub handshake: Duration,
    /// From an answer to the next whole request head on the same connection. Default 75 s: longer than the 60 s after
    /// which common load balancers drop an idle connection, so that they do it first and no request meets a closing
    /// socket.
    pub idle: Duration,
    /// Age at which a connection is closed gracefully, less up to a tenth at random. Default none.
    pub max_age: Option<Duration>,
    /// Bytes of a request head. Default 16 KiB.
    pub head_bytes: usize,
    /// Requests at once on one HTTP/2 connection. Default 100.
    pub streams: u32,
    /// Between the pings on a silent HTTP/2 connection. Default 30 s.
    pub ping_interval: Duration,
    /// For the answer to a ping, else the connection is closed. Default 10 s.
    pub ping_timeout: Duration,
    /// How long an idle HTTP/1.1 connection may bring one more request once the process stops, whose answer tells that it
    /// is the last: whoever asks more often than that meets no closing socket. Default 5 s.
    pub last_request: Duration,
    /// For the requests in flight once the process stops; then their connections are cut. Default 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            headless_per_peer: 64,
            header_read: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            max_age: None,
            head_bytes: 16 * 1024,
            streams: 100,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(10),
            last_request: Duration::from_secs(5),
            drain: Duration::from_secs(10),
        }
    }
}

/// Put into a response's extensions, makes it the last of its connection: for peers that were not let in, and need not
/// be kept.
#[derive(Clone, Copy, Debug)]
pub struct HangUp;

/// Found in a request's extensions when its length was told in two ways: by `Transfer-Encoding`, and by a
/// `Content-Length` that hyper has already taken out of the head. Whoever stands before us may have believed the other
/// (request smuggling, RFC 9112 section 11.2).
#[derive(Clone, Copy, Debug)]
pub struct AmbiguousLength;

/// Whom an address belongs to: an IPv6 peer has a whole /64 to choose from.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Serves `router` until the process stops, then answers what is in flight, at most for `limits.drain`.
///
/// Without `tls` the text is plain. A handler finds the peer's address as `ConnectInfo<SocketAddr>`. Ends when the last connection has ended; an error
/// in accepting a connection is logged and outlived.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: Option<Arc<ServerIdentity>>,
    shutdown: &Shutdown,
) {
    let stop = shutdown.stopping();
    connection::serve(listener, router, limits, tls, auto::Builder::new, stop).await;
}
