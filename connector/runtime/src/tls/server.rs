//! The server's side.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{DEFAULT_VERSIONS, Error, ServerConfig, SupportedProtocolVersion};
use serde::Deserialize;

use super::files::{Content, Files, given};
use super::identity::Identity;
use super::peer::{NotAnIdentity, PeerIdentity, PinnedClient};
use super::provider;
use crate::config::{Located, Problems};

/// A section of a configuration: the certificate for whoever calls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFiles {
    certificate_file: Option<Located<PathBuf>>,
    private_key_file: Option<Located<PathBuf>>,
}

impl ServerFiles {
    /// Reads the files; their mistakes and missing members go to `problems`. `section` is the name of this one.
    #[must_use]
    pub fn open(&self, section: &str, problems: &mut Problems) -> Option<Arc<ServerIdentity>> {
        let files = self.files(section, problems)?;
        Identity::open(files, Box::new(open_to_all), problems)
    }

    /// The paths that are named, and nothing of what is there; missing members go to `problems`.
    pub fn named(&self, section: &str, problems: &mut Problems) -> Option<Vec<PathBuf>> {
        Some(self.files(section, problems)?.paths())
    }

    fn files(&self, section: &str, problems: &mut Problems) -> Option<Files> {
        let mut given = |name, file| given(section, name, file, problems);
        let certificate = given("certificate_file", self.certificate_file.as_ref());
        let private_key = given("private_key_file", self.private_key_file.as_ref());
        Some(Files {
            certificate: certificate?,
            private_key: private_key?,
            ca: None,
        })
    }
}

/// A section of a configuration: the certificate, and who alone may call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutualServerFiles {
    certificate_file: Option<Located<PathBuf>>,
    private_key_file: Option<Located<PathBuf>>,
    client_ca_file: Option<Located<PathBuf>>,
    gateway_identity: Option<Located<String>>,
}

/// The same whatever lines they stand on.
impl PartialEq for MutualServerFiles {
    fn eq(&self, other: &Self) -> bool {
        self.values() == other.values()
    }
}

impl Eq for MutualServerFiles {}

impl MutualServerFiles {
    fn values(&self) -> ([Option<&PathBuf>; 3], Option<&String>) {
        let files = [
            &self.certificate_file,
            &self.private_key_file,
            &self.client_ca_file,
        ];
        let files = files.map(|file| file.as_ref().map(|file| &file.value));
        let identity = self.gateway_identity.as_ref();
        (files, identity.map(|identity| &identity.value))
    }

    /// Reads the files; their mistakes and missing members go to `problems`. `section` is the name of this one.
    #[must_use]
    pub fn open(&self, section: &str, problems: &mut Problems) -> Option<Arc<ServerIdentity>> {
        let mut given = |name, file| given(section, name, file, problems);
        let certificate = given("certificate_file", self.certificate_file.as_ref());
        let private_key = given("private_key_file", self.private_key_file.as_ref());
        let ca = given("client_ca_file", self.client_ca_file.as_ref());
        let peer = identity(section, self.gateway_identity.as_ref(), problems);
        let files = Files {
            certificate: certificate?,
            private_key: private_key?,
            ca: Some(ca?),
        };
        let peer = peer?;
        let make = move |content: &_| mutual(content, &peer);
        Identity::open(files, Box::new(make), problems)
    }
}

fn identity(
    section: &str,
    text: Option<&Located<String>>,
    problems: &mut Problems,
) -> Option<PeerIdentity> {
    let path = format!("{section}.gateway_identity");
    let Some(text) = text else {
        problems.anywhere(path, NotAnIdentity.to_string());
        return None;
    };
    PeerIdentity::parse(&text.value)
        .map_err(|error| problems.at(text, path, error.to_string()))
        .ok()
}

/// The certificate that a server shows, and whom it lets in.
pub type ServerIdentity = Identity<ServerConfig>;

/// TLS 1.2 and 1.3 for whoever comes, HTTP/2 or HTTP/1.1 as they agree (RFC 7301).
fn open_to_all(content: &Content) -> Result<ServerConfig, Error> {
    let everybody = WebPkiClientVerifier::no_client_auth();
    let mut config = config(content, DEFAULT_VERSIONS, everybody)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS 1.3 for one client alone, HTTP/2 alone, and no session to be resumed by whoever was let in once.
fn mutual(content: &Content, peer: &PeerIdentity) -> Result<ServerConfig, Error> {
    let roots = Arc::clone(&content.roots);
    let chain = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let peer = peer.clone();
    let mut config = config(content, &[&TLS13], Arc::new(PinnedClient { chain, peer }))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn config(
    content: &Content,
    versions: &[&'static SupportedProtocolVersion],
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, Error> {
    let key = SingleCertAndKey::from(Arc::clone(&content.key));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(key));
    Ok(config)
}
