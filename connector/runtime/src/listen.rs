//! Listening sockets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait for us; the system allows no more (`net.core.somaxconn`). Whoever finds no place tries again
/// after one second, then after two more, then four: a short queue would cost callers more than a long one.
const QUEUE: u32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({what}): {source}; {advice}")]
pub struct ListenError {
    what: &'static str,
    address: SocketAddr,
    advice: &'static str,
    source: io::Error,
}

/// Listens on `address`, and says so in the log. `what` is the member of the configuration that named the address.
/// Port 0 is any free port: ask the listener for it.
///
/// # Errors
/// When the address is in use, is not this machine's, or needs a privilege; the message says what to do.
#[expect(clippy::unused_async, reason = "a listener needs a runtime")]
pub async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = listen(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match bound {
        Ok((address, listener)) => {
            tracing::info!(%address, "listening ({what})");
            Ok(listener)
        }
        Err(source) => Err(ListenError {
            what,
            address,
            advice: advice(source.kind()),
            source,
        }),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // The last process's connections may linger there.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "stop the process that has it, or choose another port",
        ErrorKind::AddrNotAvailable => {
            "choose an address of this machine, or 0.0.0.0 for all of them"
        }
        ErrorKind::PermissionDenied => "choose a port from 1024 up",
        _ => "choose another address",
    }
}
