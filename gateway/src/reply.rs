//! Failures as Konnect sees them: an HTTP status and `{error, error_description}`. The only such table.
//!
//! Konnect is told a fault's sentence, never its message: that one is for the log and may name hosts.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use dcr_contract::model::Reference;
use dcr_contract::{Fault, FaultKind, Violation};
use dcr_runtime::http::HangUp;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::head::Ambiguity;
use crate::keys::Denial;
use crate::konnect::{Body, name_of};
use crate::limits::Loss;

/// Waits that are not known, and the longest that is told.
const USUAL_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// For a call in flight to end.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// More violations than this are only counted: the text has to fit a form of Konnect's.
const MOST_VIOLATIONS: usize = 10;

/// Why a call is not answered as asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A fault of the model's or the connector's.
    Fault(Fault),
    /// The key does not open the provider.
    Denied(Denial),
    /// The key does not open the provider, and neither did many others from the same peer.
    DeniedTooOften {
        /// Why this one does not.
        denial: Denial,
        /// When the next will be told why.
        after: Duration,
    },
    /// The head can be understood in more than one way.
    Ambiguous {
        /// In which.
        ambiguity: Ambiguity,
        /// Whether too many from the same peer were let in neither.
        often: bool,
    },
    /// More calls than may be made with one key.
    RateLimited {
        /// When the next may be made.
        after: Duration,
    },
    /// As many calls of the provider are in flight as may be.
    Busy,
    /// As many operations of the provider are still to be undone as may be.
    Undoing,
    /// More losses than the provider's operator allows within an hour.
    Braked {
        /// Of what.
        loss: Loss,
        /// When the next will be allowed.
        after: Duration,
    },
    /// The body names none of the organizations that the provider serves.
    OtherOrganization,
    /// No operation has this path.
    NoSuchPath,
    /// The path has other methods.
    NoSuchMethod {
        /// The value of `Allow`.
        allowed: &'static str,
    },
    /// The body is longer than 64 KiB.
    BodyTooLarge,
    /// The body did not come, or not in time.
    BodyCut,
    /// The audit log cannot be written, and the answer would hold a secret.
    Unaudited,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A refusal on its way out. Whoever knows the call's reference turns it into text, so that it is written, logged
/// and counted in one place.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Arc<Refusal>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(Refused(Arc::new(self)));
        response
    }
}

struct Row {
    status: StatusCode,
    error: &'static str,
    /// Told when there is no better sentence.
    sentence: &'static str,
}

const fn row(status: StatusCode, error: &'static str, sentence: &'static str) -> Row {
    Row {
        status,
        error,
        sentence,
    }
}

fn fault_row(kind: &FaultKind) -> Row {
    match kind {
        FaultKind::Invalid(_) => row(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "The request cannot be honoured as written.",
        ),
        FaultKind::NotFound => row(
            StatusCode::NOT_FOUND,
            "client_not_found",
            "This provider has no such client.",
        ),
        FaultKind::Conflict => row(
            StatusCode::CONFLICT,
            "conflict",
            "The identity provider has something incompatible of that name or id.",
        ),
        FaultKind::Limit => row(
            StatusCode::BAD_REQUEST,
            "limit_reached",
            "The identity provider allows no more of these.",
        ),
        FaultKind::Unsupported => row(
            StatusCode::BAD_REQUEST,
            "unsupported",
            "This identity provider cannot do that.",
        ),
        FaultKind::Refused => row(
            StatusCode::BAD_GATEWAY,
            "identity_provider_refused",
            "The identity provider refused the bridge's own credential or rights; its operator has to mend that.",
        ),
        FaultKind::Throttled { .. } => row(
            StatusCode::TOO_MANY_REQUESTS,
            "throttled",
            "The identity provider takes no more calls for now. Try again later.",
        ),
        FaultKind::Unavailable { .. } => row(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The identity provider cannot be reached for now; nothing was changed. Try again later.",
        ),
        FaultKind::TimedOut => row(
            StatusCode::GATEWAY_TIMEOUT,
            "timed_out",
            "The identity provider did not answer in time; whether anything was changed is not known.",
        ),
        FaultKind::Internal => row(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong in the bridge. Its log tells more.",
        ),
    }
}

