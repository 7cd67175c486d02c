//! Traces, sent to a collector over OTLP (HTTP with protobuf): off unless the configuration names one.
//!
//! A span that is for traces has the target [`TRACE`]. The log shows those of level INFO as well, for what it prints
//! within them belongs to a call; finer ones it never sees. While no collector is named, spans of this target that the
//! log does not want are never made.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
pub use opentelemetry::trace::TraceId;
use opentelemetry::trace::{SpanBuilder, SpanContext, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use super::exporter::{self, EXPORT};
use crate::config::{Located, Problems};

/// The target of spans that are for traces.
pub const TRACE: &str = "dcr::trace";

/// Whether spans go anywhere. Once on, it stays on.
static ON: AtomicBool = AtomicBool::new(false);

/// The section `tracing` of a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracingSection {
    otlp_endpoint: Located<String>,
    sample_ratio: Option<Located<f64>>,
}

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    endpoint: String,
    sample_ratio: f64,
}

impl TracingSection {
    /// Judges the section. `otlp_endpoint` is an http or https URL without credentials, to which `/v1/traces` is
    /// added; `sample_ratio` the part of new traces that is kept, 0 to 1, default 1.
    pub fn judge(&self, problems: &mut Problems) -> Option<Tracing> {
        let endpoint = self.otlp_endpoint.value.trim_end_matches('/');
        let legal = endpoint.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.query().is_none()
                && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
        });
        if !legal {
            let sentence =
                "must be an http or https URL without credentials, as http://127.0.0.1:4318";
            problems.at(&self.otlp_endpoint, "tracing.otlp_endpoint", sentence);
        }
        let ratio = self.sample_ratio.as_ref();
        if let Some(ratio) = ratio.filter(|ratio| !(0.0..=1.0).contains(&ratio.value)) {
            problems.at(ratio, "tracing.sample_ratio", "must be 0 to 1");
            return None;
        }
        legal.then(|| Tracing {
            endpoint: format!("{endpoint}/v1/traces"),
            sample_ratio: ratio.map_or(1.0, |ratio| ratio.value),
        })
    }
}

/// The sending of traces, once begun.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Begins to send the spans of this service, if a collector is named. A collector that is not there costs lines in
    /// the log and the spans.
    ///
    /// # Errors
    /// A sentence, when the exporter cannot be made, or would send headers that it finds in the environment.
    pub fn begin(
        service: &str,
        version: &'static str,
        tracing: Option<&Tracing>,
    ) -> Result<Self, String> {
        let Some(tracing) = tracing else {
            return Ok(Self(None));
        };
        let exporter = exporter::to(&tracing.endpoint)?;
        let resource = Resource::builder_empty()
            .with_service_name(service.to_owned())
            .with_attribute(KeyValue::new("service.version", version))
            .build();
        let ratio = Sampler::TraceIdRatioBased(tracing.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(resource)
            .build();
        global::set_tracer_provider(provider.clone());
        global::set_text_map_propagator(TraceContextPropagator::new());
        ON.store(true, Ordering::Release);
        tracing::callsite::rebuild_interest_cache();
        tracing::info!(endpoint = tracing.endpoint, "traces are sent");
        Ok(Self(Some(provider)))
    }

    /// Sends what has not been sent, for at most 5 s.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(EXPORT));
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The trace of a call, for what is done because of it when it is over: that has a trace of its own, linked to this.
#[derive(Debug, Clone)]
pub struct Cause(SpanContext);

impl Cause {
    /// The trace of the call that is being answered.
    #[must_use]
    pub fn current() -> Self {
        Self(Span::current().context().span().span_context().clone())
    }

    /// A span of a new trace.
    #[must_use]
    pub fn span(&self, name: &'static str) -> Span {
        let span = tracing::debug_span!(target: TRACE, parent: None, "linked", otel.name = name);
        self.link(&span);
        span
    }

    /// Links a span to this trace.
    pub fn link(&self, span: &Span) {
        if self.0.is_valid() {
            span.add_link(self.0.clone());
        }
    }

    /// The trace that a caller names by `traceparent` (W3C Trace Context), where that is a valid one.
    #[must_use]
    pub fn of_caller(headers: &http::HeaderMap) -> Self {
        let extractor = Headers(headers);
        let context = global::get_text_map_propagator(|propagator| {
            propagator.extract_with_context(&Context::new(), &extractor)
        });
        Self(context.span().span_context().clone())
    }
}

/// Gives a span the name that was not known when it began: from its first child on, the field `otel.name` is not looked
/// at any more.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// The id of the trace that a span is in, where it is one that is sent.
#[must_use]
pub fn trace_id(span: &Span) -> Option<TraceId> {
    if span.is_disabled() || !ON.load(Ordering::Acquire) {
        return None;
    }
    let context = span.context().span().span_context().clone();
    context.is_sampled().then(|| context.trace_id())
}

struct Headers<'a>(&'a http::HeaderMap);

impl opentelemetry::propagation::Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The layer that makes spans of ours into OpenTelemetry's.
pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    OpenTelemetryLayer::new(Late(LazyLock::new(|| global::tracer("dcr-bridge"))))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_context_activation(false)
        .with_filter(Wanted)
}

/// The log starts before the configuration is read; the tracer is only asked for when there is a first span.
struct Late(LazyLock<BoxedTracer>);

impl Tracer for Late {
    type Span = BoxedSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> BoxedSpan {
        self.0.build_with_context(builder, parent)
    }
}

/// Lets spans for traces pass, once there is a collector.
struct Wanted;

impl<S> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &LayerContext<'_, S>) -> bool {
        metadata.target() == TRACE && ON.load(Ordering::Acquire)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TRACE && ON.load(Ordering::Acquire) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Asked once, before anybody knows.
        Some(LevelFilter::DEBUG)
    }
}
