//! Fault and gRPC status: one of the two tables that translate faults.

use std::time::Duration;

use dcr_proto::v1;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use super::duration_from_proto;
use crate::fault::{Fault, FaultKind, Outcome, Reason, Violation, root_cause};
use crate::model::{Field, Malformed, printable};

/// The domain of every `ErrorInfo`; a status without it was not made by a connector.
const DOMAIN: &str = "dcr.connector.v1";
const OUTCOME_DETAIL: &str = "dcr.connector.v1.OutcomeDetail";
const CORRELATION: &str = "idp_correlation_id";
const TOO_LARGE: &str = "Error, decoded message length too large";
/// Waits beyond this help nobody.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// A status travels in HTTP/2 trailers, which peers limit to 16 KiB.
const MOST_VIOLATIONS: usize = 20;
/// In characters; for the log.
const LONGEST_MESSAGE: usize = 500;

fn code(kind: &FaultKind) -> Code {
    match kind {
        FaultKind::Invalid(_) => Code::InvalidArgument,
        FaultKind::NotFound => Code::NotFound,
        FaultKind::Conflict => Code::AlreadyExists,
        FaultKind::Limit => Code::FailedPrecondition,
        FaultKind::Unsupported => Code::Unimplemented,
        FaultKind::Refused => Code::PermissionDenied,
        FaultKind::Throttled { .. } => Code::ResourceExhausted,
        FaultKind::Unavailable { .. } => Code::Unavailable,
        FaultKind::TimedOut => Code::DeadlineExceeded,
        FaultKind::Internal => Code::Internal,
    }
}

fn any<M: Message>(type_url: &str, message: &M) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{type_url}"),
        value: message.encode_to_vec(),
    }
}

