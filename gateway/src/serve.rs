//! The running gateway.

use dcr_contract::model::Malformed;
use dcr_runtime::http::{self, Limits};
use dcr_runtime::probes::Readiness;
use dcr_runtime::process::{self, Probes};
use dcr_runtime::{Shutdown, listen};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::config::{Config, Loaded};
use crate::guard::{self, Protections};
use crate::routes::router;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
    let mut metrics = Registry::default();
    let router = router(config, protections, &mut metrics, shutdown)?;
    let probes = Probes {
        listener: probe_listener,
        readiness: Readiness::new(shutdown),
        metrics,
    };
    let konnect = http::serve(listener, router, Limits::default(), shutdown);
    process::serve(probes, konnect, guard::DRAIN, shutdown).await;
    Ok(())
}

/// Binds the configured addresses and serves. Providers that are held up are logged, the others served.
///
/// # Errors
/// When an address cannot be listened on, or a connector's address cannot be used.
pub async fn serve(
    loaded: &Loaded,
    protections: Protections,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    for problem in &loaded.held_up {
        tracing::error!("a provider is held up: {problem}");
    }
    let config = &loaded.config;
    if config.providers.is_empty() {
        tracing::warn!("no provider is served: add its file to providers.d/");
    }
    for provider in &config.providers {
        let (id, connector) = (&provider.id, &provider.connector);
        tracing::info!(provider = %id, path = %provider.path, %connector, "provider");
    }
    let listener = listen::bind("listen", config.listen).await?;
    let probe_listener = listen::bind("probe_listen", config.probe_listen).await?;
    serve_on(listener, probe_listener, config, protections, shutdown).await
}
