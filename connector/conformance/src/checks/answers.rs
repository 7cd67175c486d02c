//! What holds for every call, judged by all that the run has seen.

use crate::bridge::Bridge;
use crate::check::{Stop, Verdict, broken, group};
use crate::journal::Rule;

group! {
    "answers",
    every_failure_has_error_info [Core]
        "Every failure carries google.rpc.ErrorInfo, domain dcr.connector.v1, its reason one of the enum Reason without REASON_" =>
        "Pack ErrorInfo into google.rpc.Status for every refusal; without it the gateway takes the status for a proxy's.";
    every_failed_mutation_tells_its_outcome [Core]
        "A failed mutation carries OutcomeDetail: NOT_APPLIED, APPLIED or UNKNOWN" =>
        "Add OutcomeDetail to the failures of every mutating call; without it the gateway takes the outcome for UNKNOWN.";
    every_invalid_argument_names_its_fields [Core]
        "INVALID_ARGUMENT carries google.rpc.BadRequest with every violation and its field" =>
        "Add BadRequest with a field_violation per mistake.";
    sentences_fit_konnect [Core]
        "LocalizedMessage has the locale en and at most 200 printable characters" =>
        "Shorten the sentence; it is shown to Konnect's administrator.";
    no_secret_is_shown_twice [Core]
        "A secret is shown once, in the answer that made it, and in no status, list or other answer" =>
        "Keep secrets out of messages and logs; never put the IdP's answer into a status.";
    every_call_is_answered_in_time [Core]
        "A connector answers before grpc-timeout passes" =>
        "Take the deadline from grpc-timeout and keep a margin for the way home.";
    every_answer_keeps_to_the_file [Core]
        "Answers have their required members, and ids, sentences, times and lists are within their limits" =>
        "Check what the IdP gave before you pass it on: the gateway refuses the answer otherwise.";
}

/// As many as are worth reading.
const TOLD: usize = 3;

fn judged(bridge: &Bridge, rule: Rule) -> Verdict {
    let Some(mut seen) = bridge.journal.of(rule) else {
        return Err(Stop::Skipped(
            "the run has seen nothing to judge it by".to_owned(),
        ));
    };
    if seen.is_empty() {
        return Ok(());
    }
    let many = seen.len();
    seen.dedup();
    seen.truncate(TOLD);
    Err(broken(format!("{many} times, as\n{}", seen.join("\n"))))
}

async fn every_failure_has_error_info(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::ErrorInfo)
}

async fn every_failed_mutation_tells_its_outcome(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::Outcome)
}

async fn every_invalid_argument_names_its_fields(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::Violations)
}

async fn sentences_fit_konnect(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::Sentence)
}

async fn no_secret_is_shown_twice(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::Secrecy)
}

async fn every_call_is_answered_in_time(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::Deadline)
}

async fn every_answer_keeps_to_the_file(bridge: &Bridge) -> Verdict {
    judged(bridge, Rule::Shape)
}
