//! One call to an IdP as a span and in the metrics: its method, its host, what came of it, and never its URL, which
//! may name a client.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use dcr_runtime::telemetry::TRACE;
use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::Span;

use super::{Answer, BaseUrl, Effect};
use crate::fault::{Fault, FaultKind};
use crate::metrics::{Durations, durations};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    effect: &'static str,
    outcome: &'static str,
}

/// The process's own, for an IdP makes its client before there is a registry, and again when its configuration changes.
static CALLS: LazyLock<Durations<Labels>> = LazyLock::new(durations);

/// Shows the calls to IdPs in a registry.
pub(crate) fn register(registry: &mut Registry) {
    registry.register_with_unit(
        "http_client_request_duration",
        "From a call to the IdP to the end of its answer",
        Unit::Seconds,
        Family::<Labels, Histogram, fn() -> Histogram>::clone(&CALLS),
    );
}

/// A call that has left, until it is dropped.
pub(super) struct Watch {
    span: Span,
    method: &'static str,
    effect: &'static str,
    began: Instant,
    /// Until told otherwise, whoever waited has gone.
    outcome: &'static str,
}

impl Watch {
    pub(super) fn begin(method: &Method, effect: Effect, base: &BaseUrl) -> Self {
        let method = name(method);
        let (host, port) = base.authority();
        let span = tracing::debug_span!(
            target: TRACE, "idp", otel.name = method, otel.kind = "client", http.request.method = method,
            server.address = host, server.port = port, url.scheme = base.scheme(),
            http.response.status_code = tracing::field::Empty, error.type = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        Self {
            span,
            method,
            effect: match effect {
                Effect::Reads => "reads",
                Effect::Changes => "changes",
                Effect::Creates => "creates",
            },
            began: Instant::now(),
            outcome: "abandoned",
        }
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) fn end(mut self, answer: &Result<Answer, Fault>) {
        self.outcome = match answer {
            Ok(answer) => {
                let status = answer.status.as_u16();
                self.span.record("http.response.status_code", status);
                match status {
                    200..=299 => "2xx",
                    300..=399 => "3xx",
                    400..=499 => "4xx",
                    500..=599 => "5xx",
                    _ => "other",
                }
            }
            Err(fault) => match fault.kind() {
                FaultKind::Unavailable { .. } => "unreached",
                _ => "unanswered",
            },
        };
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // For a client's span, 4xx is an error as well.
        if !matches!(self.outcome, "2xx" | "3xx") {
            self.span.record("error.type", self.outcome);
            self.span.record("otel.status_code", "ERROR");
        }
        let Self {
            method,
            effect,
            outcome,
            ..
        } = *self;
        let labels = Labels {
            method,
            effect,
            outcome,
        };
        let took: Duration = self.began.elapsed();
        CALLS.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "_OTHER",
    }
}
