//! No client orphaned: what was created for a caller who never got the answer is undone.
//!
//! A guard watches one creating call from before its first byte until its answer is taken by the connection. Dropped
//! before that (the caller has gone, the time is over), or when nobody knows whether something was made, it asks the
//! connector to abort the operation until the connector has accepted that. From then on the connector sees to it; in case
//! it does not live to the end of it, whoever is there afterwards is asked once more.

mod abort;
mod pending;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dcr_contract::model::{AbortTarget, Caller, OperationId, Reference};
use dcr_contract::{Fault, Outcome, Reason, Remote};
use dcr_runtime::Shutdown;
use dcr_runtime::telemetry::Cause;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use tracing::Instrument;

pub(crate) use self::pending::Pending;
use crate::audit::Audit;
use crate::metrics::{Metrics, ProviderLabel};

/// How long a process that stops waits for what must be undone.
pub(crate) const DRAIN: Duration = Duration::from_secs(40);

/// What keeps clients from being orphaned, by name: the chaos suite switches it off and has to see the harm.
#[derive(Debug, Clone, Copy)]
pub struct Protections {
    /// Whether the guard aborts what was not handed over.
    pub guard: bool,
}

impl Default for Protections {
    fn default() -> Self {
        Self { guard: true }
    }
}

/// Watches one creating call.
#[derive(Debug)]
pub(crate) struct Guard(Option<Watched>);

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) connector: Remote,
    pub(crate) caller: Caller,
    pub(crate) reference: Reference,
    pub(crate) operation: OperationId,
    pub(crate) target: AbortTarget,
    pub(crate) provider: ProviderLabel,
    pub(crate) pending: Pending,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit: Audit,
    pub(crate) cause: Cause,
    pub(crate) shutdown: Shutdown,
    /// A guard may be dropped where there is no runtime.
    pub(crate) runtime: Handle,
}

impl Guard {
    /// Begins to watch; to be done before the call is made.
    pub(crate) fn new(watched: Watched, protections: Protections) -> Self {
        Self(Some(watched).filter(|_| protections.guard))
    }

    /// Looks at what came of the call: a fault that says that nothing was done leaves nothing to undo. That the
    /// operation came twice does not: something between has sent our one call again, and another answer is lost.
    pub(crate) fn judge<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &result
            && fault.done() == Outcome::NotApplied
            && fault.why() != Reason::OperationRepeated
        {
            self.relax();
        }
        result
    }

    /// Ends the watch: there is nothing to undo.
    fn relax(&mut self) {
        self.0 = None;
    }

    /// Makes the answer to a request of this version, and watches until the connection has taken its body.
    pub(crate) fn hand_over(self, status: StatusCode, json: Vec<u8>, version: Version) -> Response {
        let length = HeaderValue::from(json.len());
        let json = Bytes::from(json);
        let body = if version == Version::HTTP_2 {
            self.within_the_window(json)
        } else {
            self.until_asked_for(json)
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The body does not tell its length any more, and chunks would be a needless surprise.
        headers.insert(CONTENT_LENGTH, length);
        response
    }

    /// A body for HTTP/1, where hyper asks for it when it can write it, and never asks whether it has ended.
    fn until_asked_for(mut self, json: Bytes) -> Body {
        Body::new(Full::new(json).map_frame(move |frame| {
            self.relax();
            frame
        }))
    }

    /// A body for HTTP/2, where hyper asks for a piece before the caller's window has room for it, and for the next one
    /// when it has given that to h2, for which the window must have had room for one byte more than what h2 still
    /// holds. So the last byte goes alone, and whoever is asked for the end knows that there was room for the whole.
    fn within_the_window(mut self, mut json: Bytes) -> Body {
        let last = json.split_off(json.len().saturating_sub(1));
        let mut pieces = [json, last].into_iter();
        Body::from_stream(tokio_stream::iter(std::iter::from_fn(move || {
            let piece = pieces.next();
            if piece.is_none() {
                self.relax();
            }
            piece.map(Ok::<_, Infallible>)
        })))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(watched) = self.0.take() {
            let (tracker, runtime) = (watched.shutdown.tracker().clone(), watched.runtime.clone());
            let unfinished = watched.shutdown.unfinished("abort", watched.operation);
            let pending = watched.pending.add();
            let span = watched.cause.span("undo");
            let abort = async move {
                watched.abort().await;
                drop((unfinished, pending));
            };
            tracker.spawn_on(abort.instrument(span), &runtime);
        }
    }
}
