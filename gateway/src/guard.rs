//! No client orphaned: what was created for a caller who never got the answer is undone.
//!
//! A guard watches one creating call from before its first byte until its answer is taken by the connection. Dropped
//! before that (the caller has gone, the time is over), or when nobody knows whether something was made, it asks the
//! connector to abort the operation until the connector has accepted that. From then on the connector sees to it; in case
//! it does not live to the end of it, whoever is there afterwards is asked once more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dcr_contract::model::{Abort, AbortTarget, Call, Caller, Deadline, OperationId, Reference};
use dcr_contract::{Connector, Fault, FaultKind, Outcome, Reason, Remote};
use dcr_runtime::Shutdown;
use dcr_runtime::telemetry::Cause;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::audit::Audit;
use crate::metrics::{Metrics, OperationLabels, ProviderLabel};

/// For one try.
const TRY: Duration = Duration::from_secs(5);
/// Between the first two tries; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Connectors refuse to abort what is older than 15 minutes.
const GIVE_UP_AFTER: Duration = Duration::from_secs(14 * 60);
/// How long a connector looks after what it has accepted, where it has not told.
const SETTLE_AFTER: Duration = Duration::from_secs(30);
/// Later than this a connector would refuse to be asked.
const LONGEST_SETTLING: Duration = Duration::from_secs(10 * 60);
/// What a connector may take beyond that.
const SETTLED: Duration = Duration::from_secs(5);
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
            let span = watched.cause.span("undo");
            let abort = async move {
                watched.abort().await;
                drop(unfinished);
            };
            tracker.spawn_on(abort.instrument(span), &runtime);
        }
    }
}

impl Watched {
    async fn abort(self) {
        let first = self.until_answered().await;
        let is_accepted = matches!(first, Ok(Abort::Accepted));
        self.note(first);
        if is_accepted {
            self.ask_again().await;
        }
    }

    /// Asks until the connector answers; the fault that makes asking again useless.
    async fn until_answered(&self) -> Result<Abort, Fault> {
        let mut pause = FIRST_PAUSE;
        loop {
            let call = Call {
                caller: self.caller.clone(),
                deadline: Deadline::after(TRY),
                reference: self.reference.clone(),
            };
            let target = self.target.clone();
            match self
                .connector
                .abort_operation(&call, self.operation, target)
                .await
            {
                Ok(abort) => return Ok(abort),
                Err(fault) if is_final(&fault) || self.operation.age() > GIVE_UP_AFTER => {
                    return Err(fault);
                }
                // Whoever stops the process before the next try finds the operation here.
                Err(fault) => tracing::warn!(
                    operation = %self.operation, provider = self.provider.as_str(), reference = %self.reference,
                    cause = %fault, "an answer was lost, and its operation cannot be undone yet; trying again"
                ),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks once more when all is settled: the replica that accepted may have been killed before it was done.
    async fn ask_again(&self) {
        let described = self.connector.state().described;
        let settle_after = described.map_or(SETTLE_AFTER, |info| info.settle_after);
        let settle_after = settle_after.min(LONGEST_SETTLING);
        tokio::select! {
            // A process that stops waits for what nobody else sees to.
            () = self.shutdown.stopping() => return,
            () = tokio::time::sleep(settle_after + SETTLED) => {}
        }
        match self.until_answered().await {
            // Counted when it was accepted; this is how that usually ends.
            Ok(Abort::Undone | Abort::Accepted) => tracing::debug!(
                operation = %self.operation, provider = self.provider.as_str(), reference = %self.reference,
                "all is settled"
            ),
            answer => self.note(answer),
        }
    }

    /// Tells what the connector answered, or that it never did.
    fn note(&self, answer: Result<Abort, Fault>) {
        let (operation, reference) = (self.operation, &self.reference);
        let provider = self.provider.as_str();
        let outcome = match answer {
            Ok(Abort::Undone) => {
                tracing::info!(%operation, provider, %reference, "an answer was lost; its operation is undone");
                "undone"
            }
            Ok(Abort::Accepted) => {
                tracing::info!(
                    %operation, provider, %reference,
                    "an answer was lost; the connector sees to it that its operation is undone"
                );
                "accepted"
            }
            Ok(Abort::Cannot) => {
                tracing::error!(
                    %operation, provider, %reference,
                    "a client or secret may have been made that nobody knows of, and the connector cannot find it; look \
                     at the identity provider for what bears this operation"
                );
                "cannot"
            }
            Ok(Abort::Left) => {
                tracing::error!(
                    %operation, provider, %reference,
                    "an answer was taken for lost, but the connector says that what its operation made is in use or not \
                     the operation's, and left it alone; remove nothing, and look in the connector's log for what this \
                     operation found"
                );
                "left"
            }
            Err(fault) => {
                tracing::error!(
                    %operation, provider, %reference, cause = %fault,
                    "a client or secret may have been made that nobody knows of, and the connector does not answer for \
                     its undoing; look at the identity provider for what bears this operation"
                );
                "given_up"
            }
        };
        self.count(outcome);
    }

    fn count(&self, outcome: &'static str) {
        self.audit
            .undone(&self.provider, self.operation, &self.reference, outcome);
        self.metrics.abort(&OperationLabels {
            operation: match self.target {
                AbortTarget::Create => "create_client",
                AbortTarget::AddSecret(_) => "add_secret",
            },
            provider: self.provider.clone(),
            outcome,
        });
    }
}

/// Whether asking again cannot help.
fn is_final(fault: &Fault) -> bool {
    match fault.kind() {
        FaultKind::Invalid(_)
        | FaultKind::NotFound
        | FaultKind::Conflict
        | FaultKind::Limit
        | FaultKind::Unsupported => true,
        FaultKind::Refused
        | FaultKind::Throttled { .. }
        | FaultKind::Unavailable { .. }
        | FaultKind::TimedOut
        | FaultKind::Internal => false,
    }
}
