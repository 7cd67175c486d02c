//! The client's side.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, RootCertStore};
use serde::Deserialize;

use super::files::{Content, Files, given};
use super::identity::Identity;
use super::peer::{PeerIdentity, PinnedServer};
use super::provider;
use crate::config::{Located, Problems};

/// A section of a configuration: the certificate to show to servers, and the CA of theirs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of the configuration's members"
)]
pub struct ClientFiles {
    certificate_file: Option<Located<PathBuf>>,
    private_key_file: Option<Located<PathBuf>>,
    ca_file: Option<Located<PathBuf>>,
}

impl ClientFiles {
    /// Files that are named elsewhere than in a configuration.
    #[must_use]
    pub fn at(certificate: PathBuf, private_key: PathBuf, ca: PathBuf) -> Self {
        Self {
            certificate_file: Some(certificate.into()),
            private_key_file: Some(private_key.into()),
            ca_file: Some(ca.into()),
        }
    }

    /// Reads the files; their mistakes and missing members go to `problems`. `section` is the name of this one.
    #[must_use]
    pub fn open(&self, section: &str, problems: &mut Problems) -> Option<Arc<ClientIdentity>> {
        let files = self.files(section, problems)?;
        Identity::open(files, Box::new(Client::new), problems)
    }

    /// The paths that are named, and nothing of what is there; missing members go to `problems`.
    pub fn named(&self, section: &str, problems: &mut Problems) -> Option<Vec<PathBuf>> {
        Some(self.files(section, problems)?.paths())
    }

    fn files(&self, section: &str, problems: &mut Problems) -> Option<Files> {
        let mut given = |name, file| given(section, name, file, problems);
        let certificate = given("certificate_file", self.certificate_file.as_ref());
        let private_key = given("private_key_file", self.private_key_file.as_ref());
        let ca = given("ca_file", self.ca_file.as_ref());
        Some(Files {
            certificate: certificate?,
            private_key: private_key?,
            ca: Some(ca?),
        })
    }
}

/// The certificate that a client shows to servers, each of which it knows by its own identity.
pub type ClientIdentity = Identity<Client>;

impl ClientIdentity {
    /// What the next connection to this server begins with: TLS 1.3, HTTP/2, no resumed session, and the server's
    /// identity in place of a host name.
    #[must_use]
    pub fn towards(&self, server: &PeerIdentity) -> Arc<ClientConfig> {
        let current = self.current();
        let mut config = current.config.clone();
        let verifier = PinnedServer {
            roots: Arc::clone(&current.roots),
            algorithms: config.crypto_provider().signature_verification_algorithms,
            peer: server.clone(),
        };
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        Arc::new(config)
    }
}

/// Certificate and CA of one reading: a handshake never sees parts of two.
#[derive(Debug)]
pub struct Client {
    /// Believes in host names; [`ClientIdentity::towards`] replaces that.
    config: ClientConfig,
    roots: Arc<RootCertStore>,
}

impl Client {
    fn new(content: &Content) -> Result<Self, Error> {
        let key = SingleCertAndKey::from(Arc::clone(&content.key));
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&content.roots))
            .with_client_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self {
            config,
            roots: Arc::clone(&content.roots),
        })
    }
}
