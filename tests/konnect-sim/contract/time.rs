//! How long answers took, over the whole run.

use super::trial::Trial;
use crate::verdict::{Basis, Verdict, broken, checks};

checks! { Trial, "time":
    "every call was answered in time", Basis::Demanded("the host of Kong's own example stops at 10 s"),
        "Answer within --timeout, if only with a failure: Konnect has given up by then.",
        t => answered(t);
    "no answer came late", Basis::Wise("what Konnect's own deadline is, is not published"),
        "Keep a tenth of the time for the way: give up on a slow identity provider earlier.",
        t => early(t);
}

fn answered(t: &Trial) -> Verdict {
    let unanswered = t.bridge.journal().map(crate::journal::Journal::unanswered);
    match unanswered.unwrap_or_default() {
        calls if calls.is_empty() => Ok(()),
        calls => broken(format!("no answer to {}", calls.join("; "))),
    }
}

fn early(t: &Trial) -> Verdict {
    let late = t.bridge.timeout().mul_f32(0.9);
    match t
        .bridge
        .journal()
        .and_then(crate::journal::Journal::slowest)
    {
        Some((took, asked)) if took > late => broken(format!("{asked} took {took:.1?}")),
        _ => Ok(()),
    }
}
