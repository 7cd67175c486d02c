//! One replica of the connector, as the balancer sees it: it connects to it, and makes a black hole of it for a while.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Connection, SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Certificates;
use crate::journal::now;

pub(crate) type Sender = SendRequest<Full<Bytes>>;
pub(crate) type Upstream = Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>, TokioExecutor>;

/// Where nothing got through, and when (microseconds since 1970).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    pub(crate) connector: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) number: usize,
    address: SocketAddr,
    /// Whether what it is told and what it says gets stuck.
    is_hole: watch::Sender<bool>,
    stuck: AtomicUsize,
    refusals: Mutex<Vec<String>>,
}

impl Replica {
    pub(crate) fn new(number: usize, address: SocketAddr) -> Self {
        Self {
            number,
            address,
            is_hole: watch::Sender::new(false),
            stuck: AtomicUsize::new(0),
            refusals: Mutex::default(),
        }
    }

    /// Lets nothing through for this time, on no connection, old or new: not even an end.
    pub(crate) async fn black_hole(&self, time: Duration) -> Hole {
        let from = now();
        self.is_hole.send_replace(true);
        tokio::time::sleep(time).await;
        self.is_hole.send_replace(false);
        Hole {
            connector: self.number,
            from,
            to: now(),
        }
    }

    /// Waits until something gets through.
    pub(crate) async fn through(&self) {
        let mut is_hole = self.is_hole.subscribe();
        if *is_hole.borrow_and_update() {
            self.stuck.fetch_add(1, Ordering::SeqCst);
            let _ = is_hole.wait_for(|is_hole| !is_hole).await;
        }
    }

    /// How many requests, answers and connections got stuck.
    pub(crate) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::SeqCst)
    }

    /// A connection, unless the replica is dead.
    pub(crate) async fn connect(&self) -> Option<TcpStream> {
        self.through().await;
        let stream = TcpStream::connect(self.address).await.ok()?;
        let _ = stream.set_nodelay(true);
        Some(stream)
    }

    /// Shakes hands as a gateway.
    pub(crate) async fn greet(
        &self,
        stream: TcpStream,
        certificates: &Certificates,
    ) -> Option<(Sender, Upstream)> {
        let connector = TlsConnector::from(certificates.between().as_gateway);
        let name = ServerName::from(self.address.ip());
        match connector.connect(name, stream).await {
            Ok(stream) => handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .ok(),
            Err(error) => {
                self.judge(&error);
                None
            }
        }
    }

    /// Keeps an error that is one side's refusal of the other's certificate.
    pub(crate) fn judge(&self, error: &(dyn std::error::Error + 'static)) {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let inner = error
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref);
            if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
                self.lock().push(error.to_string());
            }
            cause = error.source();
        }
    }

    /// Why certificates were refused, on either side of the balancer.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
