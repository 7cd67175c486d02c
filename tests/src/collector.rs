//! A collector of traces: what arrives over OTLP (HTTP with protobuf).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use tokio::task::JoinHandle;

use crate::loopback;

/// One span.
#[derive(Debug, Clone)]
pub struct Span {
    /// The service that it comes from.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent's id; empty at the root.
    pub parent: String,
    /// The traces that it is linked to.
    pub links: Vec<String>,
    /// Whether it tells of an error.
    pub failed: bool,
    attributes: Vec<(String, String)>,
}

impl Span {
    /// An attribute, as text.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A collector on loopback.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Bytes>>>,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with what holds it"
    )]
    pub async fn start() -> Self {
        let (listener, address) = loopback::listener().await;
        let requests = Arc::<Mutex<Vec<Bytes>>>::default();
        let keep = |State(requests): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| async move {
            let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.push(body);
        };
        let router = Router::new()
            .route("/v1/traces", post(keep))
            .with_state(Arc::clone(&requests));
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("a collector that serves");
        });
        Self {
            address,
            requests,
            server,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The section of a configuration that sends traces here.
    #[must_use]
    pub fn yaml(&self) -> String {
        format!("tracing: {{otlp_endpoint: \"http://{}\"}}\n", self.address)
    }

    /// All that arrived, as the text that is in it.
    #[must_use]
    pub fn text(&self) -> String {
        let requests = self.requests();
        let texts = requests.iter().map(|body| String::from_utf8_lossy(body));
        texts.collect()
    }

    /// The spans that arrived.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.requests() {
            let request = ExportTraceServiceRequest::decode(body).expect("OTLP's protobuf");
            for resource in request.resource_spans {
                let of = resource.resource.map(|r| texts(r.attributes));
                let of = of.unwrap_or_default();
                let service = of.iter().find(|(key, _)| key == "service.name");
                let service = service.map_or("", |(_, name)| name);
                let found = resource.scope_spans.into_iter().flat_map(|s| s.spans);
                spans.extend(found.map(|span| Span {
                    service: service.to_owned(),
                    name: span.name,
                    kind: match span.kind {
                        2 => "server",
                        3 => "client",
                        _ => "internal",
                    },
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                    failed: span.status.is_some_and(|status| status.code == 2),
                    attributes: texts(span.attributes),
                }));
            }
        }
        spans
    }

    fn requests(&self) -> Vec<Bytes> {
        let requests = self.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn texts(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let text = |value: AnyValue| match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: KeyValue| (pair.key, pair.value.map(text).unwrap_or_default());
    attributes.into_iter().map(pair).collect()
}

fn hex(id: &[u8]) -> String {
    let mut text = String::new();
    for byte in id {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
