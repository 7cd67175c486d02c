//! Which answers Konnect may hear about its own clients, how soon, and how many creates must succeed: a bridge that
//! refuses everything leaves nothing behind, and is of no use.

use std::os::unix::process::ExitStatusExt as _;

use crate::evidence::Evidence;
use crate::journal::{Call, Event};
use crate::plan::KonnectHop;
use crate::story::Sent;
use crate::verdict::Verdict;
use crate::world::{Drain, Kill, Who};

/// Microseconds. However bad things are, an answer comes within this.
const LONGEST: u64 = 9_500_000;
/// How long a gateway that was killed does not take requests: a pause, and its start.
const RESTART: u64 = 5_000_000;
/// How long after a kill the bridge may need to be itself again.
const RECOVERY: u64 = 3_000_000;
/// Fewer creates than this say nothing about all of them.
const FEW: usize = 20;

/// What may be answered beside 429 (the IdP's or the gateway's), 503 (nothing was done) and 504 (nobody knows).
fn allowed(what: &str) -> &'static [u16] {
    match what {
        // Somebody else's has this id, or the request came twice.
        "create" => &[201, 409],
        // At the IdP's limit; the request came twice.
        "add" => &[201, 400, 409],
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
            let killed = |before: u64| {
                let gateway = |who: Who| who == Who::Gateway(sent.gateway);
                is_killed(evidence, gateway, sent.from.saturating_sub(before), sent.to)
            };
            match sent.status {
                Some(0) if killed(RESTART) => {}
                Some(0) => verdict.harm("a gateway that lived took no request", &what),
                Some(429 | 503 | 504) => {}
                Some(502) if is_refused_by_mishap(evidence, sent) => {}
                Some(status) if allowed(sent.what).contains(&status) => {}
                Some(_) => verdict.harm("an answer that may not be", &what),
                None if sent.hop != KonnectHop::Whole || killed(0) => {}
                None => verdict.harm("no answer from a gateway that lived", &what),
            }
            let took = sent.to - sent.from;
            if sent.status.is_some() && took > LONGEST {
                let what = format!("{what} after {} ms", took / 1_000);
                verdict.harm("an answer after more than 9.5 s", &what);
            }
            let undisturbed = || {
                let from = sent.from.saturating_sub(RECOVERY);
                !is_killed(evidence, |_| true, from, sent.to)
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

/// Whether the IdP has refused a connector's good credential meanwhile.
fn is_refused_by_mishap(evidence: &Evidence<'_>, sent: &Sent) -> bool {
    evidence.journal.iter().any(|line| {
        let refused = matches!(&line.event, Event::Arrived { call: Call::Token, mishap: Some(mishap), .. }
            if mishap == "Refused");
        refused && (sent.from..=sent.to).contains(&line.at)
    })
}

fn is_killed(evidence: &Evidence<'_>, which: impl Fn(Who) -> bool, from: u64, to: u64) -> bool {
    let mut kills = evidence.kills.iter();
    kills.any(|kill| which(kill.who) && kill.to >= from && kill.from <= to)
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
        if !drain.status.success() {
            let what = format!("{:?}, {}", drain.who, drain.status);
            verdict.harm("a process that was to end failed", &what);
        }
    }
}
