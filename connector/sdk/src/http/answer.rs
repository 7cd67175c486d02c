//! What an IdP answered, and what that means.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::Effect;
use super::wait;
use crate::fault::{Fault, FaultKind, Outcome, Reason};
use crate::model::Sentence;

/// Headers by which vendors name a call in their own logs.
const CORRELATION: [&str; 4] = [
    "x-okta-request-id",
    "x-auth0-requestid",
    "request-id",
    "x-request-id",
];

/// An answer that was read whole. Its body may hold secrets, so nothing prints it.
pub struct Answer {
    pub(super) effect: Effect,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What was asked, for the log: method and path.
    pub(super) call: String,
    /// Whether of a complaint only the code is told.
    pub(super) by_code: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("call", &self.call)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The answer if its status is one that is expected here, else the fault that the status means.
    ///
    /// # Errors
    /// See [`Answer::fault`].
    pub fn expect(self, statuses: &[StatusCode]) -> Result<Self, Fault> {
        if statuses.contains(&self.status) {
            Ok(self)
        } else {
            Err(self.fault())
        }
    }

    /// The answer to a call about one client that was found before: a 404 says that it has gone since.
    ///
    /// # Errors
    /// `NotFound` for a 404.
    pub fn of_client(self) -> Result<Self, Fault> {
        if self.status == StatusCode::NOT_FOUND {
            return Err(Fault::no_such_client());
        }
        Ok(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `Internal` for a read, where nothing was done; `TimedOut` with UNKNOWN for a change, which may have been made.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde_json's message may repeat a part of the body, which may be a secret.
            let place = format!("line {} column {}", error.line(), error.column());
            let message = format!("{} answered what cannot be read at {place}", self.call);
            match self.effect {
                Effect::Reads => Fault::internal(message)
                    .reason(Reason::IdpAnswerUnusable)
                    .outcome(Outcome::NotApplied),
                Effect::Creates | Effect::Changes => {
                    Fault::new(FaultKind::TimedOut, message).reason(Reason::IdpAnswerUnclear)
                }
            }
        })
    }

    /// What a token endpoint refused (RFC 6749 section 5.2), by its code alone: the description may repeat the
    /// credential that was sent.
    pub(super) fn refusal_by_code(&self) -> String {
        let message = format!("{} answered {}", self.call, self.status.as_u16());
        match self.code() {
            Some(code) => format!("{message}: {code}"),
            None => message,
        }
    }

    /// The code of a refusal, as RFC 6749 section 5.2 and RFC 7591 section 3.2.2 have it.
    fn code(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let is_code = |c: char| c.is_ascii_lowercase() || c == '_';
        let Refusal { error } = serde_json::from_slice(&self.body).ok()?;
        (error.len() <= 32 && error.chars().all(is_code)).then_some(error)
    }

    /// The same answer, of which [`complaint`](Self::complaint) and all faults tell the code alone. For what was asked with
    /// a secret in the body: a description may repeat it.
    #[must_use]
    pub fn told_by_code(mut self) -> Self {
        self.by_code = true;
        self
    }

    /// What the IdP says is wrong: the known members of an error body, never the body itself; at most 200 printable
    /// characters. For the log, or to recognise an error by; Konnect is told a sentence of the connector's own.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Complaint {
            #[serde(default)]
            error: serde_json::Value,
            #[serde(rename = "error_description")]
            error_description: Option<String>,
            error_message: Option<String>,
            error_summary: Option<String>,
            message: Option<String>,
        }
        if self.by_code {
            return self.code();
        }
        let complaint: Complaint = serde_json::from_slice(&self.body).ok()?;
        // Graph nests: {"error": {"code", "message"}}.
        let nested = |member| complaint.error.get(member).and_then(|v| v.as_str());
        let code = complaint.error.as_str().or_else(|| nested("code"));
        let texts = [
            code,
            complaint.error_description.as_deref(),
            complaint.error_message.as_deref(),
            complaint.error_summary.as_deref(),
            complaint.message.as_deref().or_else(|| nested("message")),
        ];
        let text = texts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        (!text.is_empty()).then(|| Sentence::new(&text).to_string())
    }

    /// The fault that an unexpected status means.
    ///
    /// 401 and 403 are `Refused`: our credential, not Konnect's. 409 is `Conflict`, 429 `Throttled`; what else the IdP
    /// refuses is `Internal`, since the connector should not have asked for it. So is a 404, which may be a proxy's or
    /// mean that the configuration is wrong: see [`Answer::of_client`]. 5xx and redirects leave open whether a change
    /// was made: `TimedOut` or `Internal` with UNKNOWN. A read has changed nothing, whatever its answer.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let mut message = format!("{} answered {}", self.call, self.status.as_u16());
        if let Some(complaint) = self.complaint() {
            message = format!("{message}: {complaint}");
        }
        self.meaning(message)
    }

    /// The fault that a token endpoint's status means, told as by [`Answer::refusal_by_code`].
    pub(super) fn fault_by_code(&self) -> Fault {
        self.meaning(self.refusal_by_code())
    }

    fn meaning(&self, message: String) -> Fault {
        let after = wait::asked(&self.headers);
        let fault = match self.status {
            StatusCode::UNAUTHORIZED => Fault::new(FaultKind::Refused, message),
            StatusCode::FORBIDDEN => {
                Fault::new(FaultKind::Refused, message).reason(Reason::IdpRightMissing)
            }
            StatusCode::CONFLICT => Fault::new(FaultKind::Conflict, message),
            StatusCode::TOO_MANY_REQUESTS => Fault::new(FaultKind::Throttled { after }, message),
            status if status.is_client_error() => {
                Fault::internal(message).outcome(Outcome::NotApplied)
            }
            status if status.is_server_error() => {
                let unavailable = Fault::new(FaultKind::Unavailable { after }, message);
                match self.effect {
                    Effect::Reads => unavailable,
                    Effect::Creates | Effect::Changes => unavailable
                        .outcome(Outcome::Unknown)
                        .reason(Reason::IdpAnswerUnclear),
                }
            }
            _ => Fault::internal(message).reason(Reason::IdpAnswerUnusable),
        };
        let fault = match self.effect {
            Effect::Reads => fault.outcome(Outcome::NotApplied),
            Effect::Creates | Effect::Changes => fault,
        };
        match CORRELATION.iter().find_map(|name| self.header(name)) {
            Some(id) => fault.correlated(id),
            None => fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(effect: Effect, status: u16, body: &'static str) -> Answer {
        Answer {
            effect,
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            call: "POST /clients".to_owned(),
            by_code: false,
        }
    }

    #[test]
    fn every_status_has_its_kind_and_outcome() {
        use Outcome::{NotApplied, Unknown};
        let table = [
            (400, "internal", NotApplied, "internal", NotApplied),
            (401, "refused", NotApplied, "refused", NotApplied),
            (403, "refused", NotApplied, "refused", NotApplied),
            (404, "internal", NotApplied, "internal", NotApplied),
            (409, "conflict", NotApplied, "conflict", NotApplied),
            (429, "throttled", NotApplied, "throttled", NotApplied),
            (500, "unavailable", NotApplied, "timed_out", Unknown),
            (503, "unavailable", NotApplied, "timed_out", Unknown),
            (302, "internal", NotApplied, "internal", Unknown),
        ];
        for (status, read, read_outcome, change, change_outcome) in table {
            for (effect, kind, outcome) in [
                (Effect::Reads, read, read_outcome),
                (Effect::Changes, change, change_outcome),
            ] {
                let fault = answer(effect, status, "").fault();
                assert_eq!(
                    (fault.kind().name(), fault.done()),
                    (kind, outcome),
                    "{status} {effect:?}"
                );
            }
        }
    }

    #[test]
    fn a_refused_credential_is_told_by_its_code_alone() {
        let told = |body| answer(Effect::Reads, 401, body).refusal_by_code();
        let described = r#"{"error":"invalid_client","error_description":"bad secret planted"}"#;
        assert_eq!(
            told(described),
            "POST /clients answered 401: invalid_client"
        );
        for body in [r#"{"error":"Planted-1"}"#, r#"{"error":{}}"#, "planted"] {
            assert_eq!(told(body), "POST /clients answered 401");
        }
    }

    #[test]
    fn a_complaint_is_taken_from_known_members_and_never_the_body() {
        let complaint = |body| answer(Effect::Reads, 400, body).complaint();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(complaint(r#"{"errorMessage":"taken"}"#), said("taken"));
        assert_eq!(
            complaint(r#"{"error":"a","error_description":"b"}"#),
            said("a: b")
        );
        assert_eq!(
            complaint(r#"{"error":{"code":"c","message":"m"}}"#),
            said("c: m")
        );
        assert_eq!(complaint(r#"{"client_secret":"planted"}"#), None);
        assert_eq!(complaint("<html>planted</html>"), None);
        let fault = answer(Effect::Reads, 200, r#"{"secret":"planted" "#)
            .json::<String>()
            .unwrap_err();
        assert!(!fault.to_string().contains("planted"));
    }
}
