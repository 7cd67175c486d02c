//! Whose certificates are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::arguments::read;

/// TLS that trusts the CAs of a file, or else those of this machine.
///
/// # Errors
/// A sentence, when there are none, or the file is no PEM.
pub(crate) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let builder = builder()?;
    let Some(path) = ca_file else {
        let builder = builder.with_platform_verifier().map_err(|e| {
            format!("this machine's CAs cannot be read: {e}; name those to trust with --ca-file")
        })?;
        return Ok(builder.with_no_client_auth());
    };
    let pem = read("--ca-file", path)?;
    let wrong = |e: &dyn std::fmt::Display| {
        format!(
            "--ca-file {}: no PEM certificate of a CA: {e}",
            path.display()
        )
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| wrong(&e))?;
        roots.add(certificate).map_err(|e| wrong(&e))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"the file holds none"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// TLS that trusts nobody.
///
/// # Errors
/// When TLS cannot be set up at all.
pub(crate) fn nobody() -> Result<ClientConfig, String> {
    Ok(builder()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))
}
