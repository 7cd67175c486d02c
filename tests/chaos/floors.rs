//! What must have happened, or a run proves nothing: every kind of mishap, change and kill, and
//! that Konnect gets what it asks for in spite of them.

use crate::evidence::Evidence;
use crate::journal::{Call, Event};
use crate::verdict::Verdict;
use crate::world::Who;

/// A run of so many operations meets everything.
const WHOLE_RUN: usize = 3_000;
/// One kill in so many operations.
const A_KILL_IN: usize = 500;
/// What a table's lines begin with, and how many there are at least in all of those: in a whole run, and as much more in a
/// longer one. All that is not so rare that a run may do without.
const SEEN: [(&str, usize); 46] = [
    ("create 201", 300),
    ("rotate 200", 60),
    ("add 201", 50),
    ("remove 204", 2),
    ("delete 204", 80),
    ("update_application 200", 30),
    ("add_registration 200", 100),
    ("remove_registration 200", 12),
    ("list 200", 15),
    ("trespass 404", 30),
    ("clients alive as delivered", 150),
    ("secrets alive as delivered", 150),
    ("clients made for nobody, and undone", 30),
    ("lost rotations healed by another", 4),
    ("pairs registered at once: through two replicas", 1),
    (
        "pairs registered at once: by two replicas that knew nothing of each other",
        1,
    ),
    ("between Konnect and a gateway: Konnect leaves", 1),
    ("between Konnect and a gateway: half a request", 1),
    ("between Konnect and a gateway: lost", 1),
    ("between Konnect and a gateway: half an answer", 1),
    ("between Konnect and a gateway: answer lost", 1),
    ("between Konnect and a gateway: reset", 1),
    ("between Konnect and a gateway: sent twice", 1),
    (
        "between gateway and connector: cut before it got through",
        1,
    ),
    (
        "between gateway and connector: reset before it got through",
        1,
    ),
    ("between gateway and connector: cut when the answer came", 1),
    ("between gateway and connector: lost", 1),
    ("between gateway and connector: answer lost", 1),
    (
        "between gateway and connector: sent twice to one replica",
        1,
    ),
    (
        "between gateway and connector: sent twice, to both replicas",
        1,
    ),
    ("between gateway and connector: stuck in a black hole", 1),
    ("at the IdP: Slow", 1),
    ("at the IdP: CutThenCommit", 1),
    ("at the IdP: Hang", 1),
    ("at the IdP: CutBefore", 1),
    ("at the IdP: CutAfter", 1),
    ("at the IdP: HalfAnAnswer", 1),
    ("at the IdP: Throttled", 1),
    ("at the IdP: FailedAfter", 1),
    ("at the IdP: UnavailableBefore", 1),
    ("at the IdP's token endpoint: ", 1),
    ("replaced: certificates", 1),
    ("replaced: CAs", 1),
    ("replaced: connectors' credentials", 1),
    ("replaced: the key that Konnect uses", 1),
    ("old probes removed", 1),
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
    let killed = Who::ALL.map(|who| (format!("kills of {who:?}"), 1));
    let killed = killed.into_iter().filter(|_| kills.is_some());
    let seen = SEEN.map(|(what, least)| (what.to_owned(), least * operations / WHOLE_RUN));
    for (what, least) in seen.into_iter().chain(killed) {
        let lines = verdict.counts.iter();
        let seen = lines.filter(|(line, _)| line.starts_with(&what));
        let seen: usize = seen.map(|(_, count)| count).sum();
        if seen < least {
            let what = format!("{what}: {seen} and not {least}");
            verdict.harm("what must happen happened too seldom", &what);
        }
    }
}
