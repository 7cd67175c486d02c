//! Peers that are of no use: nobody at home, and somebody who never says a word.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// An address of this machine that refuses connections. Nobody else gets it while this process lives.
#[must_use]
pub fn dead_port() -> SocketAddr {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        // Bound and never listening.
        std::mem::forget(socket);
        Ok::<_, std::io::Error>(address)
    };
    bind().expect("loopback has a free port")
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
