//! The running gateway.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dcr_contract::model::Malformed;
use dcr_runtime::http::{self, Limits};
use dcr_runtime::probes::Readiness;
use dcr_runtime::process::{self, Probes};
use dcr_runtime::reloads::Reloads;
use dcr_runtime::telemetry::Traces;
use dcr_runtime::tls::ServerIdentity;
use dcr_runtime::watch::Watch;
use dcr_runtime::{Shutdown, listen, tls};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::audit::Audit;
use crate::config::{Config, load_dir, watched};
use crate::guard::{self, Protections};
use crate::reload::Reload;
use crate::routes::router;
use crate::state::Live;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has mistakes; each is in the log.
    #[error("the configuration cannot be used: see the mistakes above")]
    Configuration,
    /// SIGHUP cannot be heard.
    #[error("cannot listen for SIGHUP: {0}")]
    Hangup(#[source] io::Error),
    /// A port cannot be had.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// A connector's address is not one that HTTP can use.
    #[error("a connector's address {0}")]
    Connector(#[from] Malformed),
    /// The audit log cannot be written.
    #[error(
        "the audit log cannot be written ({0}); let `audit` in gateway.yaml name a file of its own in a directory that is \
         there and that the gateway may write to"
    )]
    Audit(#[from] std::io::Error),
    /// The exporter of traces cannot be made.
    #[error("{0}")]
    Traces(String),
}

/// Serves Konnect in plain text on `listener` and the probes on `probe_listener` (the configuration's own addresses are not looked
/// at) until `shutdown` stops; then answers what is in flight, and waits for what must be undone. Ready from the start.
///
/// # Errors
/// When a connector's address cannot be used.
#[cfg(feature = "dev")]
pub(crate) async fn serve_on(
    listener: TcpListener,
    probe_listener: TcpListener,
    config: &Config,
    protections: Protections,
    audit: Audit,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let live = Live::new(config, shutdown)?;
    let metrics = Registry::default();
    let doors = Doors {
        konnect: listener,
        tls: None,
        probes: probe_listener,
    };
    serve_live(doors, live, metrics, protections, audit, shutdown).await;
    Ok(())
}

/// Reads the configuration in a directory, binds its addresses and serves, and reads it again whenever it changes.
/// Providers that are held up are logged, the others served.
///
/// # Errors
/// When the configuration cannot be used, the audit log cannot be written, or an address cannot be listened on.
pub async fn serve(
    dir: &Path,
    protections: Protections,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let watch = Watch::new(watched(dir)).map_err(StartError::Hangup)?;
    let loaded = load_dir(dir).map_err(|problems| {
        problems
            .iter()
            .for_each(|problem| tracing::error!("{problem}"));
        StartError::Configuration
    })?;
    let traces = Traces::begin(
        "dcr-gateway",
        env!("CARGO_PKG_VERSION"),
        loaded.config.tracing.as_ref(),
    )
    .map_err(StartError::Traces)?;
    let audit = Audit::open(loaded.config.audit.as_ref())?;
    let (listen, probe_listen) = (loaded.config.listen, loaded.config.probe_listen);
    let live = Live::new(&loaded.config, shutdown)?;
    let mut metrics = Registry::default();
    let ours = metrics.sub_registry_with_prefix("dcr");
    let reloads = Reloads::new(ours);
    certificates(&loaded.config, ours, &reloads, shutdown)?;
    let tls = loaded.config.tls.clone();
    let mut reload = Reload::new(dir, loaded, live.clone(), reloads, ours);
    let doors = Doors {
        konnect: listen::bind("listen", listen).await?,
        tls,
        probes: listen::bind("probe_listen", probe_listen).await?,
    };
    watch.spawn(shutdown, move || reload.again());
    serve_live(doors, live, metrics, protections, audit, shutdown).await;
    traces.end().await;
    Ok(())
}

/// Has the certificates read again when they change, and their ends told.
fn certificates(
    config: &Config,
    metrics: &mut Registry,
    reloads: &Reloads,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let (server, client) = (&config.tls, &config.connector_tls);
    if let Some(server) = server {
        server
            .watch("tls", reloads, shutdown)
            .map_err(StartError::Hangup)?;
    }
    if let Some(client) = client {
        client
            .watch("connector_tls", reloads, shutdown)
            .map_err(StartError::Hangup)?;
    }
    tls::register_expiry(metrics, server.as_deref(), client.as_deref());
    Ok(())
}

/// Where Konnect and the probes come in.
struct Doors {
    konnect: TcpListener,
    tls: Option<Arc<ServerIdentity>>,
    probes: TcpListener,
}

async fn serve_live(
    doors: Doors,
    live: Live,
    mut metrics: Registry,
    protections: Protections,
    audit: Audit,
    shutdown: &Shutdown,
) {
    let router = router(live, protections, &mut metrics, &audit, shutdown);
    let probes = Probes {
        listener: doors.probes,
        readiness: Readiness::new(shutdown),
        metrics,
    };
    let limits = Limits::default();
    let konnect = http::serve(doors.konnect, router, limits, doors.tls, shutdown);
    process::serve(probes, konnect, || guard::DRAIN, shutdown).await;
    audit.flush().await;
}
