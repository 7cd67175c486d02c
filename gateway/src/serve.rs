//! The running gateway.

use std::io;
use std::path::Path;

use dcr_contract::model::Malformed;
use dcr_runtime::http::{self, Limits};
use dcr_runtime::probes::Readiness;
use dcr_runtime::process::{self, Probes};
use dcr_runtime::watch::Watch;
use dcr_runtime::{Shutdown, listen};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::config::{Config, load_dir, watched};
use crate::guard::{self, Protections};
use crate::reload::Reload;
use crate::routes::router_over;
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
}

/// Serves Konnect on `listener` and the probes on `probe_listener` (the configuration's own addresses are not looked
/// at) until `shutdown` stops; then answers what is in flight, and waits for what must be undone. Ready from the start.
///
/// # Errors
/// When a connector's address cannot be used.
pub async fn serve_on(
    listener: TcpListener,
    probe_listener: TcpListener,
    config: &Config,
    protections: Protections,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let live = Live::new(config, shutdown)?;
    let metrics = Registry::default();
    serve_live(
        listener,
        probe_listener,
        live,
        metrics,
        protections,
        shutdown,
    )
    .await;
    Ok(())
}

/// Reads the configuration in a directory, binds its addresses and serves, and reads it again whenever it changes.
/// Providers that are held up are logged, the others served.
///
/// # Errors
/// When the configuration cannot be used, or an address cannot be listened on.
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
    let (listen, probe_listen) = (loaded.config.listen, loaded.config.probe_listen);
    let live = Live::new(&loaded.config, shutdown)?;
    let mut metrics = Registry::default();
    let mut reload = Reload::new(dir, loaded, live.clone(), &mut metrics);
    let listener = listen::bind("listen", listen).await?;
    let probe_listener = listen::bind("probe_listen", probe_listen).await?;
    watch.spawn(shutdown, move || reload.again());
    serve_live(
        listener,
        probe_listener,
        live,
        metrics,
        protections,
        shutdown,
    )
    .await;
    Ok(())
}

async fn serve_live(
    listener: TcpListener,
    probe_listener: TcpListener,
    live: Live,
    mut metrics: Registry,
    protections: Protections,
    shutdown: &Shutdown,
) {
    let router = router_over(live, protections, &mut metrics, shutdown);
    let probes = Probes {
        listener: probe_listener,
        readiness: Readiness::new(shutdown),
        metrics,
    };
    let konnect = http::serve(listener, router, Limits::default(), shutdown);
    process::serve(probes, konnect, guard::DRAIN, shutdown).await;
}
