//! Certificates: a CA of the test's own, what it issues, and peers that show it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, HandshakeKind, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::http::PATIENCE;
use crate::loopback;

/// The cryptography of the tests.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The CAs in a PEM text.
pub(crate) fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.expect("a PEM text");
        roots.add(certificate).expect("a CA's certificate");
    }
    roots
}

/// A name in a certificate.
#[derive(Debug, Clone)]
pub enum Name<'a> {
    /// A URI SAN.
    Uri(&'a str),
    /// A DNS SAN.
    Dns(&'a str),
    /// The IP SAN of this machine.
    Loopback,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub private_key: String,
}

impl Issued {
    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.private_key.as_bytes());
        (
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        )
    }
}

/// The side of a server that shows this certificate, speaks HTTP/2, and asks for a certificate of these CAs (PEM).
#[must_use]
pub fn mutual_server(shown: &Issued, cas: &str) -> Arc<ServerConfig> {
    let (chain, key) = shown.parts();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(cas)), provider()).build();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_client_cert_verifier(clients.expect("a CA to trust"))
        .with_single_cert(chain, key)
        .expect("a key of its certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// The side of a client that trusts these CAs (PEM), shows this certificate or none, and offers this protocol.
#[must_use]
pub fn client(cas: &str, shown: Option<&Issued>, protocol: &str) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots(cas));
    let mut config = showing(builder, shown);
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

/// The side of a client that shows this certificate or none.
fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    shown: Option<&Issued>,
) -> ClientConfig {
    match shown {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let (chain, key) = issued.parts();
            builder
                .with_client_auth_cert(chain, key)
                .expect("a key of its certificate")
        }
    }
}

/// What a certificate is for (RFC 5280, 4.2.1.12).
pub use rcgen::ExtendedKeyUsagePurpose as Purpose;

/// A CA.
#[derive(Debug)]
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    /// Makes one; nobody trusts it yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for servers and clients that is valid until 2040.
    #[must_use]
    pub fn issue(&self, names: &[Name<'_>]) -> Issued {
        let both = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.issue_for(names, &both, 2040)
    }

    /// Issues a certificate that is valid until the beginning of a year.
    #[must_use]
    pub fn issue_for(&self, names: &[Name<'_>], purposes: &[Purpose], until: i32) -> Issued {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = purposes.to_vec();
        let ascii = |text: &str| text.try_into().expect("ASCII");
        params.subject_alt_names = names
            .iter()
            .map(|name| match name {
                Name::Uri(uri) => SanType::URI(ascii(uri)),
                Name::Dns(name) => SanType::DnsName(ascii(name)),
                Name::Loopback => SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            })
            .collect();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            private_key: key.serialize_pem(),
        }
    }
}

/// A client that takes whatever certificate a server shows. It resumes sessions where it may.
#[derive(Debug, Clone)]
pub struct Caller(Arc<ClientConfig>);

/// What a caller learned.
#[derive(Debug)]
pub struct Called {
    /// The server's certificate.
    pub certificate: CertificateDer<'static>,
    /// The protocol that both agreed on by ALPN.
    pub protocol: String,
    /// Whether an earlier session of this caller was resumed.
    pub resumed: bool,
}

impl Caller {
    /// Makes one that shows this certificate or none.
    #[must_use]
    pub fn new(shown: Option<&Issued>) -> Self {
        Self::speaking(rustls::DEFAULT_VERSIONS, shown)
    }

    /// Makes one that speaks TLS 1.2 alone.
    #[must_use]
    pub fn old(shown: Option<&Issued>) -> Self {
        Self::speaking(&[&rustls::version::TLS12], shown)
    }

    fn speaking(
        versions: &[&'static rustls::SupportedProtocolVersion],
        shown: Option<&Issued>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("the provider has them")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = showing(builder, shown);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(Arc::new(config))
    }

    /// The same, offering these protocols by ALPN instead of `h2`.
    #[must_use]
    pub fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = (*self.0).clone();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// Shakes hands with a server of HTTP/2 that speaks first, and waits for its first byte.
    ///
    /// # Errors
    /// What the server did instead.
    pub async fn call(&self, server: SocketAddr) -> Result<Called, String> {
        self.say(b"", server).await
    }

    /// The same with a server that waits for what its client says.
    ///
    /// # Errors
    /// What the server did instead.
    pub async fn greet(&self, server: SocketAddr) -> Result<Called, String> {
        // The preface of HTTP/2, and SETTINGS (RFC 9113, 3.4).
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        self.say(preface, server).await
    }

    async fn say(&self, words: &[u8], server: SocketAddr) -> Result<Called, String> {
        let first_byte = async {
            let stream = TcpStream::connect(server).await?;
            let name = ServerName::from(server.ip());
            let connector = TlsConnector::from(Arc::clone(&self.0));
            let mut stream = connector.connect(name, stream).await?;
            stream.write_all(words).await?;
            stream.read_u8().await?;
            let (_, connection) = stream.get_ref();
            let certificate = connection.peer_certificates().and_then(<[_]>::first);
            let protocol = connection.alpn_protocol().unwrap_or_default();
            Ok::<_, std::io::Error>(Called {
                protocol: String::from_utf8_lossy(protocol).into_owned(),
                certificate: certificate
                    .expect("a server shows one")
                    .clone()
                    .into_owned(),
                resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            })
        };
        match tokio::time::timeout(PATIENCE, first_byte).await {
            Ok(done) => done.map_err(|e| e.to_string()),
            Err(_) => Err("silence".to_owned()),
        }
    }
}

/// A server that shows a certificate, asks for none, and counts the bytes that it is told.
#[derive(Debug)]
pub struct Impostor {
    address: SocketAddr,
    told: Arc<AtomicUsize>,
    keeper: JoinHandle<()>,
}

impl Impostor {
    /// Opens one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    pub async fn open(shown: &Issued) -> Self {
        let (chain, key) = shown.parts();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a key of its certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, address) = loopback::listener().await;
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let keeper = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut bytes = Vec::new();
                    let _ = stream.read_to_end(&mut bytes).await;
                    count.fetch_add(bytes.len(), Ordering::SeqCst);
                }
            }
        });
        Self {
            address,
            told,
            keeper,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes it was told after a handshake.
    #[must_use]
    pub fn told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
