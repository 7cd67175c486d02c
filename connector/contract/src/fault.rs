//! The one error that crosses boundaries, from the IdP client to Konnect's HTTP answer.
//!
//! A fault has a closed set of kinds, an [`Outcome`] (whether something was done), a reason for machines, a
//! message for the log and, where it helps, a [`Sentence`] for Konnect's administrator. The last two are
//! different on purpose: the log may name hosts and answers of the IdP, Konnect is told neither.
//!
//! Two tables translate faults: to and from gRPC (`wire::fault`) and to HTTP (the gateway's `reply`).

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::model::{Field, Malformed, Sentence};

/// A failed call. Small, since every result carries room for one.
#[derive(Debug)]
pub struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: FaultKind,
    reason: Reason,
    outcome: Outcome,
    message: String,
    sentence: Option<Sentence>,
    correlation: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of failure; adding one is a change of the design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Cannot be honoured as written; every violation is listed.
    Invalid(Vec<Violation>),
    /// No such client of this provider.
    NotFound,
    /// Exists and is incompatible.
    Conflict,
    /// The IdP allows no more.
    Limit,
    /// This IdP cannot do that.
    Unsupported,
    /// The IdP refused the connector's credential or rights.
    Refused,
    /// The IdP's rate limit.
    Throttled {
        /// How long to wait, where the IdP told.
        after: Option<Duration>,
    },
    /// Not reached or not served; nothing was done.
    Unavailable {
        /// How long to wait, where that is known.
        after: Option<Duration>,
    },
    /// Nobody knows whether it was done.
    TimedOut,
    /// A bug of ours.
    Internal,
}

/// One violated field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field.
    pub field: Field,
    /// Which element, for lists.
    pub index: Option<u32>,
    /// The end of a sentence that begins with the field's name: "must …".
    pub rule: Sentence,
}

impl Violation {
    /// A violation of a field.
    #[must_use]
    pub fn new(field: Field, malformed: &Malformed) -> Self {
        Self {
            field,
            index: None,
            rule: Sentence::new(&malformed.to_string()),
        }
    }

    /// A violation of one element of a list.
    #[must_use]
    pub fn of_element(field: Field, index: usize, malformed: &Malformed) -> Self {
        Self {
            index: u32::try_from(index).ok(),
            ..Self::new(field, malformed)
        }
    }
}

/// Gathers everything that is wrong with a request, so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Keeps the value, or notes what is wrong with it.
    pub fn check<T>(&mut self, field: Field, parsed: Result<T, Malformed>) -> Option<T> {
        parsed
            .map_err(|m| self.0.push(Violation::new(field, &m)))
            .ok()
    }

    /// Keeps a value that may be missing, or notes what is wrong with it.
    pub fn check_optional<T>(
        &mut self,
        field: Field,
        parsed: Option<Result<T, Malformed>>,
    ) -> Option<T> {
        parsed.and_then(|p| self.check(field, p))
    }

    /// Keeps the values of a list of at most `limit`, or notes what is wrong with each.
    pub fn check_list<T>(
        &mut self,
        field: Field,
        limit: usize,
        parsed: impl ExactSizeIterator<Item = Result<T, Malformed>>,
    ) -> Vec<T> {
        if parsed.len() > limit {
            let rule = Malformed::new(format!("must have at most {limit} elements"));
            self.0.push(Violation::new(field, &rule));
            return Vec::new();
        }
        let mut values = Vec::with_capacity(parsed.len());
        for (index, value) in parsed.enumerate() {
            match value {
                Ok(value) => values.push(value),
                Err(m) => self.0.push(Violation::of_element(field, index, &m)),
            }
        }
        values
    }

    /// Notes a violated rule.
    pub fn note(&mut self, field: Field, rule: &str) {
        self.0.push(Violation::new(field, &Malformed::new(rule)));
    }

    /// Whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was noted, as a fault.
    #[must_use]
    pub fn into_fault(self) -> Fault {
        Fault::invalid(self.0)
    }
}

/// Whether a failed mutation was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was changed.
    NotApplied,
    /// The change was made.
    Applied,
    /// It cannot be told.
    Unknown,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why, for machines; `connector.proto` describes each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// A field cannot be honoured as written.
    InvalidRequest = "INVALID_REQUEST",
    /// No such client of this provider.
    ClientNotFound = "CLIENT_NOT_FOUND",
    /// The client bears no mark and the operator has not admitted it.
    ClientNotAdmitted = "CLIENT_NOT_ADMITTED",
    /// The client exists and is incompatible.
    ClientExists = "CLIENT_EXISTS",
    /// The operation id was used before.
    OperationRepeated = "OPERATION_REPEATED",
    /// The operation was aborted before it arrived.
    OperationAborted = "OPERATION_ABORTED",
    /// No more secrets for this client.
    SecretLimit = "SECRET_LIMIT",
    /// The last secret cannot go.
    LastSecret = "LAST_SECRET",
    /// No more clients.
    ClientLimit = "CLIENT_LIMIT",
    /// No room for another registration or grant.
    RegistrationLimit = "REGISTRATION_LIMIT",
    /// This IdP or connector cannot do that.
    NotSupported = "NOT_SUPPORTED",
    /// An update would replace the secret.
    UpdateRotatesSecret = "UPDATE_ROTATES_SECRET",
    /// The connector's credential is not accepted.
    IdpCredentialRefused = "IDP_CREDENTIAL_REFUSED",
    /// The connector's credential lacks a right.
    IdpRightMissing = "IDP_RIGHT_MISSING",
    /// The IdP's rate limit.
    IdpThrottled = "IDP_THROTTLED",
    /// Not reached; nothing was sent.
    Unreachable = "UNREACHABLE",
    /// The IdP is failing, and nothing was done.
    IdpUnavailable = "IDP_UNAVAILABLE",
    /// The connector is shutting down.
    Draining = "DRAINING",
    /// No answer in time.
    TimedOut = "TIMED_OUT",
    /// The answer leaves open what was done.
    IdpAnswerUnclear = "IDP_ANSWER_UNCLEAR",
    /// The answer cannot be used.
    IdpAnswerUnusable = "IDP_ANSWER_UNUSABLE",
    /// A bug.
    Internal = "INTERNAL",
}

