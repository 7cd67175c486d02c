//! Certificates and keys in PEM files (RFC 7468).

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::provider;
use crate::config::{Located, Problem, Problems, unreadable};

/// The longest file, in bytes: bundles of all public CAs have 250 KiB.
const LONGEST: u64 = 1024 * 1024;

/// The files that prove who we are and say whom we trust.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) ca: Option<PathBuf>,
}

/// What was in them.
pub(super) struct Content {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) certificate: Certificate,
    /// Empty without a file of CAs.
    pub(super) roots: Arc<RootCertStore>,
}

impl Files {
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let named = [&self.certificate, &self.private_key].into_iter();
        named.chain(&self.ca).cloned().collect()
    }

    /// Reads them all. Who is to be recognised by the other side has a CA file, and must have a URI SAN.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub(super) fn read(&self) -> Result<Content, Problems> {
        let mut problems = Problems::in_file(&self.certificate);
        let chain = judged(&mut problems, &self.certificate, chain);
        let key = judged(&mut problems, &self.private_key, private_key);
        let roots = match &self.ca {
            Some(ca) => judged(&mut problems, ca, roots),
            None => Some(RootCertStore::empty()),
        };
        let (Some((chain, certificate)), Some(key), Some(roots)) = (chain, key, roots) else {
            return Err(problems);
        };
        if self.ca.is_some() && certificate.uris.len() != 1 {
            let sentence = format!(
                "the other side recognises us by one URI SAN, and this is {certificate}; issue one with a single URI SAN"
            );
            problems.anywhere("", sentence);
        }
        let key = judged(&mut problems, &self.private_key, |_| matching(chain, key));
        let Some(key) = key else {
            return Err(problems);
        };
        problems.or(Content {
            key: Arc::new(key),
            certificate,
            roots: Arc::new(roots),
        })
    }
}

/// The path that a member of a section names; a missing member is a mistake.
pub(super) fn given(
    section: &str,
    name: &str,
    file: Option<&Located<PathBuf>>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    if file.is_none() {
        problems.anywhere(format!("{section}.{name}"), "must name a PEM file");
    }
    file.map(|file| file.value.clone())
}

fn judged<T>(
    problems: &mut Problems,
    file: &Path,
    judge: impl FnOnce(&Path) -> Result<T, String>,
) -> Option<T> {
    judge(file)
        .map_err(|sentence| {
            problems.push(Problem {
                file: file.to_owned(),
                line: None,
                path: String::new(),
                sentence,
            });
        })
        .ok()
}

fn chain(file: &Path) -> Result<(Vec<CertificateDer<'static>>, Certificate), String> {
    let chain = certificates(file, "the certificate")?;
    let leaf = chain.first().ok_or_else(|| {
        "holds no certificate; write the certificate first, then those that lead to its CA, each between \
         BEGIN CERTIFICATE and END CERTIFICATE"
            .to_owned()
    })?;
    let leaf = Certificate::parse(leaf)
        .map_err(|e| format!("its first certificate is no X.509 certificate ({e})"))?;
    if leaf.not_after() < SystemTime::now() {
        return Err(format!(
            "its first certificate has expired: {leaf}; renew it"
        ));
    }
    Ok((chain, leaf))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, "the CA")? {
        roots
            .add(certificate)
            .map_err(|e| format!("a certificate in it cannot be a CA's ({e}); leave it out"))?;
    }
    if roots.is_empty() {
        return Err("holds no certificate; write into it those of the CAs to trust".to_owned());
    }
    Ok(roots)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(file, "the private key")?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(9).any(|word| word == b"ENCRYPTED") => {
            "the private key is encrypted, and nobody is there to type its passphrase; store it decrypted".to_owned()
        }
        pem::Error::NoItemsFound => {
            "holds no private key; write it between BEGIN PRIVATE KEY and END PRIVATE KEY".to_owned()
        }
        // What is wrong with it may show a part of it.
        _ => "is no PEM file; copy the private key again".to_owned(),
    })
}

fn matching(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, String> {
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "is not the key of the first certificate in the certificate's file; take both from one issue"
                .to_owned()
        }
        _ => "holds a key of a kind that is not known; take ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits or more)"
            .to_owned(),
    })
}

fn certificates(file: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(file, what)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is no PEM file ({error}); copy {what} again"))
}

fn read(file: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    // Reserved whole: a buffer that grows would leave copies of a key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
    let read = File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LONGEST => {
            Err("is longer than 1 MiB; is it the right file?".to_owned())
        }
        Ok(_) => Ok(text),
        Err(error) => Err(unreadable(what, &error)),
    }
}
