//! What is watched over all answers of a run.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dcr_tests::http::Answer;
use serde_json::Value;

/// Shorter texts stand in answers by chance.
const SHORTEST: usize = 8;

/// What all answers so far had in common.
pub(crate) struct Journal(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    secrets: BTreeSet<String>,
    slowest: Option<(Duration, String)>,
    unanswered: Vec<String>,
    leaks: Vec<String>,
}

impl Journal {
    /// A journal of calls with this key.
    pub(crate) fn new(key: &str) -> Self {
        Self(Mutex::new(Kept {
            secrets: BTreeSet::from([key.to_owned()]),
            ..Kept::default()
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call and its answer, if it had one.
    pub(crate) fn note(&self, asked: &str, answer: Option<&Answer>, took: Duration) {
        let mut kept = self.kept();
        let Some(answer) = answer else {
            kept.unanswered.push(asked.to_owned());
            return;
        };
        if kept.slowest.as_ref().is_none_or(|(most, _)| took > *most) {
            kept.slowest = Some((took, asked.to_owned()));
        }
        if answer.status.is_success() {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let secret = body.get("client_secret").and_then(Value::as_str);
            kept.secrets
                .extend(secret.filter(|s| s.len() >= SHORTEST).map(str::to_owned));
        } else if kept.holds_secret(answer) {
            let leak = format!("{asked}, answered {}", answer.status.as_u16());
            kept.leaks.push(leak);
        }
    }

    /// Whether an answer holds the key or a client secret that came before.
    pub(crate) fn holds_secret(&self, answer: &Answer) -> bool {
        self.kept().holds_secret(answer)
    }

    /// The failures that held the key or a client secret.
    pub(crate) fn leaks(&self) -> Vec<String> {
        self.kept().leaks.clone()
    }

    /// The calls that had no whole answer.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.kept().unanswered.clone()
    }

    /// How long the slowest answer took, and to what.
    pub(crate) fn slowest(&self) -> Option<(Duration, String)> {
        self.kept().slowest.clone()
    }
}

impl Kept {
    fn holds_secret(&self, answer: &Answer) -> bool {
        let in_text = |text: &str| self.secrets.iter().any(|secret| text.contains(&**secret));
        let header =
            |value: &http::HeaderValue| in_text(&String::from_utf8_lossy(value.as_bytes()));
        in_text(&answer.text()) || answer.headers.values().any(header)
    }
}
