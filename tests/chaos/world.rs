//! The processes: two gateways, two replicas of the connector, and the IdP; started, killed and started again.

mod ending;
mod replacing;
mod seen;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dcr_tests::loopback;
use dcr_tests::ports::Ports;
use dcr_tests::{Folder, Process, Provider};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::balancer::Balancer;
use crate::befell::Befell;
use crate::certificates::{CONNECTOR, Certificates};
use crate::credentials::Credentials;
use crate::foreign;
use crate::journal::now;
use crate::keys::Keys;
use crate::names::Names;
use crate::plan::{Levels, Story};
use crate::protections::Protection;
use crate::replica::{Hole, Replica};
use crate::stalls::Stalls;

/// The provider with two replicas, and the one with one.
pub(crate) const PROVIDERS: [&str; 2] = ["chaos", "alone"];
pub(crate) const INSTALLATION: &str = "chaos";
/// Between two looks at what changes by itself.
const LOOK: Duration = Duration::from_millis(20);
/// For a process to begin, and for the IdP to be done with what is late.
const PATIENCE: Duration = Duration::from_secs(30);
const GRANTS: &str = "  grants:
  - audience: https://a.example
    scopes: [a.read]
    audiences: [https://a.example]
  - audience: https://b.example
    scopes: [b.read]
    audiences: [https://b.example]
";

/// A process of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Gateway(usize),
    Connector(usize),
    Idp,
}

impl Who {
    /// Whoever is asked before whoever asks.
    pub(crate) const ALL: [Self; 5] = [
        Self::Idp,
        Self::Connector(0),
        Self::Connector(1),
        Self::Gateway(0),
        Self::Gateway(1),
    ];
}

/// What the world is made with.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) mishaps: u32,
    pub(crate) levels: Levels,
    pub(crate) without: Option<&'static Protection>,
}

/// One kill: not before `from`, and over at `to` (microseconds since 1970).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kill {
    pub(crate) who: Who,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// When it listened again.
    pub(crate) again: Option<u64>,
    /// Of what.
    pub(crate) status: ExitStatus,
}

/// One process was asked to end at `from` (microseconds since 1970).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    pub(crate) who: Who,
    pub(crate) from: u64,
    /// Nothing when it did not end in time.
    pub(crate) status: Option<ExitStatus>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) folder: Folder,
    pub(crate) gateways: [SocketAddr; 2],
    idp: SocketAddr,
    pub(crate) certificates: Arc<Certificates>,
    keys: Mutex<Keys>,
    credentials: Mutex<Credentials>,
    options: Options,
    slots: Vec<(Who, tokio::sync::Mutex<Option<Process>>)>,
    connectors: [SocketAddr; 2],
    replicas: [Arc<Replica>; 2],
    balancers: Vec<Arc<Balancer>>,
    pub(crate) befell: Arc<Befell>,
    holes: Mutex<Vec<Hole>>,
    pub(crate) stalls: Stalls,
    kills: Mutex<Vec<Kill>>,
    drains: Mutex<Vec<Drain>>,
    printed: Mutex<Vec<(Who, String)>>,
    /// Where each process tells its metrics.
    metrics: Vec<(Who, SocketAddr)>,
    /// Every answer that Konnect heard and that may hold no secret.
    answers: Mutex<String>,
    _ports: Ports,
    _servers: JoinSet<()>,
}

