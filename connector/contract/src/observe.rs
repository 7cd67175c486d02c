//! One call over the wire as seen at one end: its span, and what metrics are told of it.
//!
//! Names are those of OpenTelemetry's semantic conventions 1.44 for RPC. A span tells the method, the provider and the
//! operation, and never a client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcr_proto::v1;
use opentelemetry::global;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{Status as SpanStatus, TraceContextExt};
use tonic::metadata::{Ascii, KeyRef, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Code, Request};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::model::{OperationId, ProviderId};

/// The target of spans that are for traces; see `dcr_runtime::telemetry::TRACE`.
const TRACE: &str = "dcr::trace";

/// Told of every call at one end of the wire: for metrics.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A call has ended, or was given up by whoever waited for it (`CANCELLED`). `rpc` and `code` are the names of
    /// the contract and of gRPC (`CreateClient`, `DEADLINE_EXCEEDED`), so there are few of either.
    fn ended(&self, rpc: &'static str, code: &'static str, took: Duration);
}

/// A request of the contract, and what it tells of itself.
pub(crate) trait Rpc {
    /// Its name in the contract.
    const NAME: &'static str;
    /// Its name on the wire, package and service included.
    const METHOD: &'static str;

    /// Who asks, if anybody in particular, and if the id is one.
    fn provider(&self) -> Option<ProviderId>;

    /// The operation, if there is one, and if the id is one.
    fn operation_id(&self) -> Option<OperationId>;
}

macro_rules! rpc {
    ($name:literal, $request:ident, |$c:ident| $caller:expr, |$o:ident| $operation:expr) => {
        impl Rpc for v1::$request {
            const NAME: &'static str = $name;
            const METHOD: &'static str = concat!("dcr.connector.v1.ConnectorService/", $name);

            fn provider(&self) -> Option<ProviderId> {
                let $c = self;
                let caller: Option<&v1::Caller> = $caller;
                ProviderId::parse(&caller?.provider_id).ok()
            }

            fn operation_id(&self) -> Option<OperationId> {
                let $o = self;
                let operation: Option<&str> = $operation;
                OperationId::parse(operation?).ok()
            }
        }
    };
    (connector $name:literal, $request:ident) => {
        rpc!($name, $request, |_r| None, |_r| None);
    };
    (reads $name:literal, $request:ident) => {
        rpc!($name, $request, |r| r.caller.as_ref(), |_r| None);
    };
    (changes $name:literal, $request:ident) => {
        rpc!($name, $request, |r| r.caller.as_ref(), |r| {
            r.operation.as_ref().map(|o| o.operation_id.as_str())
        });
    };
}

rpc!(connector "DescribeConnector", DescribeConnectorRequest);
rpc!(connector "CheckIdentityProvider", CheckIdentityProviderRequest);
rpc!(changes "CreateClient", CreateClientRequest);
rpc!(changes "DeleteClient", DeleteClientRequest);
rpc!(changes "RotateClientSecret", RotateClientSecretRequest);
rpc!(reads "ListClientSecrets", ListClientSecretsRequest);
rpc!(changes "AddClientSecret", AddClientSecretRequest);
rpc!(changes "RemoveClientSecret", RemoveClientSecretRequest);
rpc!(changes "UpdateClient", UpdateClientRequest);
rpc!(changes "AddRegistration", AddRegistrationRequest);
rpc!(changes "RemoveRegistration", RemoveRegistrationRequest);
rpc!(
    "AbortOperation",
    AbortOperationRequest,
    |r| r.caller.as_ref(),
    |r| Some(&r.operation_id)
);
rpc!(reads "ListManagedClients", ListManagedClientsRequest);

/// One call, from its beginning until it is dropped.
pub(crate) struct Watch {
    span: Span,
    rpc: &'static str,
    began: Instant,
    /// Until told otherwise, whoever waited has gone.
    code: Code,
    observer: Option<Arc<dyn Observer>>,
}

impl Watch {
    /// A call to a connector: its trace travels with the request.
    pub(crate) fn client<Q: Rpc>(
        observer: Option<Arc<dyn Observer>>,
        address: &str,
        request: &mut Request<Q>,
    ) -> Self {
        let span = tracing::debug_span!(
            target: TRACE, "rpc", otel.name = Q::METHOD, otel.kind = "client",
            rpc.system.name = "grpc", rpc.method = Q::METHOD,
            server.address = address,
        );
        if !span.is_disabled() {
            let context = span.context();
            let mut metadata = Metadata(request.metadata_mut());
            global::get_text_map_propagator(|p| p.inject_context(&context, &mut metadata));
        }
        Self::new::<Q>(span, observer, request.get_ref())
    }

    /// A call that a connector answers: it belongs to the trace that the request names. The log's lines bear the
    /// call's reference through this span.
    pub(crate) fn server<Q: Rpc>(
        observer: Option<Arc<dyn Observer>>,
        request: &mut Request<Q>,
        reference: &str,
    ) -> Self {
        let span = tracing::info_span!(
            target: TRACE, "rpc", otel.name = Q::METHOD, otel.kind = "server", rpc = Q::NAME, reference
        );
        span.set_attribute("rpc.system.name", "grpc");
        span.set_attribute("rpc.method", Q::METHOD);
        let metadata = Metadata(request.metadata_mut());
        let parent = global::get_text_map_propagator(|p| {
            p.extract_with_context(&opentelemetry::Context::new(), &metadata)
        });
        if parent.span().span_context().is_valid() {
            // Fails only where there are no traces.
            let _ = span.set_parent(parent);
        }
        Self::new::<Q>(span, observer, request.get_ref())
    }

    fn new<Q: Rpc>(span: Span, observer: Option<Arc<dyn Observer>>, request: &Q) -> Self {
        if !span.is_disabled() {
            if let Some(provider) = request.provider() {
                span.set_attribute("dcr.provider", provider.to_string());
            }
            if let Some(operation) = request.operation_id() {
                span.set_attribute("dcr.operation_id", operation.to_string());
            }
        }
        Self {
            span,
            rpc: Q::NAME,
            began: Instant::now(),
            code: Code::Cancelled,
            observer,
        }
    }

    /// The span to do the call in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// How long it has taken.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// The call has ended so.
    pub(crate) fn end(&mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let code = name(self.code);
        if let Some(observer) = &self.observer {
            observer.ended(self.rpc, code, self.began.elapsed());
        }
        if !self.span.is_disabled() {
            self.span.set_attribute("rpc.response.status_code", code);
            if self.code != Code::Ok {
                self.span.set_attribute("error.type", code);
                self.span.set_status(SpanStatus::error(""));
            }
            // What was detached from the call keeps the span alive for the log; the call itself is over.
            self.span.context().span().end();
        }
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        let key = MetadataKey::<Ascii>::from_bytes(key.as_bytes());
        if let (Ok(key), Ok(value)) = (key, MetadataValue::try_from(value))
            && !value.is_empty()
        {
            self.0.insert(key, value);
        }
    }
}

impl Extractor for Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        let ascii = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(ascii).collect()
    }
}

/// gRPC's name of a code.
pub(crate) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
