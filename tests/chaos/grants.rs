//! What a client may do is what its registered entities need, no less and no more; also when two are registered at once,
//! each through another replica.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::{Call, Client, Event, Line};
use crate::known::Known;
use crate::verdict::Verdict;

const REGISTRATION: &str = "dcr_registration:api:";

/// What is wrong with a client's grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A registration, or what it grants.
    Lost,
    /// It has what no registration needs.
    TooMuch,
}

/// Whether a client has what these need, given as entity and audience; stories ask for nothing else.
pub(crate) fn judge(
    client: &Client,
    registered: &BTreeMap<String, &'static str>,
) -> Result<(), Wrong> {
    let names = client.attributes.keys();
    let found: BTreeSet<_> = names.filter_map(|n| n.strip_prefix(REGISTRATION)).collect();
    let known: BTreeSet<_> = registered.keys().map(String::as_str).collect();
    let scopes: BTreeSet<_> = registered.values().map(|a| format!("{a}.read")).collect();
    let audiences = registered.values().map(|a| format!("https://{a}.example"));
    let audiences: BTreeSet<_> = audiences.collect();
    let has: (BTreeSet<_>, BTreeSet<_>) = (
        client.scopes.iter().cloned().collect(),
        client.audiences.iter().cloned().collect(),
    );
    if !known.is_subset(&found) || !scopes.is_subset(&has.0) || !audiences.is_subset(&has.1) {
        return Err(Wrong::Lost);
    }
    if found != known || has != (scopes, audiences) {
        return Err(Wrong::TooMuch);
    }
    Ok(())
}

/// Two entities that were registered at the same time.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    all: usize,
    through_two: usize,
    at_once: usize,
}

impl Pairs {
    /// Counts a client's, where it has had both of a pair; `lines` are the client's.
    pub(crate) fn count<'a>(&mut self, known: &Known, lines: impl Iterator<Item = &'a Line>) {
        let lines: Vec<_> = lines.collect();
        let (Some(one), Some(two)) = (made(&lines, "entity-one"), made(&lines, "entity-two"))
        else {
            return;
        };
        if known.registered.is_none() {
            return;
        }
        self.all += 1;
        if one.by != two.by {
            self.through_two += 1;
            // Whoever was the second looked before the first had changed anything, and may have undone it.
            let (first, second) = if one.at < two.at {
                (one, two)
            } else {
                (two, one)
            };
            let looked = |line: &&&Line| {
                let looks = matches!(
                    line.event,
                    Event::Arrived {
                        call: Call::Get,
                        ..
                    }
                );
                looks && line.by == second.by && line.at < second.at
            };
            let last = lines.iter().rfind(looked);
            self.at_once += usize::from(last.is_some_and(|look| look.at < first.at));
        }
    }

    pub(crate) fn tell(&self, verdict: &mut Verdict) {
        verdict.add("pairs registered at once", self.all);
        verdict.add(
            "pairs registered at once: through two replicas",
            self.through_two,
        );
        let at_once = "pairs registered at once: by two replicas that knew nothing of each other";
        verdict.add(at_once, self.at_once);
    }
}

/// When an entity was registered, and by whom.
fn made<'a>(lines: &[&'a Line], entity: &str) -> Option<&'a Line> {
    let name = format!("{REGISTRATION}{entity}");
    let has = |line: &&&Line| {
        matches!(&line.event, Event::Committed { client: Some(client), .. }
            if client.attributes.contains_key(&name))
    };
    lines.iter().find(has).copied()
}
