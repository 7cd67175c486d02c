//! What must have happened, or a run proves nothing: every kind of mishap, change and kill.

use crate::evidence::Evidence;
use crate::journal::{Call, Event};
use crate::verdict::Verdict;

/// A run of so many operations meets everything.
const WHOLE_RUN: usize = 3_000;
/// One kill in so many operations.
const A_KILL_IN: usize = 500;
/// What a table's lines begin with, one of which has to be there: all that is not so rare that a run may do without.
const SEEN: [&str; 29] = [
    "between Konnect and a gateway: Konnect leaves",
    "between Konnect and a gateway: half a request",
    "between Konnect and a gateway: lost",
    "between Konnect and a gateway: half an answer",
    "between Konnect and a gateway: answer lost",
    "between Konnect and a gateway: reset",
    "between Konnect and a gateway: sent twice",
    "between gateway and connector: cut before it got through",
    "between gateway and connector: reset before it got through",
    "between gateway and connector: cut when the answer came",
    "between gateway and connector: lost",
    "between gateway and connector: answer lost",
    "between gateway and connector: sent twice to one replica",
    "between gateway and connector: sent twice, to both replicas",
    "between gateway and connector: stuck in a black hole",
    "at the IdP: Slow",
    "at the IdP: CutThenCommit",
    "at the IdP: CutBefore",
    "at the IdP: CutAfter",
    "at the IdP: HalfAnAnswer",
    "at the IdP: Throttled",
    "at the IdP: FailedAfter",
    "at the IdP: UnavailableBefore",
    "at the IdP's token endpoint: ",
    "replaced: certificates",
    "replaced: CAs",
    "replaced: connectors' credentials",
    "replaced: the key that Konnect uses",
    "old probes removed",
];

/// Counts what befell requests at the IdP.
pub(crate) fn count(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for line in evidence.journal {
        let Event::Arrived {
            call,
            mishap: Some(mishap),
            ..
        } = &line.event
        else {
            continue;
        };
        let place = match call {
            Call::Token => "at the IdP's token endpoint",
            _ => "at the IdP",
        };
        let what = mishap.split('(').next().unwrap_or_default();
        verdict.add(&format!("{place}: {what}"), 1);
    }
}

/// Judges whether enough has happened in a run of so many operations, with so many kills if there were to be any.
pub(crate) fn judge(operations: usize, kills: Option<usize>, verdict: &mut Verdict) {
    if let Some(kills) = kills
        && kills * A_KILL_IN < operations
    {
        verdict.harm(
            "too few kills",
            &format!("{kills} in {operations} operations"),
        );
    }
    if operations < WHOLE_RUN {
        return;
    }
    for what in SEEN {
        let seen = |(line, count): (&String, &usize)| line.starts_with(what) && *count > 0;
        if !verdict.counts.iter().any(seen) {
            verdict.harm("a mishap that never occurred", what);
        }
    }
}
