//! A connector that only listens.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::{JoinHandle, JoinSet};

use crate::loopback;

/// A connector that answers every call that it cannot do that, and remembers what came before each body.
#[derive(Debug)]
pub struct Listening {
    /// Where it is.
    pub address: SocketAddr,
    heads: Arc<Mutex<String>>,
    server: JoinHandle<()>,
}

impl Listening {
    /// Opens one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    pub async fn open() -> Self {
        let (listener, address) = loopback::listener().await;
        let heads = Arc::<Mutex<String>>::default();
        let heard = Arc::clone(&heads);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let heard = Arc::clone(&heard);
                let service = service_fn(move |request: Request<Incoming>| {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    let _ = writeln!(heard, "{} {:?}", request.uri(), request.headers());
                    // 12 is UNIMPLEMENTED.
                    let answer = Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "12")
                        .body(Empty::<Bytes>::new())
                        .expect("an answer that HTTP can write");
                    async { Ok::<_, Infallible>(answer) }
                });
                let connection = http2::Builder::new(TokioExecutor::new());
                connections.spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            heads,
            server,
        }
    }

    /// Paths and headers of all calls so far, one a line.
    #[must_use]
    pub fn heads(&self) -> String {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.clone()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.abort();
    }
}
