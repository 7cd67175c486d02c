//! What a certificate says. Nothing here decides whether it is to be believed.

use std::fmt::{self, Display, Formatter};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_cert::der::{self, Decode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// The longest text of somebody else's certificate that goes into a log, in characters.
const LONGEST: usize = 200;

/// Names and end of a certificate.
pub(super) struct Certificate {
    /// Its URI SANs (RFC 5280, 4.2.1.6), as they are written.
    pub(super) uris: Vec<String>,
    not_after: Time,
    issuer: String,
}

impl Certificate {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, der::Error> {
        let certificate = x509_cert::Certificate::from_der(der)?;
        let certificate = certificate.tbs_certificate();
        let names = certificate.get_extension::<SubjectAltName>()?;
        let names = names.map(|(_critical, names)| names.0).unwrap_or_default();
        let uris = names.into_iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        });
        Ok(Self {
            uris: uris.collect(),
            not_after: certificate.validity().not_after,
            issuer: certificate.issuer().to_string(),
        })
    }

    /// After this it is not valid any more.
    pub(super) fn not_after(&self) -> SystemTime {
        UNIX_EPOCH + self.not_after.to_unix_duration()
    }
}

/// What an operator has to know of a certificate that was refused or taken into use.
impl Display for Certificate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.uris.as_slice() {
            [] => write!(f, "a certificate without a URI SAN")?,
            [uri] => write!(f, "{}", printable(uri))?,
            several => write!(f, "several URI SANs ({})", printable(&several.join(", ")))?,
        }
        let issuer = printable(&self.issuer);
        write!(f, ", issued by {issuer}, valid until {}", self.not_after)
    }
}

fn printable(text: &str) -> String {
    text.escape_debug().take(LONGEST).collect()
}