impl World {
    /// Writes all configurations and starts everything.
    pub(crate) async fn start(options: Options, stories: impl Iterator<Item = Story>) -> Self {
        let folder = Folder::new();
        let mut ports = Ports::lease();
        let mut port = || ports.next_address();
        let (idp, gateways, connectors) = (port(), [port(), port()], [port(), port()]);
        let certificates = Arc::new(Certificates::new(folder.path()));
        let replicas = [0, 1].map(|number| Arc::new(Replica::new(number, connectors[number])));
        let (befell, names) = <(Arc<Befell>, Arc<Mutex<Names>>)>::default();
        let mut servers = JoinSet::new();
        let mut balancers = Vec::new();
        let mut providers = Vec::new();
        let mut metrics = Vec::new();
        for (id, replicas) in [
            (PROVIDERS[0], replicas.to_vec()),
            (PROVIDERS[1], vec![Arc::clone(&replicas[0])]),
        ] {
            let (listener, address) = loopback::listener().await;
            let certificates = Arc::clone(&certificates);
            let (befell, names) = (Arc::clone(&befell), Arc::clone(&names));
            let balancer = Balancer::new(replicas, certificates, befell, names, &options);
            let balancer = Arc::new(balancer);
            servers.spawn(Arc::clone(&balancer).serve(listener));
            balancers.push(balancer);
            providers.push(Provider::secured(id, address, CONNECTOR));
        }
        for (number, address) in gateways.iter().enumerate() {
            let (probes, tls) = (port(), certificates.of_gateway(number));
            let place = folder.path().join(format!("gateway-{number}"));
            let audit = place.join("audit.log");
            let audit = audit.display();
            std::fs::create_dir_all(place.join("records")).expect("the disk has room");
            let yaml = format!(
                "installation: {INSTALLATION}\nlisten: {address}\nprobe_listen: {probes}\n{tls}\
                 audit: {{file: {audit}}}\n"
            );
            metrics.push((Who::Gateway(number), probes));
            let _ = folder.write(&format!("gateway-{number}/gateway.yaml"), &yaml);
        }
        let credentials = Credentials::new(&folder, connectors.len());
        for (number, address) in connectors.iter().enumerate() {
            let (probes, tls) = (port(), certificates.of_connector(number));
            let credential = credentials.of_connector(number);
            metrics.push((Who::Connector(number), probes));
            let yaml = format!(
                "installation: {INSTALLATION}\nlisten: {address}\nprobe_listen: {probes}\n{tls}idp:\n  \
                 base_url: http://{idp}\n{credential}{GRANTS}"
            );
            let _ = folder.write(&format!("connector-{number}/connector.yaml"), &yaml);
        }
        foreign::plant(&folder.path().join("journal"), stories);
        let world = Self {
            folder,
            gateways,
            idp,
            certificates,
            keys: Mutex::new(Keys::new(providers)),
            credentials: Mutex::new(credentials),
            options,
            slots: Who::ALL
                .map(|who| (who, tokio::sync::Mutex::default()))
                .into(),
            connectors,
            replicas,
            balancers,
            befell,
            holes: Mutex::default(),
            stalls: Stalls::watch(),
            kills: Mutex::default(),
            drains: Mutex::default(),
            printed: Mutex::default(),
            metrics,
            answers: Mutex::default(),
            _ports: ports,
            _servers: servers,
        };
        for who in Who::ALL {
            world.begin(who, world.options.mishaps).await;
        }
        world
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub(crate) fn token_url(&self) -> String {
        format!("http://{}/token", self.idp)
    }

    fn slot(&self, who: Who) -> &tokio::sync::Mutex<Option<Process>> {
        let slot = self.slots.iter().find(|(known, _)| *known == who);
        &slot.expect("every process has a slot").1
    }

    async fn begin(&self, who: Who, mishaps: u32) {
        // Nobody changes its files while it reads them.
        let mut slot = self.slot(who).lock().await;
        if let Who::Gateway(number) = who {
            let mut keys = lock(&self.keys);
            let key = keys.rotate(&self.folder, number);
            keys.known[number] = key;
        }
        let mut arguments: Vec<OsString> = Vec::new();
        let (program, address) = match who {
            Who::Gateway(number) => (env!("CARGO_BIN_EXE_chaos-gateway"), self.gateways[number]),
            Who::Connector(number) => (
                env!("CARGO_BIN_EXE_chaos-connector"),
                self.connectors[number],
            ),
            Who::Idp => (env!("CARGO_BIN_EXE_chaos-idp"), self.idp),
        };
        let file = |name: String| self.folder.path().join(name).into_os_string();
        match who {
            Who::Gateway(number) => {
                arguments.extend(self.without(true));
                arguments.extend(["--log", "debug", "serve", "--config"].map(OsString::from));
                arguments.push(file(format!("gateway-{number}")));
            }
            Who::Connector(number) => {
                arguments.extend(self.without(false));
                arguments.extend(["--log", "debug", "serve", "--config"].map(OsString::from));
                arguments.push(file(format!("connector-{number}/connector.yaml")));
            }
            Who::Idp => {
                arguments.extend(["--listen".into(), address.to_string().into()]);
                arguments.extend(["--journal".into(), file("journal".to_owned())]);
                arguments.extend(["--credentials".into(), file("credentials".to_owned())]);
                arguments.extend(["--seed".into(), self.options.seed.to_string().into()]);
                arguments.extend(["--mishaps".into(), mishaps.to_string().into()]);
            }
        }
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let process = Process::start(program, &arguments);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            let printed = process.output();
            assert!(Instant::now() < end, "{who:?} does not listen:\n{printed}");
            sleep(LOOK).await;
        }
        let mut kills = lock(&self.kills);
        let death = kills.iter_mut().rfind(|kill| kill.who == who);
        if let Some(kill) = death {
            kill.again.get_or_insert_with(now);
        }
        self.stalls.of(process.id());
        *slot = Some(process);
    }

    /// The argument that switches a protection off, where it is one of the gateway's, or one of the connector's.
    fn without(&self, of_gateway: bool) -> Option<OsString> {
        let off = self.options.without?;
        (off.of_gateway == of_gateway).then(|| format!("--without={}", off.name).into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
