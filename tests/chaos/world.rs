//! The processes: two gateways, two replicas of the connector, and the IdP; started, killed and started again.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dcr_tests::bridge::random;
use dcr_tests::{Folder, Http, Process, Provider};
use http::Request;
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::balancer::{Balancer, Resent};
use crate::foreign;
use crate::journal::now;
use crate::keys::Keys;
use crate::passed::Passed;
use crate::plan::Levels;

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

/// What the world is made with.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) mishaps: u32,
    pub(crate) levels: Levels,
    pub(crate) without: Option<String>,
}

/// One kill: not before `from`, and over at `to` (microseconds since 1970).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kill {
    pub(crate) who: Who,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Of what.
    pub(crate) status: ExitStatus,
}

/// One process was asked to end at `from` (microseconds since 1970), and did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    pub(crate) who: Who,
    pub(crate) from: u64,
    pub(crate) status: ExitStatus,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) folder: Folder,
    pub(crate) gateways: [SocketAddr; 2],
    idp: SocketAddr,
    keys: Mutex<Keys>,
    credentials: Vec<String>,
    options: Options,
    slots: Vec<(Who, tokio::sync::Mutex<Option<Process>>)>,
    connectors: [SocketAddr; 2],
    balancers: Vec<Arc<Balancer>>,
    kills: Mutex<Vec<Kill>>,
    drains: Mutex<Vec<Drain>>,
    printed: Mutex<Vec<(Who, String)>>,
    _servers: JoinSet<()>,
}

impl World {
    /// Writes all configurations and starts everything.
    pub(crate) async fn start(options: Options) -> Self {
        let folder = Folder::new();
        let (idp, gateways, connectors) = (port(), [port(), port()], [port(), port()]);
        let mut servers = JoinSet::new();
        let mut balancers = Vec::new();
        let mut providers = Vec::new();
        for (id, replicas) in [
            (PROVIDERS[0], connectors.to_vec()),
            (PROVIDERS[1], vec![connectors[0]]),
        ] {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("loopback has a free port");
            let address = listener.local_addr().expect("it is bound");
            let balancer = Arc::new(Balancer::new(replicas, options.seed, options.levels));
            servers.spawn(Arc::clone(&balancer).serve(listener));
            balancers.push(balancer);
            providers.push(Provider::new(id, address));
        }
        for (number, address) in gateways.iter().enumerate() {
            let probes = port();
            let yaml = format!(
                "installation: {INSTALLATION}\nlisten: {address}\nprobe_listen: {probes}\n"
            );
            let _ = folder.write(&format!("gateway-{number}/gateway.yaml"), &yaml);
        }
        let mut credentials = Vec::new();
        let mut known = String::new();
        for (number, address) in connectors.iter().enumerate() {
            let (probes, secret) = (port(), random());
            let _ = writeln!(known, "connector-{number} {secret}");
            let file = folder.write(&format!("connector-{number}/secret"), &secret);
            let yaml = format!(
                "installation: {INSTALLATION}\nlisten: {address}\nprobe_listen: {probes}\nidp:\n  \
                 base_url: http://{idp}\n  client_id: connector-{number}\n  client_secret_file: {}\n{GRANTS}",
                file.display()
            );
            let _ = folder.write(&format!("connector-{number}/connector.yaml"), &yaml);
            credentials.push(secret);
        }
        let _ = folder.write("credentials", &known);
        foreign::plant(&folder.path().join("journal"));
        let all = [
            Who::Idp,
            Who::Connector(0),
            Who::Connector(1),
            Who::Gateway(0),
            Who::Gateway(1),
        ];
        let world = Self {
            folder,
            gateways,
            idp,
            keys: Mutex::new(Keys::new(providers)),
            credentials,
            options,
            slots: all.map(|who| (who, tokio::sync::Mutex::default())).into(),
            connectors,
            balancers,
            kills: Mutex::default(),
            drains: Mutex::default(),
            printed: Mutex::default(),
            _servers: servers,
        };
        for who in all {
            world.begin(who, world.options.mishaps).await;
        }
        world
    }

    /// The key of a provider that Konnect uses now.
    pub(crate) fn key(&self, provider: usize) -> String {
        lock(&self.keys).current(provider).to_owned()
    }

