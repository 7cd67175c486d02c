//! Peers over plain sockets.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a server has to say first on HTTP/2: the client's preface and an empty SETTINGS frame.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Longer than anything here should take, and shorter than the limits that must not be what ends it.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// A limit that no test waits for.
pub(crate) const LONG: Duration = Duration::from_mins(10);

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[expect(clippy::disallowed_methods, reason = "each test awaits its server")]
pub(crate) fn start<T: Send + 'static>(
    server: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(server)
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(SOON, future).await;
    in_time.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"))
}

/// A peer on a plain socket.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&mut self, method: &str, path: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        self.send(head.as_bytes()).await;
    }

    /// One whole answer (head and body of the announced length), or what came before the end of the connection.
    pub(crate) async fn answer(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut bytes = [0; 4096];
            let n = soon("an answer", self.0.read(&mut bytes))
                .await
                .unwrap_or(0);
            if n == 0 {
                return text;
            }
            text.push_str(std::str::from_utf8(bytes.get(..n).unwrap()).unwrap());
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.ask("GET", path).await;
        self.answer().await
    }

    /// Waits for an HTTP/2 frame of this type; those before it are skipped.
    pub(crate) async fn frame(&mut self, wanted: u8) {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let [a, b, c, kind, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.unwrap();
            if kind == wanted {
                return;
            }
        }
    }

    /// Waits until the server has closed the connection, whatever it says before.
    pub(crate) async fn closed(&mut self) {
        let mut bytes = [0; 4096];
        while !matches!(
            soon("the connection's end", self.0.read(&mut bytes)).await,
            Ok(0) | Err(_)
        ) {}
    }

    /// Whether the server says nothing, and does not close, for `time`.
    pub(crate) async fn is_left_alone_for(&mut self, time: Duration) -> bool {
        let mut bytes = [0; 1];
        tokio::time::timeout(time, self.0.read(&mut bytes))
            .await
            .is_err()
    }
}

/// Waits until nobody listens there any more.
pub(crate) async fn closed_port(address: SocketAddr) {
    soon("the closed port", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A peer that says nothing, and one that begins HTTP/2 and says no more; both have been accepted.
pub(crate) async fn mute_peers(address: SocketAddr) -> [Peer; 2] {
    let silent = Peer::connect(address).await;
    let mut preface_only = Peer::connect(address).await;
    preface_only.send(PREFACE).await;
    // The server answers a preface with its own SETTINGS; it took the silent peer before.
    let mut byte = [0; 1];
    let n = soon("SETTINGS", preface_only.0.read(&mut byte))
        .await
        .unwrap();
    assert_eq!(n, 1);
    [silent, preface_only]
}
