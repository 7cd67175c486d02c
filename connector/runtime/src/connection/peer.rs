//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Version, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::Shared;
use super::activity::{Activity, InFlight, quiet};
use crate::framing::{Framing, Watched};
use crate::headless::Place;
use crate::http::{AmbiguousLength, HangUp};
use crate::jitter::jittered;
use crate::tls::{ServerIdentity, TOLD};

/// How long a connection that has been asked to close may go on without a request in flight.
const LINGER: Duration = Duration::from_millis(500);

impl Shared {
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _slot: OwnedSemaphorePermit,
    ) {
        let head = Instant::now() + self.limits.header_read;
        if stream.set_nodelay(true).is_err() {
            return; // the peer has gone
        }
        let place = self.headless.admit(peer.ip());
        match &self.tls {
            None => self.requests(stream, peer, place, head).await,
            Some(identity) => {
                if let Some(stream) = self.handshake(identity, stream, peer, &place).await {
                    self.requests(stream, peer, place, head).await;
                }
            }
        }
    }

    async fn handshake(
        &self,
        identity: &ServerIdentity,
        stream: TcpStream,
        peer: SocketAddr,
        place: &Place,
    ) -> Option<TlsStream<TcpStream>> {
        let limit = self.limits.handshake.min(self.limits.header_read);
        let handshake = TlsAcceptor::from(identity.current()).accept(stream);
        tokio::select! {
            shaken = tokio::time::timeout(limit, handshake) => match shaken {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => self.log_handshake(peer, &error),
                Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
            },
            () = place.crowded_out() => {}
            () = self.stopping.cancelled() => {}
        }
        None
    }

    /// Answers the requests of a connection whose first one must have its head before `head`.
    async fn requests<S>(&self, stream: S, peer: SocketAddr, place: Place, head: Instant)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (activity, mut watched) = watch::channel(Activity::default());
        let activity = Arc::new(activity);
        let framing = Arc::new(Framing::default());
        let may_be_http1 = self.builder.is_http1_available();
        let stream = Watched::new(stream, may_be_http1.then(|| Arc::clone(&framing)));
        let hang_up = CancellationToken::new();
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if framing.is_ambiguous(&request) {
                request.extensions_mut().insert(AmbiguousLength);
            }
            let version = request.version();
            let in_flight = InFlight::begin(&activity, version);
            let answer = self.router.clone().call(request);
            let (hang_up, stopping) = (hang_up.clone(), self.stopping.clone());
            async move {
                let mut answer: Result<Response<Body>, Infallible> = answer.await;
                if let Ok(answer) = &mut answer
                    && (answer.extensions_mut().remove::<HangUp>().is_some()
                        || stopping.is_cancelled())
                {
                    close_after(answer, version, &hang_up);
                }
                drop(in_flight);
                answer
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut begun = watched.clone();
        let crowded_out = async {
            let head = async { drop(begun.wait_for(|now| now.begun).await) };
            tokio::select! {
                () = place.crowded_out() => return,
                () = head => {}
            }
            drop(place);
            std::future::pending::<()>().await;
        };

        let limits = &self.limits;
        // Always the connection first: a request that has arrived is read before anybody judges that there is none.
        let patience = tokio::select! {
            biased;
            ended = &mut connection => return log_end(peer, ended),
            () = quiet(&mut watched, head, limits.idle) => LINGER,
            // What is on its way from a peer that knows nothing yet takes as long as a ping may.
            () = aged(limits.max_age) => limits.ping_timeout,
            () = hang_up.cancelled() => LINGER,
            () = crowded_out => return,
            () = self.stopping.cancelled() => LINGER,
        };
        // HTTP/1 can tell only in an answer that it is the last. To close now would cut a request that is on its way:
        // whoever asks in time is answered and told, and whoever does not is idle.
        if self.stopping.is_cancelled() && watched.borrow().is_http1 {
            let time = limits.last_request;
            tokio::select! {
                biased;
                ended = &mut connection => return log_end(peer, ended),
                () = quiet(&mut watched, Instant::now() + time, time) => {}
                () = self.cut.cancelled() => return,
            }
        }
        connection.as_mut().graceful_shutdown();
        let mut again = watched.clone();
        let stopped = async {
            self.stopping.cancelled().await;
            quiet(&mut again, Instant::now() + LINGER, LINGER).await;
        };
        tokio::select! {
            biased;
            ended = connection => log_end(peer, ended),
            () = quiet(&mut watched, Instant::now() + patience, patience) => {}
            () = stopped => {}
            () = self.cut.cancelled() => {}
        }
    }

    /// What concerns a certificate is an operator's affair, though not as often as strangers like; the rest is noise.
    fn log_handshake(&self, peer: SocketAddr, error: &std::io::Error) {
        use rustls::Error::{AlertReceived, NoCertificatesPresented};
        let may_tell = || self.told.pass(&TOLD).is_ok();
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        match cause {
            Some(AlertReceived(alert)) if may_tell() => {
                tracing::warn!(%peer, ?alert, "the other side refuses our certificate or TLS");
            }
            Some(NoCertificatesPresented) if may_tell() => {
                tracing::warn!(%peer, "the other side shows no certificate, and is refused");
            }
            // The verifier has told of a certificate that it refused.
            _ => tracing::debug!(%peer, %error, "no TLS handshake"),
        }
    }
}

/// Lets this answer be the connection's last.
fn close_after(answer: &mut Response<Body>, version: Version, hang_up: &CancellationToken) {
    if version < Version::HTTP_2 {
        let close = header::HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    } else {
        // HTTP/2 tells it by GOAWAY.
        hang_up.cancel();
    }
}

fn log_end(peer: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended");
    }
}

async fn aged(max_age: Option<Duration>) {
    match max_age {
        Some(age) => tokio::time::sleep(jittered(age)).await,
        None => std::future::pending().await,
    }
}
