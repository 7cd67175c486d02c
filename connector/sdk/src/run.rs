//! A connector's process: subcommands, configuration, life.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use dcr_runtime::config::{Located, Problems, load};
use dcr_runtime::probes::Readiness;
use dcr_runtime::process::{self, Probes};
use dcr_runtime::telemetry::LevelFilter;
use dcr_runtime::tls::{MutualServerFiles, ServerIdentity};
use dcr_runtime::{Shutdown, grpc, listen, telemetry, tls};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::idp::Idp;
use crate::managed::{Imported, Managed, Protections};
use crate::mark::Made;
use crate::model::{Caller, ClientId, Deadline, Finding, Installation, ProviderId, Severity};
use crate::{Connector, Served};

/// How long the drain waits beyond `settle_after`: what is found then still has to be undone.
const UNDOING: Duration = Duration::from_secs(30);
/// How long an examination of the IdP may take.
const CHECK: Duration = Duration::from_secs(20);

/// What an [`Idp`] is told of its process beside its own section of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The installation whose clients this connector owns.
    pub installation: Installation,
    /// The configuration file, for messages.
    pub file: PathBuf,
}

impl Settings {
    /// Where to collect the mistakes of the section `idp`; their paths begin with `idp.`.
    #[must_use]
    pub fn problems(&self) -> Problems {
        Problems::in_file(&self.file)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile<C> {
    installation: Located<String>,
    listen: Located<SocketAddr>,
    probe_listen: SocketAddr,
    #[serde(default)]
    insecure_plaintext: bool,
    tls: Option<MutualServerFiles>,
    #[serde(default)]
    imported_clients: BTreeMap<String, Vec<Located<String>>>,
    idp: C,
}

/// A connector's configuration, read and judged whole.
struct Config<I> {
    installation: Installation,
    listen: SocketAddr,
    probe_listen: SocketAddr,
    tls: Option<Arc<ServerIdentity>>,
    imported: Imported,
    idp: I,
}

impl<I: Idp> Config<I> {
    fn read(file: &Path) -> Result<Self, Problems> {
        let config: ConfigFile<I::Config> = load(file)?;
        let mut problems = Problems::in_file(file);
        let installation = Installation::parse(&config.installation.value)
            .map_err(|m| problems.at(&config.installation, "installation", m.to_string()));
        let listen = config.listen.value;
        if config.tls.is_none() && !listen.ip().is_loopback() && !config.insecure_plaintext {
            problems.at(
                &config.listen,
                "listen",
                "is not loopback and would be served without TLS: give `tls`, listen on 127.0.0.1, or set \
                 `insecure_plaintext: true` where the network itself keeps others out",
            );
        }
        let tls = config.tls.and_then(|tls| tls.open("tls", &mut problems));
        let imported = imported(&config.imported_clients, &mut problems);
        let Ok(installation) = installation else {
            return Err(problems);
        };
        let settings = Settings {
            installation,
            file: file.to_owned(),
        };
        match I::open(config.idp, &settings) {
            Ok(idp) => {
                let (installation, probe_listen) = (settings.installation, config.probe_listen);
                problems.or(Self {
                    installation,
                    listen,
                    probe_listen,
                    tls,
                    imported,
                    idp,
                })
            }
            Err(more) => {
                problems.append(more);
                Err(problems)
            }
        }
    }
}

fn imported(clients: &BTreeMap<String, Vec<Located<String>>>, problems: &mut Problems) -> Imported {
    let mut imported = HashMap::new();
    for (provider, ids) in clients {
        let path = format!("imported_clients.{provider}");
        let provider = match ProviderId::parse(provider) {
            Ok(provider) => provider,
            Err(m) => {
                problems.anywhere(path, format!("the provider id {m}"));
                continue;
            }
        };
        let parsed = ids.iter().enumerate().filter_map(|(index, id)| {
            ClientId::parse(&id.value)
                .map_err(|m| problems.at(id, format!("{path}[{index}]"), m.to_string()))
                .ok()
        });
        imported.insert(provider, parsed.collect());
    }
    Imported(imported)
}

#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, global = true, default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gateway.
    Serve {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Validate the configuration and examine the identity provider; changes nothing.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Admit a client that the bridge did not make: write a provider's mark into it.
    Adopt {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The provider as the gateway's configuration names it.
        #[arg(long)]
        provider: ProviderId,
        /// The client's id at the identity provider.
        #[arg(long)]
        client_id: ClientId,
        /// Let Konnect's delete delete the client; without this it is left in place.
        #[arg(long)]
        owned: bool,
    },
    /// Sleeps and does nothing else: a preStop hook for clusters whose Pods have no `sleep` action.
    Sleep {
        /// For how long.
        seconds: u64,
    },
}

/// Runs a connector: the whole `main` of its binary. Owns the subcommands `serve`, `check`, `adopt` and `sleep`.
#[must_use]
pub fn run<I: Idp>() -> ExitCode {
    run_with::<I>(Protections::default(), std::env::args_os())
}

/// The same with these arguments and a protection off: for tests alone.
#[doc(hidden)]
#[must_use]
pub fn run_with<I: Idp>(
    protections: Protections,
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    telemetry::init(arguments.log);
    process::run(|shutdown| async move {
        match arguments.command {
            Command::Serve { config } => serve::<I>(&config, protections, &shutdown).await,
            Command::Check { config } => check::<I>(&config).await,
            Command::Adopt {
                config,
                provider,
                client_id,
                owned,
            } => {
                let made = if owned {
                    Made::AdoptedAsOwned
                } else {
                    Made::Adopted
                };
                adopt::<I>(&config, provider, &client_id, made).await
            }
            Command::Sleep { seconds } => {
                process::sleep(Duration::from_secs(seconds), &shutdown).await;
                Ok(())
            }
        }
    })
}

/// Serves an IdP's connector within another process, on a socket of its own and without probes: until `shutdown`
/// stops, and then until what was not delivered has been undone.
pub async fn serve_on<I: Idp>(idp: I, listener: TcpListener, shutdown: &Shutdown) {
    let settle_after = idp.traits().settle_after;
    let connector = Managed::new(idp, Imported::default(), shutdown);
    calls(connector, listener, None, shutdown).await;
    shutdown.drain(settle_after + UNDOING).await;
}

async fn calls<I: Idp>(
    connector: Managed<I>,
    listener: TcpListener,
    tls: Option<Arc<ServerIdentity>>,
    shutdown: &Shutdown,
) {
    let routes = Served::routes(Arc::new(connector));
    let service = Served::<Managed<I>>::SERVICE_NAME;
    grpc::serve(listener, routes, service, grpc::limits(), tls, shutdown).await;
}

async fn serve<I: Idp>(
    file: &Path,
    protections: Protections,
    shutdown: &Shutdown,
) -> Result<(), String> {
    let config = Config::<I>::read(file).map_err(text)?;
    let listener = listen::bind("listen", config.listen).await.map_err(text)?;
    let probes = listen::bind("probe_listen", config.probe_listen)
        .await
        .map_err(text)?;
    let settle_after = config.idp.traits().settle_after;
    let connector = Managed::protected(config.idp, config.imported, shutdown, protections);
    connector.remove_old_probes(&config.installation);
    let mut metrics = Registry::with_prefix("dcr");
    tls::register_expiry(&mut metrics, config.tls.as_deref(), None);
    if let Some(tls) = &config.tls {
        tls.watch(shutdown)
            .map_err(|e| format!("cannot listen for SIGHUP: {e}"))?;
    }
    let probes = Probes {
        listener: probes,
        readiness: Readiness::new(shutdown),
        metrics,
    };
    tracing::info!(connector = I::NAME, version = I::VERSION, "serving");
    let calls = calls(connector, listener, config.tls, shutdown);
    process::serve(probes, calls, settle_after + UNDOING, shutdown).await;
    Ok(())
}

async fn check<I: Idp>(file: &Path) -> Result<(), String> {
    let config = Config::<I>::read(file).map_err(text)?;
    let connector = Managed::new(config.idp, config.imported, &Shutdown::new());
    let findings = connector
        .check(Deadline::after(CHECK))
        .await
        .map_err(text)?;
    print(&findings).map_err(text)?;
    match findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count()
    {
        0 => Ok(()),
        wrong => Err(format!("{wrong} findings will make calls fail; see above")),
    }
}

fn print(findings: &[Finding]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        writeln!(
            out,
            "{severity:<8} {:<28} {}",
            finding.code, finding.sentence
        )?;
    }
    out.flush()
}

async fn adopt<I: Idp>(
    file: &Path,
    provider_id: ProviderId,
    client_id: &ClientId,
    made: Made,
) -> Result<(), String> {
    let config = Config::<I>::read(file).map_err(text)?;
    let caller = Caller {
        installation: config.installation,
        provider_id,
    };
    let connector = Managed::new(config.idp, config.imported, &Shutdown::new());
    connector
        .adopt(&caller, client_id, made, Deadline::after(CHECK))
        .await
        .map_err(|fault| match fault.sentence() {
            Some(sentence) => format!("not adopted: {sentence} ({fault})"),
            None => format!("not adopted: {fault}"),
        })?;
    tracing::info!(provider = %caller.provider_id, %client_id, "adopted");
    Ok(())
}

fn text(error: impl Display) -> String {
    error.to_string()
}
