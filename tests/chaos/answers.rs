//! Which answers Konnect may hear about its own clients, how soon, and how many creates must succeed: a bridge that
//! refuses everything leaves nothing behind, and is of no use.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;

use crate::evidence::Evidence;
use crate::journal::{Call, Event};
use crate::passed::Rpc;
use crate::plan::KonnectHop;
use crate::story::Sent;
use crate::verdict::Verdict;
use crate::world::{Drain, Kill, Who};

/// Microseconds. However bad things are, an answer comes within this.
const LONGEST: u64 = 9_500_000;
/// How long after a killed process listens again the bridge may need to be itself again.
const RECOVERY: u64 = 2_000_000;
/// How long those who waited for a token are told of the refusal that another one met.
const REFUSED: u64 = 1_000_000;
/// Fewer creates than this say nothing about all of them.
const FEW: usize = 20;

/// What may be answered beside 429 (the IdP's or the gateway's), 503 (nothing was done) and 504 (nobody knows).
fn allowed(what: &str) -> &'static [u16] {
    match what {
        "create" | "add" => &[201],
        "rotate" => &[200, 409],
        "remove" | "delete" => &[204],
        // What bears no mark is left in place, and Konnect told that it is gone; the request came twice.
        "trespass" => &[204, 404, 409],
        _ => &[200],
    }
}

/// Judges every answer.
pub(crate) fn judge(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    credentials(evidence, verdict);
    let (mut asked, mut made) = (0, 0);
    for ending in evidence.endings {
        for sent in &ending.sent {
            let what = format!(
                "{} {} {}: {}",
                ending.name,
                sent.what,
                sent.path,
                sent.heard()
            );
            let its_gateway_is_dead = || {
                let gateway = |who: Who| who == Who::Gateway(sent.gateway);
                is_dead(evidence, gateway, sent.from, sent.to)
            };
            let took = sent.to - sent.left.unwrap_or(sent.from);
            let longest = LONGEST + evidence.stall(sent.from, sent.to);
            match sent.status {
                Some(0) if its_gateway_is_dead() => {}
                Some(0) => verdict.harm("a gateway that lived took no request", &what),
                Some(429 | 503 | 504) => {}
                Some(502) if is_refused_by_mishap(evidence, sent) => {}
                Some(409) if is_repeated(evidence, &ending.name, sent) => {}
                Some(409) if sent.what == "create" && is_squatted(evidence, &ending.name) => {}
                Some(400) if sent.what == "add" && has_two_secrets(evidence, sent) => {}
                Some(status) if allowed(sent.what).contains(&status) => {}
                Some(_) => verdict.harm("an answer that may not be", &what),
                None if sent.hop != KonnectHop::Whole || its_gateway_is_dead() => {}
                // Konnect does not wait for what comes later than it may.
                None if (LONGEST..=longest).contains(&took) => {}
                None => verdict.harm("no answer from a gateway that lived", &what),
            }
            if sent.status.is_some() && took > longest {
                let what = format!("{what} after {} ms", took / 1_000);
                verdict.harm("an answer after more than 9.5 s", &what);
            }
            let undisturbed = || {
                let from = sent.from.saturating_sub(RECOVERY);
                !is_dead(evidence, |_| true, from, sent.to)
            };
            if sent.what == "create" && sent.hop == KonnectHop::Whole && undisturbed() {
                asked += 1;
                made += usize::from(sent.status == Some(201));
            }
        }
    }
    verdict.add("creates that nothing disturbed on its way", asked);
    if asked >= FEW && made * 2 < asked {
        let what = format!("{made} of {asked} that nothing disturbed on its way");
        verdict.harm("too few creates succeed", &what);
    }
}

/// Whether a creating request of a story has come to connectors twice.
fn is_repeated(evidence: &Evidence<'_>, name: &str, sent: &Sent) -> bool {
    let whose = match sent.what {
        "create" => name,
        "add" => client_id(sent),
        _ => return false,
    };
    let mut operations = HashSet::new();
    let mut of = evidence.passed.iter().filter(|passed| {
        passed.rpc != Rpc::Abort && passed.whose == whose && passed.through.is_some()
    });
    of.any(|passed| !operations.insert(passed.operation))
}

/// Whether somebody else has taken the id of a story's client.
fn is_squatted(evidence: &Evidence<'_>, name: &str) -> bool {
    evidence.journal.iter().any(|line| {
        matches!(&line.event, Event::Arrived { name: its, mishap: Some(mishap), .. }
            if its == name && mishap == "Squatted")
    })
}

/// Whether a client has had as many secrets as the IdP allows.
fn has_two_secrets(evidence: &Evidence<'_>, sent: &Sent) -> bool {
    evidence.of(client_id(sent)).any(|line| {
        let full = matches!(&line.event, Event::Committed { client: Some(client), .. }
            if client.secrets.len() == 2);
        full && line.at <= sent.to
    })
}

/// The client that a request names.
fn client_id(sent: &Sent) -> &str {
    sent.path.split('/').nth(1).unwrap_or_default()
}

/// Whether the IdP has refused a connector's good credential meanwhile, or just before: then nobody asks at once again.
fn is_refused_by_mishap(evidence: &Evidence<'_>, sent: &Sent) -> bool {
    evidence.journal.iter().any(|line| {
        let refused = matches!(&line.event, Event::Arrived { call: Call::Token, mishap: Some(mishap), .. }
            if mishap == "Refused");
        refused && (sent.from..=sent.to + REFUSED).contains(&(line.at + REFUSED))
    })
}

/// Whether such a process was dead meanwhile.
fn is_dead(evidence: &Evidence<'_>, which: impl Fn(Who) -> bool, from: u64, to: u64) -> bool {
    let mut kills = evidence.kills.iter();
    kills.any(|kill| {
        which(kill.who) && kill.again.is_none_or(|again| again >= from) && kill.from <= to
    })
}

/// Judges whether a connector came with a credential that had ended: a good one is refused by a mishap alone.
fn credentials(evidence: &Evidence<'_>, verdict: &mut Verdict) {
    for line in evidence.journal {
        if let Event::Answered {
            call: Call::Token, ..
        } = &line.event
        {
            verdict.harm("a connector showed an old credential", &line.by);
        }
    }
}

/// Judges how the processes ended.
pub(crate) fn ends(kills: &[Kill], drains: &[Drain], verdict: &mut Verdict) {
    for kill in kills {
        verdict.add(&format!("kills of {:?}", kill.who), 1);
        if kill.status.signal() != Some(9) {
            let what = format!("{:?}, {}", kill.who, kill.status);
            verdict.harm("a process had ended by itself", &what);
        }
    }
    for drain in drains {
        match drain.status {
            Some(status) if status.success() => {}
            Some(status) => {
                let what = format!("{:?}, {status}", drain.who);
                verdict.harm("a process that was to end failed", &what);
            }
            None => verdict.harm("a process did not end in time", &format!("{:?}", drain.who)),
        }
    }
}
