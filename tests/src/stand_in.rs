//! Peers that are of no use: nobody at home, and somebody who never says a word.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::loopback;

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
        let (listener, address) = loopback::listener().await;
        let keeper = tokio::spawn(async move {
            let mut kept: Vec<TcpStream> = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
            }
        });
        Self { address, keeper }
    }

    /// Opens one that takes no connection either: whoever wants in is not even refused.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    pub async fn full() -> Self {
        let listen = || {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            socket.listen(1)
        };
        let listener = listen().expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        // Loopback takes far less to connect, where there is room.
        let connect = || timeout(Duration::from_millis(200), TcpStream::connect(address));
        let mut queue = Vec::new();
        while let Ok(Ok(waiting)) = connect().await {
            queue.push(waiting);
        }
        let keeper = tokio::spawn(async move {
            let _kept = (listener, queue);
            std::future::pending::<()>().await;
        });
        Self { address, keeper }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes every connection, says the same to all, and reads on without another word; if it has nothing to say, it hangs
/// up.
#[derive(Debug)]
pub struct Rude {
    address: SocketAddr,
    _keeper: JoinSet<()>,
}

impl Rude {
    /// Opens one.
    pub async fn open(greeting: &[u8]) -> Self {
        let (listener, address) = loopback::listener().await;
        let greeting = greeting.to_vec();
        let mut keeper = JoinSet::new();
        keeper.spawn(async move {
            let mut kept = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let greeting = greeting.clone();
                kept.spawn(async move {
                    let said = stream.write_all(&greeting).await.is_ok();
                    if said && !greeting.is_empty() {
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                });
            }
        });
        Self {
            address,
            _keeper: keeper,
        }
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
