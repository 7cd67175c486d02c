//! `/livez`, `/readyz` and `/metrics`, on a plain port of their own: whoever probes has no certificate, and the port
//! tells nothing but the health of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use hyper_util::server::conn::auto;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::connection;
use crate::http::Limits;
use crate::shutdown::Shutdown;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process may be sent work: all its latches are set, and it is not stopping. Clones are the same.
#[derive(Clone, Debug)]
pub struct Readiness {
    latches: Arc<Mutex<Vec<Latch>>>,
    shutdown: Shutdown,
}

impl Readiness {
    /// Readiness without a latch: ready until the process stops.
    #[must_use]
    pub fn new(shutdown: &Shutdown) -> Self {
        Self {
            latches: Arc::default(),
            shutdown: shutdown.clone(),
        }
    }

    /// A condition to wait for, named for the answer of `/readyz`.
    #[must_use]
    pub fn latch(&self, name: &'static str) -> Latch {
        let latch = Latch {
            name,
            set: Arc::default(),
        };
        self.lock().push(latch.clone());
        latch
    }

    /// Whether the process may be sent work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.missing().is_none()
    }

    /// The first thing that is missing.
    fn missing(&self) -> Option<&'static str> {
        if self.shutdown.is_stopping() {
            return Some("the end: the process is stopping");
        }
        let latches = self.lock();
        latches
            .iter()
            .find(|latch| !latch.is_set())
            .map(|latch| latch.name)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Latch>> {
        self.latches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One condition of readiness. Clones are the same latch.
#[derive(Clone, Debug)]
pub struct Latch {
    name: &'static str,
    set: Arc<AtomicBool>,
}

impl Latch {
    /// The condition holds.
    pub fn set(&self) {
        self.set.store(true, Ordering::Release);
    }

    /// The condition holds no longer.
    pub fn clear(&self) {
        self.set.store(false, Ordering::Release);
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}

/// Serves the probes until the process is over: through the drain it is alive, and not ready.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Registry,
    shutdown: &Shutdown,
) {
    let limits = Limits {
        connections: 64,
        headless_per_peer: 16,
        last_request: Duration::from_millis(500),
        drain: Duration::from_secs(1),
        ..Limits::default()
    };
    let router = router(readiness, metrics);
    connection::serve(
        listener,
        router,
        limits,
        None,
        auto::Builder::new,
        shutdown.over(),
    )
    .await;
}

fn router(readiness: Readiness, metrics: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(expose).with_state(Arc::new(metrics)))
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.missing() {
        None => "ready\n".into_response(),
        Some(name) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for {name}\n"),
        )
            .into_response(),
    }
}

async fn expose(State(metrics): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &metrics) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
