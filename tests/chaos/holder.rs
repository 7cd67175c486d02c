//! A process of a connector that had something to undo, and until when it may not have been done.

use crate::journal::{Call, Event};
use crate::made::Made;
use crate::world::{Kill, Who};

/// All times are microseconds. What a machine with other work may take for what is done at once.
const SOON: u64 = 3_000_000;
/// When a connector looks again.
const SETTLE_AFTER: u64 = 30_000_000;
/// How long a connector waits for the answer to a change, from the operation's beginning.
const PATIENCE: u64 = 39_000_000;
/// Between the first two tries to undo it; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: u64 = 1_000_000;
const LONGEST_PAUSE: u64 = 60_000_000;
/// How long the IdP takes for what it does late, and for an access token.
const LATE: u64 = 20_000_000;
const LATE_TOKEN: u64 = 8_000_000;

/// One process.
pub(crate) struct Holder<'a> {
    pub(crate) number: usize,
    pub(crate) death: Option<&'a Kill>,
    /// Whether it had it made and did not give it away.
    pub(crate) own: bool,
    /// When it was asked to see to it and when it said that it does, the first time: asked again, it only says so again.
    pub(crate) accepted: Option<(u64, u64)>,
}

impl Holder<'_> {
    /// Whether it was killed while it still had to undo what was made; why it should have been done.
    pub(crate) fn died_holding(&self, made: Made<'_>) -> Result<(), String> {
        let who = format!("connector-{}", self.number);
        match self.death {
            Some(kill) if kill.from <= self.due(made) => Ok(()),
            Some(_) => Err(format!("{who} was killed after it should have undone it")),
            None => Err(format!("{who} lived and did not undo it")),
        }
    }

    /// When it must be done.
    pub(crate) fn due(&self, made: Made<'_>) -> u64 {
        let mut due = 0;
        if self.own {
            due = match made.arrived() {
                // It has found nothing, and looks again.
                Some((at, Some(cut))) if cut.starts_with("CutThenCommit") => at + SETTLE_AFTER,
                Some((_, Some("Hang"))) => made.born() + PATIENCE,
                _ => made.answered().unwrap_or(made.line.at),
            };
        }
        if let Some((asked, accepted)) = self.accepted {
            let is_found_at_once = made.line.at < asked;
            due = due.max(if is_found_at_once {
                accepted
            } else {
                made.line.at.max(accepted + SETTLE_AFTER)
            });
        }
        let stall = made.evidence.stall(due, due + SOON);
        self.delayed(due + SOON + stall, made)
    }

    /// What goes wrong at the IdP meanwhile has it tried again.
    fn delayed(&self, mut due: u64, made: Made<'_>) -> u64 {
        let by = format!("connector-{}", self.number);
        let lines = made.evidence.of(made.client_id);
        let looks = lines.filter_map(|line| match &line.event {
            Event::Arrived {
                call: Call::Create | Call::Add,
                ..
            } => None,
            Event::Arrived {
                call,
                mishap: Some(mishap),
                ..
            } if line.by == by => {
                let removes = matches!(call, Call::Delete | Call::Remove);
                let is_late = removes && mishap.starts_with("Slow");
                Some((line.at, line.at + if is_late { LATE } else { 0 }))
            }
            _ => None,
        });
        let tokens = made.evidence.of(&by).filter_map(|line| match &line.event {
            Event::Arrived {
                call: Call::Token,
                mishap: Some(mishap),
                ..
            } => {
                let is_late = mishap.starts_with("Late");
                Some((line.at, line.at + if is_late { LATE_TOKEN } else { 0 }))
            }
            _ => None,
        });
        let kills = made.evidence.kills.iter();
        let restarts = kills.filter(|kill| kill.who == Who::Idp);
        let restarts = restarts.map(|kill| (kill.from, kill.again.unwrap_or(kill.to)));
        let meanwhile = |(_, to): &(u64, u64)| *to >= made.line.at;
        let troubles = looks.chain(tokens).chain(restarts);
        let mut troubles: Vec<_> = troubles.filter(meanwhile).collect();
        troubles.sort_unstable();
        let mut pause = FIRST_PAUSE;
        for (from, to) in troubles {
            if from <= due {
                due = due.max(to + pause + SOON + made.evidence.stall(from, to));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        due
    }
}
