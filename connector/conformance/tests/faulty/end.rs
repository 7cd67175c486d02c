//! The end of the faulty connector.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use dcr_connector::Shutdown;
use tokio::sync::{Notify, watch};
use tonic::Code;

use crate::fault::Fault;
use crate::stand_in::StandIn;

/// The end of a connector, as its calls see it.
#[derive(Debug, Clone)]
pub(crate) struct End {
    fault: Fault,
    is_told: watch::Sender<bool>,
    late_call: Arc<Notify>,
}

impl End {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            is_told: watch::Sender::default(),
            late_call: Arc::default(),
        }
    }

    /// Waits to be told to end, does that by `shutdown`, and lets the stand-in end with it.
    pub(crate) async fn come(self, mut stand_in: StandIn, shutdown: Shutdown) {
        stand_in.told().await;
        self.is_told.send_replace(true);
        let serves_on = [Fault::ServesOnAtItsEnd, Fault::RefusesLateCallsBarely];
        if serves_on.contains(&self.fault) {
            self.late_call.notified().await;
        }
        shutdown.stop();
        shutdown.over().await;
        if self.fault != Fault::NeverEnds {
            stand_in.end().await;
        }
        // Kept, so that nobody kills it or sees that it has ended.
        std::future::pending::<()>().await;
    }

    /// What becomes of a call before the connector is told to end, and after.
    pub(crate) async fn answered(self, request: Request, next: Next) -> Response {
        let mut is_told = self.is_told.subscribe();
        if !*is_told.borrow_and_update() {
            return tokio::select! {
                answer = next.run(request) => answer,
                _ = is_told.changed(), if self.fault == Fault::DropsCallsAtItsEnd => bare(Code::Cancelled),
            };
        }
        self.late_call.notify_one();
        if self.fault == Fault::RefusesLateCallsBarely {
            return bare(Code::Unavailable);
        }
        next.run(request).await
    }
}

/// A status without details.
pub(crate) fn bare(code: Code) -> Response {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code as i32)
        .body(Body::empty())
        .unwrap()
}
