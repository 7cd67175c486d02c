//! A gRPC server: HTTP/2 alone, with `grpc.health.v1` beside the service.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::connection;
use crate::http::Limits;
use crate::shutdown::Shutdown;
use crate::tls::ServerIdentity;

/// Limits for gRPC. They differ from those for HTTP, since callers are few and keep their connections: a connection
/// may wait 30 s for its first call, lives at most 5 minutes (so that callers spread over new replicas), with up to
/// 256 calls at once, and its idleness is ended by its age.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        header_read: Duration::from_secs(30),
        idle: Duration::from_mins(10),
        max_age: Some(Duration::from_mins(5)),
        streams: 256,
        ..Limits::default()
    }
}

/// Serves `routes` until the process stops, then answers what is in flight, at most for `limits.drain`.
///
/// Health tells SERVING for `service` and for the server as a whole (the empty name), and NOT_SERVING from the moment
/// the process stops. A call's deadline is kept by the service, not here. Without `tls` the text is plain.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    service: &str,
    limits: Limits,
    tls: Option<Arc<ServerIdentity>>,
    shutdown: &Shutdown,
) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in ["", service] {
        reporter.set_service_status(name, Serving).await;
    }
    let services = routes.add_service(health).prepare().into_axum_router();
    let stop = async {
        shutdown.stopping().await;
        for name in ["", service] {
            reporter.set_service_status(name, NotServing).await;
        }
    };
    let http2 = |executor| auto::Builder::new(executor).http2_only();
    connection::serve(listener, services, limits, tls, http2, stop).await;
}
