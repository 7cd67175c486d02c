//! A failed call, as raw as it came: status, details, and whether the connector said it at all.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use dcr_proto::v1;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::pb;

/// The domain of every `ErrorInfo`.
pub(crate) const DOMAIN: &str = "dcr.connector.v1";

/// A failed call.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) rpc: &'static str,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// `None` without `ErrorInfo`.
    pub(crate) info: Option<pb::ErrorInfo>,
    /// `None` without `OutcomeDetail`.
    pub(crate) outcome: Option<v1::Outcome>,
    /// The fields of `BadRequest`; `None` without one.
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) sentence: Option<pb::LocalizedMessage>,
    /// Everything that came with the status, packed.
    pub(crate) packed: Vec<u8>,
    /// How long to wait before another call; `None` without `RetryInfo`.
    pub(crate) retry_after: Option<Duration>,
    /// Whether nothing was answered: the connection was lost, or the time was over.
    pub(crate) is_silence: bool,
    /// Whether nothing was answered, and the connector cannot have begun the call.
    pub(crate) is_not_begun: bool,
}

impl Refusal {
    pub(crate) fn of(rpc: &'static str, status: &Status) -> Self {
        let mut refusal = Self {
            rpc,
            code: status.code(),
            message: status.message().to_owned(),
            info: None,
            outcome: None,
            fields: None,
            sentence: None,
            packed: status.details().to_vec(),
            retry_after: None,
            is_silence: status.source().is_some(),
            is_not_begun: causes(status).any(not_begun),
        };
        let packed = pb::Status::decode(status.details()).unwrap_or_default();
        for detail in packed.details {
            let bytes = detail.value.as_slice();
            match detail.type_url.rsplit('/').next().unwrap_or_default() {
                "google.rpc.ErrorInfo" => refusal.info = pb::ErrorInfo::decode(bytes).ok(),
                "google.rpc.BadRequest" => {
                    let bad = pb::BadRequest::decode(bytes).unwrap_or_default();
                    let fields = bad.field_violations.into_iter().map(|v| v.field);
                    refusal.fields = Some(fields.collect());
                }
                "google.rpc.RetryInfo" => {
                    let info = pb::RetryInfo::decode(bytes).unwrap_or_default();
                    let delay = info.retry_delay.map(Duration::try_from);
                    refusal.retry_after = delay.and_then(Result::ok);
                }
                "google.rpc.LocalizedMessage" => {
                    refusal.sentence = pb::LocalizedMessage::decode(bytes).ok();
                }
                "dcr.connector.v1.OutcomeDetail" => {
                    let detail = v1::OutcomeDetail::decode(bytes).ok();
                    refusal.outcome = detail.map(|detail| detail.outcome());
                }
                _ => {}
            }
        }
        refusal
    }

    /// The reason, where there is one.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.info.as_ref().map(|info| &*info.reason)
    }

    /// How long the connector asks to wait, where it asks to slow down.
    pub(crate) fn throttled(&self) -> Option<Duration> {
        let is_throttled = !self.is_silence && self.code == Code::ResourceExhausted;
        self.retry_after.filter(|_| is_throttled)
    }

    /// Whether a violation names this field, or a part or element of it.
    pub(crate) fn names(&self, field: &str) -> bool {
        let mut fields = self.fields.iter().flatten();
        fields.any(|named| named.starts_with(field))
    }
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |cause: &&(dyn Error + 'static)| {
        (*cause).source()
    })
}

/// Whether an error says that the call was not begun: there was no connection, it ended before the call was on it, or
/// the connector said so (RFC 9113 sections 6.8 and 8.7).
fn not_begun(cause: &(dyn Error + 'static)) -> bool {
    let declined = |error: &h2::Error| {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (error.is_go_away() || is_refused)
    };
    cause.is::<tonic::ConnectError>()
        || cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
        || cause.downcast_ref().is_some_and(declined)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_silence {
            return write!(
                f,
                "{} was not answered ({:?}: {})",
                self.rpc, self.code, self.message
            );
        }
        write!(f, "{} answered {}", self.rpc, name(self.code))?;
        if let Some(reason) = self.reason() {
            write!(f, ", reason {reason}")?;
        }
        if let Some(outcome) = self.outcome {
            write!(f, ", {}", outcome.as_str_name())?;
        }
        if let Some(fields) = &self.fields {
            write!(f, ", fields {fields:?}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A code's name in gRPC's documents.
pub(crate) fn name(code: Code) -> &'static str {
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
