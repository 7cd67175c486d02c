//! TLS at both doors of the gateway, by real certificates and real processes.

mod conformance;
mod identities;
mod konnect;
mod rotation;
mod start;

use std::path::Path;

use dcr_tests::certificates::{Ca, Issued, Name};
use dcr_tests::small_idp::SmallIdp;
use dcr_tests::{Connector, Folder, Gateway, Konnect, Provider};

use crate::start::{CONNECTOR, GATEWAY};

const GATEWAY_ID: &str = "spiffe://test/ns/dcr-gateway/sa/dcr-gateway";
const CONNECTOR_ID: &str = "spiffe://test/ns/dcr-memory/sa/dcr-connector";

/// Files of certificates, as they lie beside a process.
struct Files(Folder);

impl Files {
    /// A certificate with its key, and the CAs to trust.
    fn new(issued: &Issued, trusted: &[&Ca]) -> Self {
        let files = Self(Folder::new());
        files.show(issued);
        files.trust(trusted);
        files
    }

    fn show(&self, issued: &Issued) {
        let _ = self.0.write("tls.crt", &issued.certificate);
        let _ = self.0.write("tls.key", &issued.private_key);
    }

    fn trust(&self, trusted: &[&Ca]) {
        let text: String = trusted.iter().map(|ca| ca.pem()).collect();
        let _ = self.0.write("ca.crt", &text);
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The gateway's section `tls`.
    fn for_konnect(&self) -> String {
        format!("tls:\n{}", self.pair())
    }

    /// The gateway's section `connector_tls`.
    fn for_connectors(&self) -> String {
        let ca = self.path().join("ca.crt");
        format!(
            "connector_tls:\n{}  ca_file: {}\n",
            self.pair(),
            ca.display()
        )
    }

    /// A connector's section `tls`.
    fn for_gateway(&self, identity: &str) -> String {
        let (pair, ca) = (self.pair(), self.path().join("ca.crt"));
        let ca = ca.display();
        format!("tls:\n{pair}  client_ca_file: {ca}\n  gateway_identity: {identity}\n")
    }

    fn pair(&self) -> String {
        let (certificate, key) = (self.path().join("tls.crt"), self.path().join("tls.key"));
        let (certificate, key) = (certificate.display(), key.display());
        format!("  certificate_file: {certificate}\n  private_key_file: {key}\n")
    }
}

/// The certificate of the gateway, as connectors want it.
fn gateways(ca: &Ca) -> Issued {
    ca.issue(&[Name::Uri(GATEWAY_ID)])
}

/// The certificate of the connector, as the gateway wants it. It names no host.
fn connectors(ca: &Ca) -> Issued {
    ca.issue(&[Name::Uri(CONNECTOR_ID)])
}

/// A connector with its IdP, serving a gateway of this identity.
async fn connector(idp: &SmallIdp, files: &Files, gateway: &str) -> Connector {
    let (id, secret) = (idp.admin().own_client_id(), idp.admin().own_client_secret());
    let section = |folder: &Folder| {
        let file = folder.write("idp-secret", secret).display().to_string();
        format!(
            "  base_url: {}\n  client_id: {id}\n  client_secret_file: {file}\n",
            idp.url()
        )
    };
    Connector::start(CONNECTOR, section, &files.for_gateway(gateway)).await
}

/// A gateway that shows connectors this certificate, and Konnect none.
async fn gateway(files: &Files, providers: &[Provider]) -> Gateway {
    Gateway::start_with(GATEWAY, providers, &files.for_connectors()).await
}

/// Creates a client and deletes it.
async fn one_life(konnect: &Konnect) {
    let client = konnect
        .create(&dcr_tests::konnect::application("ferry"))
        .await
        .created();
    konnect.delete(&client.client_id).await.gone();
}

/// How many lines hold all of these texts.
fn lines(output: &str, texts: &[&str]) -> usize {
    let all = |line: &&str| texts.iter().all(|text| line.contains(text));
    output.lines().filter(all).count()
}
