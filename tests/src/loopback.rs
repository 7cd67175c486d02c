//! Sockets on this machine alone.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// A listener on a port that nobody else has, and where it is.
pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    (listener, address)
}
