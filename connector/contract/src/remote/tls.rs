//! TLS towards a connector.

use std::error::Error;
use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// What the TLS of the next connection to one connector begins with. It is asked for each time, so that a certificate
/// that was replaced is shown from then on. Whoever makes it sees to it that the connector's identity is verified.
#[derive(Clone)]
pub struct ClientTls {
    expected: Arc<str>,
    config: Arc<dyn Fn() -> Arc<ClientConfig> + Send + Sync>,
}

impl ClientTls {
    /// `expected` names the connector's identity, for messages.
    pub fn new(
        expected: impl fmt::Display,
        config: impl Fn() -> Arc<ClientConfig> + Send + Sync + 'static,
    ) -> Self {
        Self {
            expected: expected.to_string().into(),
            config: Arc::new(config),
        }
    }
}

impl Debug for ClientTls {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.expected).finish()
    }
}

/// Connects, shakes hands, and waits for the connector's first word.
///
/// In TLS 1.3 a client has done its part before the server has judged its certificate. A connector speaks first (RFC
/// 9113, 3.4: SETTINGS), so its first byte tells that it lets us in; a refusal is known before any call was sent.
#[derive(Clone, Debug)]
pub(super) struct TlsConnector {
    tcp: HttpConnector,
    tls: ClientTls,
}

impl TlsConnector {
    pub(super) fn new(mut tcp: HttpConnector, tls: ClientTls) -> Self {
        tcp.enforce_http(false);
        Self { tcp, tls }
    }
}

type Connection = TokioIo<BufReader<TlsStream<TcpStream>>>;
type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for TlsConnector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let tcp = self.tcp.call(uri);
        let ClientTls { expected, config } = self.tls.clone();
        Box::pin(async move {
            let (name, tcp) = (name?, tcp.await?.into_inner());
            let connector = tokio_rustls::TlsConnector::from(config());
            let first_word = async {
                let stream = connector.connect(name, tcp).await?;
                let mut stream = BufReader::new(stream);
                if stream.fill_buf().await?.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(TokioIo::new(stream))
            };
            first_word
                .await
                .map_err(|error| failure(&expected, &error).into())
        })
    }
}

/// What an operator can do something about. Its words replace the error: a caller tells the innermost cause alone.
fn failure(expected: &str, error: &io::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            format!("its certificate is valid and not that of {expected}")
        }
        Some(InvalidCertificate(error)) => {
            format!("its certificate does not prove that it is {expected}: {error}")
        }
        Some(AlertReceived(alert)) => {
            format!("{expected} does not accept the gateway's certificate ({alert:?})")
        }
        Some(InvalidMessage(_)) => format!("{expected} does not speak TLS"),
        _ => format!("the TLS handshake with {expected} failed: {error}"),
    }
}
