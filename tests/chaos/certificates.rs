//! The certificates of both hops, which are replaced while all goes on: another leaf of the same CA, or another CA by way
//! of a bundle of both.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dcr_tests::Volume;
use dcr_tests::certificates::{Ca, Issued, Name, client, mutual_server};
use rustls::{ClientConfig, ServerConfig};

/// The URI SAN of every gateway.
const GATEWAY: &str = "spiffe://chaos/ns/dcr-gateway/sa/dcr-gateway";
/// The URI SAN of every connector.
pub(crate) const CONNECTOR: &str = "spiffe://chaos/ns/dcr-memory/sa/dcr-connector";

/// What a certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A gateway, to Konnect.
    Door(usize),
    /// A gateway, to connectors.
    Gateway(usize),
    /// A connector, to gateways.
    Connector(usize),
}

impl Use {
    pub(crate) const ALL: [Self; 6] = [
        Self::Door(0),
        Self::Door(1),
        Self::Gateway(0),
        Self::Gateway(1),
        Self::Connector(0),
        Self::Connector(1),
    ];

    fn folder(self) -> String {
        match self {
            Self::Door(number) => format!("gateway-{number}/door"),
            Self::Gateway(number) => format!("gateway-{number}/towards-connectors"),
            Self::Connector(number) => format!("connector-{number}/towards-gateways"),
        }
    }

    fn issued(self, ca: &Ca) -> Issued {
        match self {
            Self::Door(_) => ca.issue(&[Name::Loopback]),
            Self::Gateway(_) => ca.issue(&[Name::Uri(GATEWAY)]),
            // Those who go between check host names, as anybody would.
            Self::Connector(_) => ca.issue(&[Name::Uri(CONNECTOR), Name::Loopback]),
        }
    }
}

/// How often certificates were replaced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Replaced {
    pub(crate) leaves: usize,
    pub(crate) cas: usize,
}

#[derive(Debug)]
pub(crate) struct Certificates {
    volumes: Vec<(Use, Volume)>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// Who issues what is new.
    ca: Ca,
    /// Whom everybody trusts, PEM.
    trusted: String,
    /// What each shows.
    shown: Vec<(Use, Issued)>,
    between: Between,
    replaced: Replaced,
}

/// The TLS of those who stand between the processes.
#[derive(Debug, Clone)]
pub(crate) struct Between {
    /// Konnect's, towards the gateways.
    pub(crate) konnect: Arc<ClientConfig>,
    /// The balancer's, as the connector that gateways take it for.
    pub(crate) as_connector: Arc<ServerConfig>,
    /// The balancer's, as the gateway that connectors take it for.
    pub(crate) as_gateway: Arc<ClientConfig>,
}

impl Between {
    fn new(ca: &Ca, trusted: &str) -> Self {
        let gateway = Use::Gateway(0).issued(ca);
        Self {
            konnect: client(trusted, None, "http/1.1"),
            as_connector: mutual_server(&Use::Connector(0).issued(ca), trusted),
            as_gateway: client(trusted, Some(&gateway), "h2"),
        }
    }
}

impl Certificates {
    pub(crate) fn new(folder: &Path) -> Self {
        let ca = Ca::new("first");
        let trusted = ca.pem();
        let shown: Vec<_> = Use::ALL.map(|to| (to, to.issued(&ca))).into();
        let volume = |(to, issued): &(Use, Issued)| {
            let folder = folder.join(to.folder());
            (*to, Volume::new(folder, &files(issued, &trusted)))
        };
        Self {
            volumes: shown.iter().map(volume).collect(),
            current: Mutex::new(Current {
                between: Between::new(&ca, &trusted),
                ca,
                trusted,
                shown,
                replaced: Replaced::default(),
            }),
        }
    }

    /// A gateway's members about TLS.
    pub(crate) fn of_gateway(&self, number: usize) -> String {
        let (door, connectors) = (Use::Door(number), Use::Gateway(number));
        let ca = self.volume(connectors).file("ca.crt");
        format!(
            "tls:\n{}connector_tls:\n{}  ca_file: {}\n",
            self.pair(door),
            self.pair(connectors),
            ca.display()
        )
    }

    /// A connector's members about TLS.
    pub(crate) fn of_connector(&self, number: usize) -> String {
        let to = Use::Connector(number);
        let mut yaml = format!("tls:\n{}", self.pair(to));
        let ca = self.volume(to).file("ca.crt");
        let _ = write!(
            yaml,
            "  client_ca_file: {}\n  gateway_identity: {GATEWAY}\n",
            ca.display()
        );
        yaml
    }

    fn pair(&self, to: Use) -> String {
        let volume = self.volume(to);
        let (certificate, key) = (volume.file("tls.crt"), volume.file("tls.key"));
        format!(
            "  certificate_file: {}\n  private_key_file: {}\n",
            certificate.display(),
            key.display()
        )
    }

    /// Issues another leaf for this.
    pub(crate) fn replace(&self, to: Use) {
        let mut current = self.lock();
        current.replaced.leaves += 1;
        let issued = to.issued(&current.ca);
        self.volume(to).swap(&files(&issued, &current.trusted));
        current.shown.retain(|(known, _)| *known != to);
        current.shown.push((to, issued));
    }

    /// Has everybody trust a new CA beside the old one, who issues from now on.
    pub(crate) fn begin_new_ca(&self) {
        let mut current = self.lock();
        // Two CAs of one name would be taken for one.
        let ca = Ca::new(&format!("after {}", current.replaced.cas));
        current.trusted += &ca.pem();
        self.put_all(&current);
        current.between = Between::new(&current.ca, &current.trusted);
        current.ca = ca;
    }

    /// Has those who stand between the processes show certificates of the new CA.
    pub(crate) fn go_over(&self) {
        let mut current = self.lock();
        current.between = Between::new(&current.ca, &current.trusted);
    }

    /// Has nobody trust the old CA any more.
    pub(crate) fn end_old_ca(&self) {
        let mut current = self.lock();
        current.trusted = current.ca.pem();
        current.replaced.cas += 1;
        self.put_all(&current);
        current.between = Between::new(&current.ca, &current.trusted);
    }

    fn put_all(&self, current: &Current) {
        for (to, issued) in &current.shown {
            self.volume(*to).swap(&files(issued, &current.trusted));
        }
    }

    pub(crate) fn between(&self) -> Between {
        self.lock().between.clone()
    }

    /// The CAs that everybody trusts, PEM.
    pub(crate) fn trusted(&self) -> String {
        self.lock().trusted.clone()
    }

    pub(crate) fn replaced(&self) -> Replaced {
        self.lock().replaced
    }

    /// The file of a certificate, as the log names it.
    pub(crate) fn file(&self, to: Use) -> String {
        self.volume(to).file("tls.crt").display().to_string()
    }

    fn volume(&self, to: Use) -> &Volume {
        let volume = self.volumes.iter().find(|(known, _)| *known == to);
        &volume.expect("every use has a volume").1
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn files<'a>(issued: &'a Issued, trusted: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("tls.crt", issued.certificate.as_str()),
        ("tls.key", issued.private_key.as_str()),
        ("ca.crt", trusted),
    ]
}
