//! Whom we take for the other side: a chain to the CA, and beyond it one URI SAN.

use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::TOLD;
use super::certificate::Certificate;
use crate::rate::Gate;

/// The URI SAN that the other side's certificate must have, as `spiffe://cluster.local/ns/dcr-okta/sa/dcr-connector`
/// (RFC 5280, 4.2.1.6; SPIFFE X.509-SVID, 2).
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    uri: Arc<str>,
    /// Refusals that the operator was told of.
    told: Arc<Gate>,
}

impl PartialEq for PeerIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri
    }
}

impl Eq for PeerIdentity {}

/// Why a text is no identity: the end of a sentence that begins with the member's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be the URI SAN of the other side's certificate, as spiffe://cluster.local/ns/NAMESPACE/sa/NAME"
)]
pub struct NotAnIdentity;

impl PeerIdentity {
    /// Takes `SCHEME://…` of at most 2,048 printable ASCII characters (SPIFFE's limit).
    ///
    /// # Errors
    /// When it is not one: a host name, an empty text.
    pub fn parse(text: &str) -> Result<Self, NotAnIdentity> {
        let (scheme, rest) = text.split_once("://").ok_or(NotAnIdentity)?;
        let named = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
        let rest = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic());
        if named && rest && text.len() <= 2048 {
            Ok(Self {
                uri: text.into(),
                told: Arc::default(),
            })
        } else {
            Err(NotAnIdentity)
        }
    }

    /// Whether a certificate shows this identity and no other: exactly one URI SAN, the same byte for byte.
    fn is_shown_by(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match Certificate::parse(certificate) {
            Ok(Certificate { uris, .. }) if *uris == [&*self.uri] => Ok(()),
            Ok(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    /// Tells the operator of a certificate that was refused, though not as often as the other side likes.
    fn told<T>(
        &self,
        certificate: &CertificateDer<'_>,
        judged: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(error) = &judged {
            if self.told.pass(&TOLD).is_err() {
                tracing::debug!(expected = %self, %error, "the other side's certificate is refused");
                return judged;
            }
            let why = match error {
                Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
                    "it shows another identity".to_owned()
                }
                Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                    "its CA is not among those trusted".to_owned()
                }
                other => other.to_string(),
            };
            let shown = match Certificate::parse(certificate) {
                Ok(certificate) => certificate.to_string(),
                Err(error) => format!("no X.509 certificate ({error})"),
            };
            tracing::warn!(expected = %self, shown, "the other side's certificate is refused: {why}");
        }
        judged
    }
}

impl Display for PeerIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// What a client asks of a server: a chain to the CA, valid now, for servers; then the identity. It stands in place
/// of the host name.
#[derive(Debug)]
pub(super) struct PinnedServer {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) peer: PeerIdentity,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = || {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let known = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                intermediates,
                now,
                known,
            )
        };
        let judged = chain().and_then(|()| self.peer.is_shown_by(end_entity));
        self.peer.told(end_entity, judged)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What a server asks of a client: what `chain` asks (a certificate, a chain to the CA, valid now, for clients); then
/// the identity.
#[derive(Debug)]
pub(super) struct PinnedClient {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) peer: PeerIdentity,
}

impl ClientCertVerifier for PinnedClient {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = self
            .chain
            .verify_client_cert(end_entity, intermediates, now);
        let judged = chain.and_then(|_| self.peer.is_shown_by(end_entity));
        self.peer.told(end_entity, judged)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_uri_and_no_host() {
        for good in ["spiffe://a/b", "https://gateway.example"] {
            assert_eq!(PeerIdentity::parse(good).unwrap().to_string(), good);
        }
        let long = format!("spiffe://{}", "a".repeat(2048));
        for bad in [
            "",
            ":",
            "spiffe",
            "spiffe://",
            "gateway:9000",
            "gateway.dcr.svc",
            "spiffe://a b",
            "://a",
            "spiffe://ä",
            &long,
        ] {
            assert!(PeerIdentity::parse(bad).is_err(), "{bad:?}");
        }
    }
}
