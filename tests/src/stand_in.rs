//! Peers that are of no use: nobody at home, and somebody who never says a word.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An address of this machine that refuses connections.
pub async fn dead_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// Takes every connection and never answers.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    keeper: JoinHandle<()>,
}

impl BlackHole {
    /// Opens one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let keeper = tokio::spawn(async move {
            let mut kept: Vec<TcpStream> = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
            }
        });
        Self { address, keeper }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
