//! A connector's process: subcommands, configuration, life.

mod config;
mod reload;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use dcr_contract::Observer;
use dcr_runtime::config::Problems;
use dcr_runtime::probes::Readiness;
use dcr_runtime::process::{self, Probes};
use dcr_runtime::reloads::Reloads;
use dcr_runtime::telemetry::{LevelFilter, Traces};
use dcr_runtime::tls::ServerIdentity;
use dcr_runtime::watch::Watch;
use dcr_runtime::{Shutdown, grpc, listen, telemetry, tls};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use self::config::{Certificates, Config, Read};
use self::reload::{Fixed, Home, Reload};
use crate::Served;
use crate::examine;
use crate::idp::Idp;
use crate::managed::{Managed, Protections};
use crate::mark::Made;
use crate::metrics::Metrics;
use crate::model::{Caller, ClientId, Deadline, Finding, ProviderId, Severity};
use crate::settings::Kept;

/// How long the drain waits beyond `settle_after`: what is found then still has to be undone.
const UNDOING: Duration = Duration::from_secs(30);

/// For all that `check --probe` tries.
const TIME_TO_PROBE: Duration = Duration::from_mins(2);

#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments<X: Subcommand> {
    /// How much to log: error, warn, info, debug or trace.
    #[arg(long, global = true, default_value = "info")]
    log: LevelFilter,
    #[command(subcommand)]
    command: Command<X>,
}