impl Refusal {
    fn row(&self) -> Row {
        match self {
            Self::Fault(fault) => fault_row(fault.kind()),
            Self::Denied(_) => row(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "The X-API-KEY header does not hold a valid key for this address.",
            ),
            Self::DeniedTooOften { .. } => row(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_failures",
                "Too many calls without a valid key have come from this address. Try again later.",
            ),
            Self::Ambiguous { ambiguity, .. } => row(
                StatusCode::BAD_REQUEST,
                "ambiguous_request",
                ambiguity.sentence(),
            ),
            Self::RateLimited { .. } => row(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "With this key no more calls are taken for now; nothing was done. Try again later.",
            ),
            Self::Busy => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "provider_busy",
                "The bridge waits for as many calls of this provider as it may at once; nothing was done. Try again later.",
            ),
            Self::Undoing => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "aborts_pending",
                "Too many calls of this provider whose answers were lost are still to be undone; nothing was done. Try again later.",
            ),
            Self::Braked { loss, .. } => row(
                StatusCode::TOO_MANY_REQUESTS,
                "braked",
                match loss {
                    Loss::Delete => {
                        "As many clients were deleted within an hour as the bridge's operator allows; nothing was \
                         done. If more are to go, the operator has to raise brake.deletes_per_hour of this provider."
                    }
                    Loss::Rotation => {
                        "As many secrets were replaced within an hour as the bridge's operator allows; nothing was \
                         done. If more are to go, the operator has to raise brake.rotations_per_hour of this provider."
                    }
                },
            ),
            Self::OtherOrganization => row(
                StatusCode::BAD_REQUEST,
                "organization_not_served",
                "This provider does not serve the organization of organization_id; the bridge's operator lists those \
                 that it serves.",
            ),
            Self::NoSuchPath => row(
                StatusCode::NOT_FOUND,
                "no_such_path",
                "No operation of Konnect's contract has this path.",
            ),
            Self::NoSuchMethod { .. } => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "No operation of Konnect's contract has this method on this path.",
            ),
            Self::BodyTooLarge => row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body must not be longer than 64 KiB.",
            ),
            Self::BodyCut => row(
                StatusCode::BAD_REQUEST,
                "body_incomplete",
                "The body did not arrive whole and in time.",
            ),
            Self::Unaudited => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "audit_log_unavailable",
                "The bridge cannot write its audit log, and hands out no secret without it. Try again later.",
            ),
        }
    }

    /// The stable word, which is also the outcome in log and metrics.
    pub(crate) fn error(&self) -> &'static str {
        self.row().error
    }

    /// What the log is told beside that.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Fault(fault) => match fault.kind() {
                FaultKind::Invalid(violations) if !violations.is_empty() => {
                    format!("{fault} ({})", described(violations, Body::Application))
                }
                _ => fault.to_string(),
            },
            Self::Denied(denial) | Self::DeniedTooOften { denial, .. } => denial.name().to_owned(),
            Self::Ambiguous { .. }
            | Self::RateLimited { .. }
            | Self::Busy
            | Self::Undoing
            | Self::Braked { .. }
            | Self::OtherOrganization
            | Self::NoSuchPath
            | Self::NoSuchMethod { .. }
            | Self::BodyTooLarge
            | Self::BodyCut
            | Self::Unaudited => self.row().sentence.to_owned(),
        }
    }

    /// The kind of the fault, where there is one.
    pub(crate) fn fault_kind(&self) -> Option<&'static str> {
        match self {
            Self::Fault(fault) => Some(fault.kind().name()),
            _ => None,
        }
    }

    fn description(&self, body: Body) -> String {
        if let Self::Fault(fault) = self {
            if let FaultKind::Invalid(violations) = fault.kind()
                && !violations.is_empty()
            {
                return described(violations, body);
            }
            if let Some(sentence) = fault.sentence() {
                return sentence.to_string();
            }
        }
        self.row().sentence.to_owned()
    }

    /// The answer.
    pub(crate) fn answer(&self, reference: &Reference, body: Body) -> Response {
        #[derive(Serialize)]
        struct Failure {
            error: &'static str,
            error_description: String,
        }
        let Row { status, error, .. } = self.row();
        let description = self.description(body);
        let stop = if description.ends_with(['.', '!', '?']) {
            ""
        } else {
            "."
        };
        let json = serde_json::to_vec(&Failure {
            error,
            error_description: format!("{description}{stop} Reference: {reference}"),
        });
        // Two strings can always be written.
        let mut response = (status, json.unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Self::NoSuchMethod { allowed } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.is_a_strangers() {
            response.extensions_mut().insert(HangUp);
        }
        response
    }

    /// Whether nobody let the peer in: its connection is not kept, for there are only so many.
    fn is_a_strangers(&self) -> bool {
        matches!(
            self,
            Self::Denied(_) | Self::DeniedTooOften { .. } | Self::Ambiguous { .. }
        )
    }

    /// Whether it is one of many of a peer that nobody let in: what strangers send without end must not fill the log.
    pub(crate) fn is_noise(&self) -> bool {
        matches!(
            self,
            Self::DeniedTooOften { .. } | Self::Ambiguous { often: true, .. }
        )
    }

    /// Whether nothing but the number of calls speaks against this one.
    pub(crate) fn is_shed(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Busy | Self::Undoing)
    }

    /// Whole seconds, 1 to 60.
    fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::Fault(fault) => match fault.kind() {
                FaultKind::Throttled { after } | FaultKind::Unavailable { after } => {
                    after.unwrap_or(USUAL_WAIT)
                }
                _ => return None,
            },
            Self::Unaudited | Self::Undoing => USUAL_WAIT,
            Self::Busy => BUSY_WAIT,
            Self::DeniedTooOften { after, .. }
            | Self::RateLimited { after }
            | Self::Braked { after, .. } => *after,
            _ => return None,
        };
        let wait = wait.min(LONGEST_WAIT);
        Some((wait + Duration::from_nanos(999_999_999)).as_secs().max(1))
    }
}

