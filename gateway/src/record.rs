//! What is known about a call: its reference, its deadline, its line in the log, its place in the metrics.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dcr_contract::model::{ClientId, Deadline, OperationId, Origin, Reference, SecretId};
use dcr_contract::{Fault, FaultKind};
use dcr_runtime::telemetry::{self, Cause, TRACE, TraceId, trace_id};
use http::{HeaderValue, Method, StatusCode};

use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::keys::KeyId;
use crate::konnect::Body;
use crate::metrics::{Metrics, OperationLabels, ProviderLabel, RequestLabels};
use crate::path::Operation;
use crate::reply::{Refusal, Refused};

/// From a request's head to its whole answer: Konnect's own limit is not known; its reference host stops at 10 s.
const TOTAL_TIME: Duration = Duration::from_secs(9);

/// One call. Its handler fills in what it learns.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) reference: Reference,
    pub(crate) deadline: Deadline,
    pub(crate) provider: OnceLock<ProviderLabel>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) key: OnceLock<KeyId>,
    pub(crate) operation: OnceLock<Operation>,
    pub(crate) operation_id: OnceLock<OperationId>,
    pub(crate) client_id: OnceLock<ClientId>,
    pub(crate) secret_id: OnceLock<SecretId>,
    pub(crate) origin: OnceLock<Origin>,
    /// What was done, where that is not simply what was asked.
    pub(crate) outcome: OnceLock<&'static str>,
}

impl Record {
    /// A call that begins now.
    pub(crate) fn new(
        reference: Reference,
        peer: Option<IpAddr>,
        trace_id: Option<TraceId>,
    ) -> Self {
        Self {
            reference,
            deadline: Deadline::after(TOTAL_TIME),
            provider: OnceLock::new(),
            peer,
            trace_id,
            key: OnceLock::new(),
            operation: OnceLock::new(),
            operation_id: OnceLock::new(),
            client_id: OnceLock::new(),
            secret_id: OnceLock::new(),
            origin: OnceLock::new(),
            outcome: OnceLock::new(),
        }
    }
}

/// The layer that gives every call its record and its 9 s, turns a refusal into text, and writes one line.
pub(crate) async fn record(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let method = known(request.method());
    let peer = peer.map(|ConnectInfo(address)| address.ip());
    let reference = Reference::generate();
    let span = tracing::debug_span!(
        target: TRACE, "http", otel.name = method, otel.kind = "server", otel.status_code = Empty,
        http.request.method = method, http.route = Empty, http.response.status_code = Empty,
        error.type = Empty, dcr.operation = Empty, dcr.operation_id = Empty, dcr.provider = Empty,
        dcr.outcome = Empty, dcr.reference = reference.as_str(),
    );
    if !span.is_disabled() {
        // Konnect is an outside party: it must not decide what is sampled here.
        Cause::of_caller(request.headers()).link(&span);
    }
    let record = Arc::new(Record::new(reference, peer, trace_id(&span)));
    let mut line = Line {
        began: Instant::now(),
        record: Arc::clone(&record),
        metrics,
        method,
        span: span.clone(),
        end: None,
    };
    request.extensions_mut().insert(Arc::clone(&record));
    let answer = tokio::time::timeout_at(
        record.deadline.instant(),
        next.run(request).instrument(span),
    )
    .await;
    let mut response = answer.unwrap_or_else(|_| {
        Refusal::Fault(Fault::new(
            FaultKind::TimedOut,
            "the call took longer than 9 s",
        ))
        .into_response()
    });
    let refusal = response
        .extensions_mut()
        .remove::<Refused>()
        .map(|Refused(refusal)| refusal);
    if let Some(refusal) = &refusal {
        let body = match record.operation.get() {
            Some(Operation::EventHook) => Body::Event,
            _ => Body::Application,
        };
        response = refusal.answer(&record.reference, body);
    }
    if let Ok(value) = HeaderValue::from_str(record.reference.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    line.end = Some((response.status(), refusal));
    response
}

/// Metrics must not grow with what strangers send.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// The call's line, written when dropped: also when the peer has gone and the handler is never finished.
struct Line {
    began: Instant,
    record: Arc<Record>,
    metrics: Arc<Metrics>,
    method: &'static str,
    span: Span,
    end: Option<(StatusCode, Option<Arc<Refusal>>)>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let record = &self.record;
        // 499 is what proxies log for a client that has gone.
        let (status, refusal) = self
            .end
            .take()
            .map_or((499, None), |(s, r)| (s.as_u16(), r));
        let outcome = match (&refusal, record.outcome.get()) {
            (Some(refusal), _) => refusal.error(),
            (None, _) if status == 499 => "caller_gone",
            (None, Some(outcome)) => outcome,
            (None, None) => "ok",
        };
        self.measure(status, outcome, took);
        self.trace(status, outcome);
        if let Some(Refusal::Denied(denial) | Refusal::DeniedTooOften { denial, .. }) =
            refusal.as_deref()
        {
            self.metrics.auth_failure(denial.name());
        }
        if let Some(provider) = record.provider.get()
            && refusal.as_ref().is_some_and(|refusal| refusal.is_shed())
        {
            self.metrics.shed(provider, outcome);
        }

        let operation = record.operation.get().map(|operation| operation.name());
        let provider = record.provider.get().map(ProviderLabel::as_str);
        let client_id = record.client_id.get().map(ClientId::as_str);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let reference = record.reference.as_str();
        let cause = refusal.as_ref().map(|refusal| refusal.cause());
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    operation,
                    provider,
                    client_id,
                    outcome,
                    status,
                    duration_ms,
                    reference,
                    cause,
                    $text
                )
            };
        }
        match status {
            // It is counted.
            _ if refusal.as_deref().is_some_and(Refusal::is_noise) => {
                line!(debug, "call refused");
            }
            500 => line!(error, "call failed"),
            499 => line!(warn, "call abandoned by its caller"),
            501.. => line!(warn, "call failed"),
            400.. => line!(info, "call refused"),
            _ => line!(info, "call answered"),
        }
    }
}

impl Line {
    fn trace(&self, status: u16, outcome: &'static str) {
        let (span, record) = (&self.span, &self.record);
        if span.is_disabled() {
            return;
        }
        let method = self.method;
        if let Some(operation) = record.operation.get() {
            let route = operation.route();
            telemetry::rename(span, format!("{method} {route}"));
            span.record("http.route", route);
            span.record("dcr.operation", operation.name());
        }
        if let Some(operation_id) = record.operation_id.get() {
            span.record("dcr.operation_id", tracing::field::display(operation_id));
        }
        if let Some(provider) = record.provider.get() {
            span.record("dcr.provider", provider.as_str());
        }
        span.record("dcr.outcome", outcome);
        // Nobody got the answer to an abandoned call.
        if status != 499 {
            span.record("http.response.status_code", status);
        }
        if status >= 499 {
            span.record("error.type", outcome);
            span.record("otel.status_code", "ERROR");
        }
    }

    fn measure(&self, status: u16, outcome: &'static str, took: Duration) {
        let operation = self.record.operation.get();
        let labels = RequestLabels {
            route: operation.map_or("", |operation| operation.route()),
            method: self.method,
            status,
        };
        self.metrics.request(&labels, took);
        if let (Some(operation), Some(provider)) = (operation, self.record.provider.get()) {
            self.metrics.operation(&OperationLabels {
                operation: operation.name(),
                provider: provider.clone(),
                outcome,
            });
        }
    }
}
