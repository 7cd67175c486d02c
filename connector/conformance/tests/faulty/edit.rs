//! Changes to statuses on their way.

use std::time::Duration;

use dcr_proto::v1;
use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

/// The same status with another code.
pub(crate) fn recoded(status: &Status, code: Code) -> Status {
    edited(status, code, |_| {})
}

/// A status of the connector's own with this code, and reason.
pub(crate) fn refusal(code: Code, reason: &str) -> Status {
    let info = pb::ErrorInfo {
        reason: reason.to_owned(),
        domain: "dcr.connector.v1".to_owned(),
        ..pb::ErrorInfo::default()
    };
    let packed = pb::Status {
        code: code as i32,
        message: String::new(),
        details: vec![any("google.rpc.ErrorInfo", &info)],
    };
    Status::with_details(code, "faulty", packed.encode_to_vec().into())
}

/// An IdP's rate limit.
pub(crate) fn throttled(after: Duration) -> Status {
    let retry = pb::RetryInfo {
        retry_delay: after.try_into().ok(),
    };
    let outcome = v1::OutcomeDetail {
        outcome: v1::Outcome::NotApplied.into(),
    };
    let throttled = refusal(Code::ResourceExhausted, "IDP_THROTTLED");
    edited(&throttled, throttled.code(), |details| {
        details.push(any("google.rpc.RetryInfo", &retry));
        details.push(any("dcr.connector.v1.OutcomeDetail", &outcome));
    })
}

/// The same status with other details.
pub(crate) fn edited(status: &Status, code: Code, edit: impl FnOnce(&mut Vec<Any>)) -> Status {
    let mut packed = pb::Status::decode(status.details()).unwrap_or_default();
    packed.code = code as i32;
    edit(&mut packed.details);
    Status::with_details(code, status.message(), packed.encode_to_vec().into())
}

/// The same status without details of this kind.
pub(crate) fn without(status: &Status, name: &str) -> Status {
    edited(status, status.code(), |details| {
        details.retain(|detail| !detail.type_url.ends_with(name));
    })
}

/// The same status, telling the first violation alone.
pub(crate) fn with_first_violation(status: &Status) -> Status {
    edited(status, status.code(), |details| {
        for detail in details {
            if detail.type_url.ends_with("google.rpc.BadRequest") {
                let mut bad = pb::BadRequest::decode(&*detail.value).unwrap_or_default();
                bad.field_violations.truncate(1);
                detail.value = bad.encode_to_vec();
            }
        }
    })
}

/// The same status with a sentence that is too long.
pub(crate) fn with_long_sentence(status: &Status) -> Status {
    let message = pb::LocalizedMessage {
        locale: "en".to_owned(),
        message: "long ".repeat(60),
    };
    edited(status, status.code(), |details| {
        details.push(any("google.rpc.LocalizedMessage", &message));
    })
}

fn any<M: prost::Message>(name: &str, message: &M) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}
