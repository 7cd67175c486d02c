//! Connections to the connector, plain or over TLS as the gateway's are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dcr_runtime::config::Problems;
use dcr_runtime::tls::{ClientFiles, ClientIdentity, PeerIdentity};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::options::Options;

const CONNECT: Duration = Duration::from_secs(5);

/// Why the run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// An option is of no use.
    #[error("{0}")]
    Usage(String),
    /// Nothing answers there as a connector does.
    #[error("{0}")]
    Unreachable(String),
}

/// Makes connections to one connector.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    address: Uri,
    tls: Option<(Arc<ClientIdentity>, PeerIdentity)>,
}

impl Connections {
    pub(crate) fn new(options: &Options) -> Result<Self, CannotRun> {
        let usage = |rule: String| CannotRun::Usage(rule);
        let address: Uri = options.connector.parse().map_err(|error| {
            usage(format!(
                "--connector {}: {error}; name it like http://127.0.0.1:9000",
                options.connector
            ))
        })?;
        let tls = tls(options)?;
        match (address.scheme_str(), &tls) {
            (Some("https"), Some(_)) | (Some("http"), None) => Ok(Self { address, tls }),
            (Some("https"), None) => Err(usage(
                "--connector https://… needs --ca-file, --certificate-file, --private-key-file and \
                 --connector-identity"
                    .to_owned(),
            )),
            (Some("http"), Some(_)) => Err(usage("--ca-file and its like need --connector https://…".to_owned())),
            _ => Err(usage(format!(
                "--connector {}: name it like http://127.0.0.1:9000",
                options.connector
            ))),
        }
    }

    /// A new connection, open already.
    pub(crate) async fn open(&self) -> Result<Channel, CannotRun> {
        self.open_as(|endpoint| endpoint).await
    }

    /// A new connection that pings this often while calls are open.
    pub(crate) async fn pinging(&self, interval: Duration) -> Result<Channel, CannotRun> {
        let pings = |endpoint: Endpoint| {
            endpoint
                .http2_keep_alive_interval(interval)
                .keep_alive_timeout(CONNECT)
                .keep_alive_while_idle(false)
        };
        self.open_as(pings).await
    }

    async fn open_as(
        &self,
        change: impl FnOnce(Endpoint) -> Endpoint,
    ) -> Result<Channel, CannotRun> {
        let endpoint = change(Endpoint::from(self.address.clone()).connect_timeout(CONNECT));
        let tls = self.tls.clone();
        let connect = tower::service_fn(move |uri: Uri| connected(uri, tls.clone()));
        let channel = match &self.tls {
            None => endpoint.connect().await,
            Some(_) => endpoint.connect_with_connector(connect).await,
        };
        channel.map_err(|error| {
            let cause = root_cause(&error);
            CannotRun::Unreachable(format!(
                "no connector can be reached at {}: {cause}; start it, or correct --connector",
                self.address
            ))
        })
    }
}

async fn connected(
    uri: Uri,
    tls: Option<(Arc<ClientIdentity>, PeerIdentity)>,
) -> io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let (identity, peer) = tls.ok_or_else(|| io::Error::other("no TLS is configured"))?;
    let host = uri.host().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let tcp = TcpStream::connect((&*host, uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    // The pinned identity stands in place of the host name.
    let connector = TlsConnector::from(identity.towards(&peer));
    connector.connect(name, tcp).await.map(TokioIo::new)
}

fn tls(options: &Options) -> Result<Option<(Arc<ClientIdentity>, PeerIdentity)>, CannotRun> {
    let given = &options.tls;
    let (Some(certificate), Some(key), Some(ca), Some(peer)) = (
        &given.certificate_file,
        &given.private_key_file,
        &given.ca_file,
        &given.connector_identity,
    ) else {
        return Ok(None);
    };
    let peer = PeerIdentity::parse(peer)
        .map_err(|rule| CannotRun::Usage(format!("--connector-identity {rule}")))?;
    let mut problems = Problems::in_file(certificate);
    let files = ClientFiles::at(certificate.clone(), key.clone(), ca.clone());
    let identity = files.open("tls", &mut problems);
    let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let identity = identity.ok_or_else(|| CannotRun::Usage(told.join("; ")))?;
    Ok(Some((identity, peer)))
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