pub(crate) fn to_status(fault: &Fault) -> Status {
    let mut details = vec![any(
        "google.rpc.ErrorInfo",
        &pb::ErrorInfo {
            reason: fault.why().as_str().to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: fault
                .correlation()
                .map(|id| (CORRELATION.to_owned(), id.to_owned()))
                .into_iter()
                .collect(),
        },
    )];
    let outcome = match fault.done() {
        Outcome::NotApplied => v1::Outcome::NotApplied,
        Outcome::Applied => v1::Outcome::Applied,
        Outcome::Unknown => v1::Outcome::Unknown,
    };
    details.push(any(
        OUTCOME_DETAIL,
        &v1::OutcomeDetail {
            outcome: outcome.into(),
        },
    ));
    if let FaultKind::Invalid(violations) = fault.kind() {
        let field_violations = violations
            .iter()
            .take(MOST_VIOLATIONS)
            .map(violation_to_proto)
            .collect();
        details.push(any(
            "google.rpc.BadRequest",
            &pb::BadRequest { field_violations },
        ));
    }
    if let FaultKind::Throttled { after: Some(wait) }
    | FaultKind::Unavailable { after: Some(wait) } = fault.kind()
    {
        let retry_delay = prost_types::Duration::try_from(*wait.min(&LONGEST_WAIT)).ok();
        details.push(any("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay }));
    }
    if let Some(sentence) = fault.sentence() {
        let message = pb::LocalizedMessage {
            locale: "en".to_owned(),
            message: sentence.to_string(),
        };
        details.push(any("google.rpc.LocalizedMessage", &message));
    }
    let message: String = fault.to_string().chars().take(LONGEST_MESSAGE).collect();
    let status = pb::Status {
        code: code(fault.kind()) as i32,
        message: message.clone(),
        details,
    };
    Status::with_details(code(fault.kind()), message, status.encode_to_vec().into())
}

fn violation_to_proto(violation: &Violation) -> pb::bad_request::FieldViolation {
    let field = match violation.index {
        Some(index) => format!("{}[{index}]", violation.field),
        None => violation.field.as_str().to_owned(),
    };
    pb::bad_request::FieldViolation {
        field,
        description: violation.rule.to_string(),
        ..Default::default()
    }
}

fn violation_from_proto(violation: pb::bad_request::FieldViolation) -> Violation {
    let (name, index) = match violation.field.split_once('[') {
        Some((name, rest)) => (name, rest.trim_end_matches(']').parse().ok()),
        None => (violation.field.as_str(), None),
    };
    let rule = if is_harmless(&violation.description) {
        Malformed::new(violation.description)
    } else {
        Malformed::new("is not accepted")
    };
    Violation {
        index,
        ..Violation::new(Field::from_name(name), &rule)
    }
}

/// Whether a text may travel to Konnect: no sentence of the contract's leads anywhere.
fn is_harmless(text: &str) -> bool {
    !text.contains("://")
}

/// The details of ours in a status.
#[derive(Default)]
struct Details {
    reason: Option<Reason>,
    ours: bool,
    correlation: Option<String>,
    outcome: Option<Outcome>,
    violations: Vec<Violation>,
    after: Option<Duration>,
    sentence: Option<String>,
}

fn details(status: &Status) -> Details {
    let mut found = Details::default();
    let Ok(packed) = pb::Status::decode(status.details()) else {
        return found;
    };
    for detail in packed.details {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        let bytes = detail.value.as_slice();
        if name == "google.rpc.ErrorInfo" {
            let mut info = pb::ErrorInfo::decode(bytes).unwrap_or_default();
            found.ours = info.domain == DOMAIN;
            found.reason = Reason::from_name(&info.reason);
            found.correlation = info.metadata.remove(CORRELATION);
        } else if name == "google.rpc.BadRequest" {
            let bad = pb::BadRequest::decode(bytes).unwrap_or_default();
            found.violations = bad
                .field_violations
                .into_iter()
                .take(MOST_VIOLATIONS)
                .map(violation_from_proto)
                .collect();
        } else if name == "google.rpc.RetryInfo" {
            let info = pb::RetryInfo::decode(bytes).unwrap_or_default();
            let wait = duration_from_proto(info.retry_delay);
            found.after = wait.map(|w| w.min(LONGEST_WAIT));
        } else if name == "google.rpc.LocalizedMessage" {
            let message = pb::LocalizedMessage::decode(bytes)
                .unwrap_or_default()
                .message;
            let usable = !message.trim().is_empty() && is_harmless(&message);
            found.sentence = usable.then_some(message);
        } else if name == OUTCOME_DETAIL {
            let detail = v1::OutcomeDetail::decode(bytes).unwrap_or_default();
            found.outcome = match detail.outcome() {
                v1::Outcome::NotApplied => Some(Outcome::NotApplied),
                v1::Outcome::Applied => Some(Outcome::Applied),
                v1::Outcome::Unknown | v1::Outcome::Unspecified => Some(Outcome::Unknown),
            };
        }
    }
    found
}

/// Whether a connector made this status, and nothing on the way to it.
pub(crate) fn is_from_a_connector(status: &Status) -> bool {
    details(status).ours
}

/// Reads a status that a connector, or something on the way to it, answered to a call that it may have begun.
pub(crate) fn from_status(status: &Status) -> Fault {
    let found = details(status);
    if !found.ours {
        return not_from_a_connector(status);
    }
    let said = printable(status.message(), LONGEST_MESSAGE);
    let message = format!("the connector answered {:?}: {said}", status.code());
    let kind = match status.code() {
        Code::InvalidArgument => FaultKind::Invalid(found.violations),
        Code::NotFound => FaultKind::NotFound,
        Code::AlreadyExists => FaultKind::Conflict,
        Code::FailedPrecondition => FaultKind::Limit,
        Code::Unimplemented => FaultKind::Unsupported,
        Code::PermissionDenied => FaultKind::Refused,
        Code::ResourceExhausted => FaultKind::Throttled { after: found.after },
        Code::Unavailable => FaultKind::Unavailable { after: found.after },
        Code::DeadlineExceeded | Code::Cancelled => FaultKind::TimedOut,
        Code::Ok
        | Code::Unknown
        | Code::Internal
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss
        | Code::Unauthenticated => FaultKind::Internal,
    };
    let mut fault = Fault::new(kind, message);
    if let Some(reason) = found.reason {
        fault = fault.reason(reason);
    }
    if let Some(sentence) = &found.sentence {
        fault = fault.saying(sentence);
    }
    if let Some(id) = &found.correlation {
        fault = fault.correlated(id);
    }
    // A mutation whose outcome was not told may have been done.
    fault.outcome(found.outcome.unwrap_or(Outcome::Unknown))
}

/// A proxy's or a mesh's status, or tonic's own.
fn not_from_a_connector(status: &Status) -> Fault {
    let cause = printable(&root_cause(status), LONGEST_MESSAGE);
    // What tonic itself says of an answer beyond the limit. Whoever else says so gets the other word, and no more.
    let too_large = status.message().starts_with(TOO_LARGE);
    let fault = if status.code() == Code::OutOfRange && too_large {
        Fault::internal("the connector's answer breaks the contract")
    } else {
        let message = "the call to the connector ended without an answer of its own";
        Fault::new(FaultKind::TimedOut, message)
    };
    fault.because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Vec<(FaultKind, Code)> {
        let violation = Violation::of_element(Field::Scopes, 2, &Malformed::new("must exist"));
        let wait = Some(Duration::from_secs(7));
        vec![
            (FaultKind::Invalid(vec![violation]), Code::InvalidArgument),
            (FaultKind::NotFound, Code::NotFound),
            (FaultKind::Conflict, Code::AlreadyExists),
            (FaultKind::Limit, Code::FailedPrecondition),
            (FaultKind::Unsupported, Code::Unimplemented),
            (FaultKind::Refused, Code::PermissionDenied),
            (
                FaultKind::Throttled { after: wait },
                Code::ResourceExhausted,
            ),
            (
                FaultKind::Throttled { after: None },
                Code::ResourceExhausted,
            ),
            (FaultKind::Unavailable { after: wait }, Code::Unavailable),
            (FaultKind::TimedOut, Code::DeadlineExceeded),
            (FaultKind::Internal, Code::Internal),
        ]
    }

    #[test]
    fn every_kind_has_its_code_and_survives_the_wire_whole() {
        for (kind, code) in kinds() {
            for outcome in [Outcome::NotApplied, Outcome::Applied, Outcome::Unknown] {
                let fault = Fault::new(kind.clone(), "for the log")
                    .reason(Reason::OperationRepeated)
                    .outcome(outcome)
                    .saying("For the administrator.")
                    .correlated("req-1");
                let status = to_status(&fault);
                let back = from_status(&status);
                if fault.kind() == &kind {
                    assert_eq!(status.code(), code);
                }
                assert_eq!(back.kind(), fault.kind());
                assert_eq!(back.done(), outcome);
                assert_eq!(back.why(), Reason::OperationRepeated);
                assert_eq!(back.sentence(), fault.sentence());
                assert_eq!(back.correlation(), Some("req-1"));
                assert!(back.message().contains("for the log"));
            }
        }
    }

    #[test]
    fn a_status_without_our_error_info_promises_nothing() {
        for code in [
            Code::NotFound,
            Code::Unimplemented,
            Code::PermissionDenied,
            Code::Unavailable,
            Code::OutOfRange,
        ] {
            let back = from_status(&Status::new(code, "from a mesh"));
            assert_eq!(back.kind(), &FaultKind::TimedOut, "{code:?}");
            assert_eq!(back.done(), Outcome::Unknown);
        }
    }

    #[test]
    fn an_answer_beyond_the_limit_is_no_lost_answer() {
        let back = from_status(&Status::out_of_range(format!("{TOO_LARGE}: found 9 bytes")));
        assert_eq!(back.kind(), &FaultKind::Internal);
        assert_eq!(back.done(), Outcome::Unknown);
    }

    #[test]
    fn what_a_status_says_is_cut_and_cannot_forge_a_line_of_the_log() {
        let long = format!("a\r\n{{\"level\":\"INFO\"}}{}", "x".repeat(5_000));
        let ours = to_status(&Fault::internal(long.clone()));
        for status in [ours, Status::unavailable(long)] {
            let text = from_status(&status).to_string();
            assert!(text.len() < 700, "{text}");
            assert!(!text.contains(['\r', '\n']), "{text}");
        }
    }

    #[test]
    fn a_connector_that_does_not_tell_the_outcome_leaves_it_open() {
        let info = pb::ErrorInfo {
            domain: DOMAIN.to_owned(),
            ..Default::default()
        };
        let packed = pb::Status {
            code: Code::Unavailable as i32,
            message: String::new(),
            details: vec![any("google.rpc.ErrorInfo", &info)],
        };
        let status = Status::with_details(Code::Unavailable, "", packed.encode_to_vec().into());
        let back = from_status(&status);
        assert_eq!(
            (back.kind(), back.done()),
            (&FaultKind::TimedOut, Outcome::Unknown)
        );
    }

    #[test]
    fn waits_are_capped_and_floods_of_violations_cut() {
        let long = FaultKind::Throttled {
            after: Some(Duration::from_hours(24)),
        };
        let back = from_status(&to_status(&Fault::new(long, "x")));
        assert_eq!(
            back.kind(),
            &FaultKind::Throttled {
                after: Some(LONGEST_WAIT)
            }
        );
        let many = vec![Violation::new(Field::Scopes, &Malformed::new("x".repeat(300))); 500];
        let status = to_status(&Fault::invalid(many));
        assert!(status.details().len() < 8 * 1024);
    }

    #[test]
    fn every_reason_is_one_of_the_contract() {
        for reason in Reason::ALL {
            let name = format!("REASON_{}", reason.as_str());
            assert!(
                v1::Reason::from_str_name(&name).is_some(),
                "{name} is not in the contract"
            );
        }
        let in_contract = (1..1000)
            .take_while(|n| v1::Reason::try_from(*n).is_ok())
            .count();
        assert_eq!(in_contract, Reason::ALL.len());
    }
}
