//! A failed call, as raw as it came: status, details, and whether the connector said it at all.

use std::error::Error as _;
use std::fmt;

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
    /// Whether nothing was answered: the connection was lost, or the time was over.
    pub(crate) is_silence: bool,
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
            is_silence: status.source().is_some(),
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

    /// Whether a violation names this field, or a part or element of it.
    pub(crate) fn names(&self, field: &str) -> bool {
        let mut fields = self.fields.iter().flatten();
        fields.any(|named| named.starts_with(field))
    }
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