impl Reason {
    /// Reads the name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == name)
    }
}

impl Fault {
    /// A fault of that kind with the reason and outcome that are usual for it. `message` is for the log: it reads
    /// alone and holds no secret.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let (reason, outcome) = match &kind {
            FaultKind::Invalid(_) => (Reason::InvalidRequest, Outcome::NotApplied),
            FaultKind::NotFound => (Reason::ClientNotFound, Outcome::NotApplied),
            FaultKind::Conflict => (Reason::ClientExists, Outcome::NotApplied),
            FaultKind::Limit => (Reason::ClientLimit, Outcome::NotApplied),
            FaultKind::Unsupported => (Reason::NotSupported, Outcome::NotApplied),
            FaultKind::Refused => (Reason::IdpCredentialRefused, Outcome::NotApplied),
            FaultKind::Throttled { .. } => (Reason::IdpThrottled, Outcome::NotApplied),
            FaultKind::Unavailable { .. } => (Reason::IdpUnavailable, Outcome::NotApplied),
            FaultKind::TimedOut => (Reason::TimedOut, Outcome::Unknown),
            FaultKind::Internal => (Reason::Internal, Outcome::Unknown),
        };
        Self(Box::new(Inner {
            kind,
            reason,
            outcome,
            message: message.into(),
            sentence: None,
            correlation: None,
            source: None,
        }))
    }

    /// Lists everything that is wrong with a request.
    #[must_use]
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        let message = format!(
            "the request cannot be honoured as written: {}",
            fields.join(", ")
        );
        Self::new(FaultKind::Invalid(violations), message)
    }

    /// No such client of this provider; says nothing about whose it is instead.
    #[must_use]
    pub fn no_such_client() -> Self {
        Self::new(FaultKind::NotFound, "no such client of this provider")
            .saying("This provider has no such client.")
    }

    /// The IdP cannot do that; the sentence tells Konnect's administrator so.
    #[must_use]
    pub fn unsupported(sentence: &str) -> Self {
        Self::new(FaultKind::Unsupported, sentence).saying(sentence)
    }

    /// A bug of ours, or an answer that should not be possible.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, message)
    }

    /// Replaces the usual reason.
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.0.reason = reason;
        self
    }

    /// Replaces the usual outcome. An `Unavailable` stays NOT_APPLIED: what may have been done is `TimedOut`.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        if matches!(self.0.kind, FaultKind::Unavailable { .. }) && outcome != Outcome::NotApplied {
            self.0.kind = FaultKind::TimedOut;
        }
        self.0.outcome = outcome;
        self
    }

    /// Adds what Konnect's administrator may read.
    #[must_use]
    pub fn saying(mut self, sentence: &str) -> Self {
        self.0.sentence = Some(Sentence::new(sentence));
        self
    }

    /// Adds the IdP's own name for the failed call (a request or error id), for the log and `ErrorInfo`.
    #[must_use]
    pub fn correlated(mut self, id: &str) -> Self {
        self.0.correlation = Some(Sentence::new(id).to_string());
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &FaultKind {
        &self.0.kind
    }

    /// The reason.
    #[must_use]
    pub fn why(&self) -> Reason {
        self.0.reason
    }

    /// Whether something was done.
    #[must_use]
    pub fn done(&self) -> Outcome {
        self.0.outcome
    }

    /// For the log.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// For Konnect's administrator.
    #[must_use]
    pub fn sentence(&self) -> Option<&Sentence> {
        self.0.sentence.as_ref()
    }

    /// The IdP's name for the failed call.
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        self.0.correlation.as_deref()
    }
}

impl FaultKind {
    /// A short name for logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Limit => "limit",
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
        }
    }
}

/// The message and every cause behind it, on one line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|e| e as &(dyn Error + 'static))
    }
}

/// What an operator can do something about (`Connection refused`); each layer above repeats it in words of its own.
#[must_use]
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unavailable_promises_that_nothing_was_done() {
        let fault =
            Fault::new(FaultKind::Unavailable { after: None }, "x").outcome(Outcome::Unknown);
        assert_eq!(fault.kind(), &FaultKind::TimedOut);
        assert_eq!(fault.done(), Outcome::Unknown);
    }

    #[test]
    fn the_log_line_names_every_cause() {
        let fault = Fault::internal("outer").because("inner");
        assert_eq!(fault.to_string(), "outer: inner");
    }
}