/// Every violation with Konnect's name of its field.
fn described(violations: &[Violation], body: Body) -> String {
    let one = |violation: &Violation| {
        let name = name_of(violation.field, body);
        match violation.index {
            Some(index) => format!("{name}[{index}] {}", violation.rule),
            None => format!("{name} {}", violation.rule),
        }
    };
    let mut listed: Vec<String> = violations.iter().take(MOST_VIOLATIONS).map(one).collect();
    if let Some(more) = violations
        .len()
        .checked_sub(MOST_VIOLATIONS)
        .filter(|more| *more > 0)
    {
        listed.push(format!("{more} more"));
    }
    listed.join("; ")
}

#[cfg(test)]
mod tests {
    use dcr_contract::Violations;
    use dcr_contract::model::Field;
    use http_body_util::BodyExt;

    use super::*;

    async fn answer(refusal: Refusal, body: Body) -> (http::response::Parts, serde_json::Value) {
        let reference = Reference::accept(Some("r-1"));
        let (parts, body) = refusal.answer(&reference, body).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, serde_json::from_slice(&bytes).unwrap())
    }

    fn all_kinds() -> Vec<(FaultKind, u16, &'static str)> {
        vec![
            (FaultKind::Invalid(Vec::new()), 400, "invalid_request"),
            (FaultKind::NotFound, 404, "client_not_found"),
            (FaultKind::Conflict, 409, "conflict"),
            (FaultKind::Limit, 400, "limit_reached"),
            (FaultKind::Unsupported, 400, "unsupported"),
            (FaultKind::Refused, 502, "identity_provider_refused"),
            (FaultKind::Throttled { after: None }, 429, "throttled"),
            (FaultKind::Unavailable { after: None }, 503, "unavailable"),
            (FaultKind::TimedOut, 504, "timed_out"),
            (FaultKind::Internal, 500, "internal_error"),
        ]
    }

    #[tokio::test]
    async fn every_fault_has_its_status_and_word_and_tells_nothing_of_its_message() {
        for (kind, status, error) in all_kinds() {
            let retry = matches!(status, 429 | 503);
            let fault = Fault::new(kind.clone(), "https://idp.internal said planted");
            let (parts, json) = answer(fault.into(), Body::Application).await;
            assert_eq!(parts.status, status);
            assert_eq!(json["error"], error);
            let description = json["error_description"].as_str().unwrap();
            assert!(description.ends_with(". Reference: r-1"), "{description}");
            assert!(!json.to_string().contains("planted"));
            assert!(!json.to_string().contains("internal said"));
            assert_eq!(parts.headers.contains_key(RETRY_AFTER), retry);
            assert_eq!(parts.headers[CONTENT_TYPE], "application/json");
            assert_eq!(json.as_object().unwrap().len(), 2);

            let fault = Fault::new(kind, "x").saying("Do this first");
            if status != 400 || error != "invalid_request" {
                let (_, json) = answer(fault.into(), Body::Application).await;
                assert_eq!(json["error_description"], "Do this first. Reference: r-1");
            }
        }
    }

    #[tokio::test]
    async fn the_gateways_own_refusals_have_the_same_form() {
        for (refusal, status, error) in [
            (Refusal::Denied(Denial::UnknownKey), 401, "unauthorized"),
            (Refusal::NoSuchPath, 404, "no_such_path"),
            (
                Refusal::NoSuchMethod {
                    allowed: "GET, POST",
                },
                405,
                "method_not_allowed",
            ),
            (Refusal::BodyTooLarge, 413, "body_too_large"),
            (Refusal::BodyCut, 400, "body_incomplete"),
            (Refusal::Busy, 503, "provider_busy"),
            (Refusal::Undoing, 503, "aborts_pending"),
        ] {
            let allowed = status == 405;
            let (parts, json) = answer(refusal, Body::Application).await;
            assert_eq!(parts.status, status);
            assert_eq!(json["error"], error);
            assert_eq!(
                parts.headers.get(ALLOW).is_some_and(|a| a == "GET, POST"),
                allowed
            );
        }
    }

    #[tokio::test]
    async fn every_denial_looks_alike() {
        let (_, wrong) = answer(Refusal::Denied(Denial::UnknownKey), Body::Application).await;
        let (_, unknown) =
            answer(Refusal::Denied(Denial::UnknownProvider), Body::Application).await;
        assert_eq!(wrong, unknown);
    }

    #[tokio::test]
    async fn violations_bear_konnects_names_and_are_bounded() {
        let mut violations = Violations::default();
        violations.note(Field::Name, "must not be empty");
        for _ in 0..20 {
            violations.note(Field::Scopes, "must be text");
        }
        let fault = violations.into_fault();
        let (_, json) = answer(fault.into(), Body::Event).await;
        let description = json["error_description"].as_str().unwrap();
        assert!(
            description.starts_with("application_name must not be empty; scopes must be text; ")
        );
        assert!(
            description.ends_with("; 11 more. Reference: r-1"),
            "{description}"
        );
        assert_eq!(description.matches("scopes").count(), MOST_VIOLATIONS - 1);

        let mut violations = Violations::default();
        violations.note(Field::Name, "must not be empty");
        let (_, json) = answer(violations.into_fault().into(), Body::Application).await;
        assert_eq!(
            json["error_description"],
            "client_name must not be empty. Reference: r-1"
        );
    }

    #[test]
    fn retry_after_is_whole_seconds_up_to_a_minute() {
        for (after, seconds) in [
            (None, 5),
            (Some(Duration::ZERO), 1),
            (Some(Duration::from_millis(1)), 1),
            (Some(Duration::from_millis(2001)), 3),
            (Some(Duration::from_hours(1)), 60),
            (Some(Duration::MAX), 60),
        ] {
            let fault = Fault::new(FaultKind::Throttled { after }, "x");
            assert_eq!(
                Refusal::Fault(fault).retry_after(),
                Some(seconds),
                "{after:?}"
            );
        }
    }
}
