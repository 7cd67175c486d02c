//! What holds for every call of the run, noted as it is seen and judged at the end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dcr_proto::v1;
use tonic::Code;

use crate::refusal::{DOMAIN, Refusal};
use crate::rpc::Rpc;
use crate::shape::{Shape as _, is_sentence};

/// Of the secrets that are looked for.
const SHORTEST: usize = 8;

/// A rule about every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    ErrorInfo,
    Outcome,
    Violations,
    Sentence,
    Secrecy,
    Deadline,
    Shape,
}

/// The notes of a run.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    judged: Vec<Rule>,
    broken: Vec<(Rule, String)>,
    /// Every secret that was delivered; its Debug prints nothing.
    secrets: Vec<v1::Secret>,
}

impl Notes {
    fn judge(&mut self, rule: Rule, right: bool, seen: impl FnOnce() -> String) {
        if !self.judged.contains(&rule) {
            self.judged.push(rule);
        }
        if !right {
            self.broken.push((rule, seen()));
        }
    }

    fn knows_secret_in(&self, bytes: &[u8]) -> bool {
        self.secrets.iter().any(|secret| {
            let value = secret.value.as_bytes();
            // Shorter ones stand in many texts by chance.
            value.len() >= SHORTEST && bytes.windows(value.len()).any(|window| window == value)
        })
    }

    fn knows_secret_of(&self, refusal: &Refusal) -> bool {
        self.knows_secret_in(refusal.message.as_bytes()) || self.knows_secret_in(&refusal.packed)
    }
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A secret that must not be seen again.
    pub(crate) fn delivered(&self, secret: Option<&v1::Secret>) {
        self.lock().secrets.extend(secret.cloned());
    }

    /// Whether a status shows a secret that was delivered.
    pub(crate) fn knows_secret_in(&self, refusal: &Refusal) -> bool {
        self.lock().knows_secret_of(refusal)
    }

    pub(crate) fn answered<Q: Rpc>(&self, answer: &Q::Answer) {
        use prost::Message as _;
        let mut notes = self.lock();
        notes.judge(Rule::Deadline, true, String::new);
        let wrong = answer.wrong();
        let right = wrong.is_empty();
        notes.judge(Rule::Shape, right, || {
            format!("{}: {}", Q::NAME, wrong.join("; "))
        });
        if !Q::gives_a_secret() {
            let leaks = notes.knows_secret_in(&answer.encode_to_vec());
            notes.judge(Rule::Secrecy, !leaks, || {
                format!("{}'s answer holds a secret", Q::NAME)
            });
        }
    }

    /// Whether it shows a secret.
    pub(crate) fn refused<Q: Rpc>(&self, refusal: &Refusal) -> bool {
        let mut notes = self.lock();
        if refusal.is_silence {
            let in_time = refusal.code != Code::Cancelled && refusal.code != Code::DeadlineExceeded;
            notes.judge(Rule::Deadline, in_time, || refusal.to_string());
            return false;
        }
        notes.judge(Rule::Deadline, true, String::new);
        let info = refusal.info.as_ref().is_some_and(|info| {
            let reason = v1::Reason::from_str_name(&format!("REASON_{}", info.reason));
            info.domain == DOMAIN && reason.is_some_and(|r| r != v1::Reason::Unspecified)
        });
        notes.judge(Rule::ErrorInfo, info, || match &refusal.info {
            None => format!("{refusal} (no ErrorInfo)"),
            Some(info) => format!(
                "{refusal} (domain {:?}, reason {:?})",
                info.domain, info.reason
            ),
        });
        if Q::MUTATES {
            let told = refusal
                .outcome
                .is_some_and(|o| o != v1::Outcome::Unspecified);
            notes.judge(Rule::Outcome, told, || {
                format!("{refusal} (no OutcomeDetail)")
            });
        }
        if refusal.code == Code::InvalidArgument {
            let named = refusal.fields.as_ref().is_some_and(|fields| {
                !fields.is_empty() && fields.iter().all(|field| !field.is_empty())
            });
            notes.judge(Rule::Violations, named, || {
                format!("{refusal} (no BadRequest that names a field)")
            });
        }
        if let Some(sentence) = &refusal.sentence {
            let right = sentence.locale == "en" && is_sentence(&sentence.message);
            notes.judge(Rule::Sentence, right, || {
                let characters = sentence.message.chars().count();
                format!(
                    "{refusal} (locale {:?}, {characters} characters)",
                    sentence.locale
                )
            });
        }
        let leaks = notes.knows_secret_of(refusal);
        notes.judge(Rule::Secrecy, !leaks, || {
            format!(
                "{}'s {:?} holds a secret in its status",
                refusal.rpc, refusal.code
            )
        });
        leaks
    }

    /// What was seen of a rule: `None` when nothing was, else how it was broken.
    pub(crate) fn of(&self, rule: Rule) -> Option<Vec<String>> {
        let notes = self.lock();
        let broken = notes.broken.iter().filter(|(broken, _)| *broken == rule);
        let seen = broken.map(|(_, seen)| seen.clone()).collect();
        notes.judged.contains(&rule).then_some(seen)
    }
}