    /// Gives a gateway another key and has it read its files again (SIGHUP), while it serves.
    pub(crate) async fn reload(&self, gateway: usize) {
        let key = lock(&self.keys).rotate(&self.folder, gateway);
        if let Some(process) = &*self.slot(Who::Gateway(gateway)).lock().await {
            process.hangup().await;
        }
        let http = Http::new();
        let end = Instant::now() + PATIENCE;
        for number in [0, 1] {
            let value = lock(&self.keys).providers[number].keys[key].0.clone();
            let url = format!("http://{}/{}", self.gateways[gateway], PROVIDERS[number]);
            loop {
                // Nobody makes a client so: the answer is 401 or 405.
                let request = Request::put(&url)
                    .header("x-api-key", &value)
                    .body(Full::new(Bytes::new()))
                    .expect("a request");
                match http.send(request).await {
                    Ok(answer) if answer.status != 401 => break,
                    _ => assert!(
                        Instant::now() < end,
                        "gateway {gateway} never reads its files again"
                    ),
                }
                sleep(LOOK).await;
            }
        }
        lock(&self.keys).known[gateway] = key;
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
                arguments.extend(self.without());
                arguments.extend(["--log", "debug", "serve", "--config"].map(OsString::from));
                arguments.push(file(format!("gateway-{number}")));
            }
            Who::Connector(number) => {
                arguments.extend(self.without());
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
        *self.slot(who).lock().await = Some(process);
    }

    fn without(&self) -> Option<OsString> {
        let name = self.options.without.as_ref()?;
        Some(format!("--without={name}").into())
    }

    /// Kills a process (SIGKILL), and starts it again after a pause.
    pub(crate) async fn kill(&self, who: Who, pause: Duration) {
        self.end(who).await;
        sleep(pause).await;
        self.begin(who, self.options.mishaps).await;
    }

    async fn end(&self, who: Who) {
        if let Some(mut process) = self.slot(who).lock().await.take() {
            let from = now();
            let status = process.kill().await;
            let to = now();
            self.keep(who, &process);
            let kill = Kill {
                who,
                from,
                to,
                status,
            };
            lock(&self.kills).push(kill);
        }
    }

    /// Asks a process to end, and waits for all that it still has to do.
    pub(crate) async fn drain(&self, who: Who, limit: Duration) {
        if let Some(mut process) = self.slot(who).lock().await.take() {
            let from = now();
            process.terminate().await;
            let status = process.ended(limit).await;
            self.keep(who, &process);
            lock(&self.drains).push(Drain { who, from, status });
        }
    }

    /// Waits until the IdP is done with all that is late, then starts it anew from its journal. From now on nothing
    /// goes wrong.
    pub(crate) async fn calm(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let request = Request::get(format!("http://{}/pending", self.idp))
                .body(Full::new(Bytes::new()))
                .expect("a request");
            let answer = Http::new().send(request).await.expect("the IdP answers");
            if answer.json()["pending"] == 0 {
                break;
            }
            assert!(Instant::now() < end, "the IdP is never done");
            sleep(LOOK).await;
        }
        self.balancers.iter().for_each(|balancer| balancer.calm());
        self.end(Who::Idp).await;
        lock(&self.kills).pop();
        self.begin(Who::Idp, 0).await;
    }

    /// Starts the bridge anew, before an IdP that does what it should.
    pub(crate) async fn resume(&self) {
        for number in [0, 1] {
            self.begin(Who::Connector(number), 0).await;
        }
        for number in [0, 1] {
            self.begin(Who::Gateway(number), 0).await;
        }
    }

    /// All kills so far.
    pub(crate) fn kills(&self) -> Vec<Kill> {
        lock(&self.kills).clone()
    }

    /// All processes so far that were asked to end.
    pub(crate) fn drains(&self) -> Vec<Drain> {
        lock(&self.drains).clone()
    }

    /// What came of the requests that got through to a connector twice.
    pub(crate) fn resent(&self) -> Vec<Resent> {
        self.balancers.iter().map(|b| b.resent()).collect()
    }

    /// What has got through to connectors.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.balancers.iter().flat_map(|b| b.log.all()).collect()
    }

    /// All that any process of the bridge has printed and ended.
    pub(crate) fn printed(&self) -> Vec<(Who, String)> {
        lock(&self.printed).clone()
    }

    /// What no process may print: every key there ever was, and the connectors' credentials.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = lock(&self.keys).all();
        secrets.extend(self.credentials.iter().cloned());
        secrets
    }

    /// How often Konnect went over to another key.
    pub(crate) fn keys_rotated(&self) -> usize {
        lock(&self.keys).current
    }

    fn keep(&self, who: Who, process: &Process) {
        lock(&self.printed).push((who, process.output()));
    }
}

/// A port that no outgoing connection takes while its process is dead: below the range of those (32768 and more).
fn port() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(12_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