#[derive(Debug, Subcommand)]
enum Command<X: Subcommand> {
    /// Serve the gateway.
    Serve {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Validate the configuration and examine the identity provider; changes nothing without --probe.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Make throw-away clients as well, learn from them what the identity provider does, and remove them.
        #[arg(long)]
        probe: bool,
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
        #[arg(long, allow_hyphen_values = true)]
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
    #[command(flatten)]
    Extra(X),
}

/// Subcommands that not every connector has.
pub(crate) trait Extra<I>: Subcommand + Send {
    /// Does what was asked for.
    fn run(self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Those of a connector that has no others.
#[derive(Debug, Subcommand)]
enum None {}

impl<I: Idp> Extra<I> for None {
    async fn run(self) -> Result<(), String> {
        match self {}
    }
}

/// Runs a connector: the whole `main` of its binary. Owns the subcommands `serve`, `check`, `adopt` and `sleep`.
#[must_use]
pub fn run<I: Idp>() -> ExitCode {
    run_with::<I>(Protections::default(), std::env::args_os())
}

/// The same with subcommands beside the usual ones.
#[cfg(feature = "store")]
pub(crate) fn run_extended<I: Idp, X: Extra<I>>(
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    obey::<I, X>(Protections::default(), arguments)
}

/// The same with these arguments and a protection off: for tests alone.
#[doc(hidden)]
#[must_use]
pub fn run_with<I: Idp>(
    protections: Protections,
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    obey::<I, None>(protections, arguments)
}

fn obey<I: Idp, X: Extra<I>>(
    protections: Protections,
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let arguments = Arguments::<X>::parse_from(arguments);
    telemetry::init(arguments.log);
    process::run(|shutdown| async move {
        match arguments.command {
            Command::Serve { config } => serve::<I>(&config, protections, &shutdown).await,
            Command::Check { config, probe } => check::<I>(&config, probe).await,
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
            Command::Extra(extra) => extra.run().await,
        }
    })
}

/// Serves a connector within another process, as in a test: until `shutdown` stops, and then until what was not
/// delivered has been undone. The socket stands in the place of the configuration's `listen`; there are no probes, and
/// the configuration is read once.
///
/// # Errors
/// Every mistake in the configuration; nothing was served.
pub async fn serve_on<I: Idp>(
    file: &Path,
    listener: TcpListener,
    shutdown: &Shutdown,
) -> Result<(), Problems> {
    let config = Read::<I>::of(file, &Kept::serving(), Certificates::Read).config?;
    let settle_after = config.idp.traits().settle_after;
    let connector = Managed::new(config.idp, config.imported, shutdown);
    let identity = config.identity;
    calls(Arc::new(connector), None, listener, identity, shutdown).await;
    shutdown.drain(settle_after + UNDOING).await;
    Ok(())
}

async fn calls<I: Idp>(
    connector: Arc<Managed<I>>,
    observer: Option<Arc<dyn Observer>>,
    listener: TcpListener,
    tls: Option<Arc<ServerIdentity>>,
    shutdown: &Shutdown,
) {
    let routes = Served::routes(connector, observer);
    let service = Served::<Managed<I>>::SERVICE_NAME;
    grpc::serve(listener, routes, service, grpc::limits(), tls, shutdown).await;
}

async fn serve<I: Idp>(
    file: &Path,
    protections: Protections,
    shutdown: &Shutdown,
) -> Result<(), String> {
    let kept = Kept::serving();
    let mut watch = Watch::new([file.to_owned()]).map_err(|e| no_signal(&e))?;
    let (mut config, files) = loop {
        let Read { config, files } = Read::<I>::of(file, &kept, Certificates::Read);
        let config = config.map_err(|problems| mistakes(&problems))?;
        // What it names is looked at before it is read.
        if !watch.follow(files.iter().cloned()) {
            break (config, files);
        }
    };
    let service = format!("dcr-connector-{}", I::NAME);
    let traces = Traces::begin(&service, I::VERSION, config.tracing.as_ref())?;
    let home = Home::of(&config);
    let fixed = Fixed::of(&mut config);
    let listener = listen::bind("listen", config.listen).await.map_err(text)?;
    let probes = listen::bind("probe_listen", config.probe_listen)
        .await
        .map_err(text)?;
    let connector = Managed::protected(config.idp, config.imported, shutdown, protections);
    connector.remove_old_probes(&config.installation);
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry, I::NAME, I::VERSION));
    connector.register(&mut registry);
    let ours = registry.sub_registry_with_prefix("dcr");
    tls::register_expiry(ours, config.identity.as_deref(), None);
    let reloads = Reloads::new(ours);
    if let Some(identity) = &config.identity {
        identity
            .watch("tls", &reloads, shutdown)
            .map_err(|e| no_signal(&e))?;
    }
    let mut reload = Reload {
        file: file.to_owned(),
        files,
        kept,
        home,
        fixed,
        connector: connector.clone(),
        reloads,
    };
    watch.spawn(shutdown, move || reload.again());
    let connector = Arc::new(connector);
    examine::regularly(Arc::clone(&connector), Arc::clone(&metrics), shutdown);
    let probes = Probes {
        listener: probes,
        readiness: Readiness::new(shutdown),
        metrics: registry,
    };
    tracing::info!(connector = I::NAME, version = I::VERSION, "serving");
    let current = Arc::clone(&connector);
    let calls = calls(
        connector,
        Some(metrics),
        listener,
        config.identity,
        shutdown,
    );
    let tasks = || current.settle_after() + UNDOING;
    process::serve(probes, calls, tasks, shutdown).await;
    traces.end().await;
    Ok(())
}

async fn check<I: Idp>(file: &Path, probe: bool) -> Result<(), String> {
    let idp = read::<I>(file)?.idp;
    let mut findings = idp.check(Deadline::after(examine::PATIENCE)).await;
    if probe {
        findings.extend(idp.probe(Deadline::after(TIME_TO_PROBE)).await);
    }
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    print(&findings).map_err(text)?;
    match findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count()
    {
        0 => Ok(()),
        1 => Err("1 finding will make calls fail; see above".to_owned()),
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
    let config = read::<I>(file)?;
    let caller = Caller {
        installation: config.installation,
        provider_id,
    };
    let connector = Managed::new(config.idp, config.imported, &Shutdown::new());
    connector
        .adopt(&caller, client_id, made, Deadline::after(examine::PATIENCE))
        .await
        .map_err(|fault| match fault.sentence() {
            Some(sentence) => format!("not adopted: {sentence} ({fault})"),
            None => format!("not adopted: {fault}"),
        })?;
    tracing::info!(provider = %caller.provider_id, %client_id, "adopted");
    Ok(())
}

/// The IdP of a configuration file, for a command that does not serve.
#[cfg(feature = "store")]
pub(crate) fn opened<I: Idp>(file: &Path) -> Result<I, String> {
    read::<I>(file).map(|config| config.idp)
}

fn read<I: Idp>(file: &Path) -> Result<Config<I>, String> {
    Read::of(file, &Kept::default(), Certificates::Read)
        .config
        .map_err(|problems| mistakes(&problems))
}

/// Logs every mistake.
fn mistakes(problems: &Problems) -> String {
    problems
        .iter()
        .for_each(|problem| tracing::error!("{problem}"));
    "the configuration cannot be used: see the mistakes above".to_owned()
}

fn no_signal(error: &std::io::Error) -> String {
    format!("cannot listen for SIGHUP: {error}")
}

fn text(error: impl Display) -> String {
    error.to_string()
}
