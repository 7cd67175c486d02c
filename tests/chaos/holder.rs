//! A process of a connector that had something to undo, and until when it may not have been done.

use crate::evidence::ROUNDED;
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
/// How long the IdP takes to live again, and for what it does late.
const RESTART: u64 = 2_000_000;
const LATE: u64 = 20_000_000;

/// One process.
pub(crate) struct Holder<'a> {
    pub(crate) number: usize,
    pub(crate) death: Option<&'a Kill>,
    /// When it first knew of the operation.
    pub(crate) knew: u64,
    /// Whether it had it made and did not give it away.
    pub(crate) own: bool,
    /// When it last said that it sees to it.
    pub(crate) accepted: Option<u64>,
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
    fn due(&self, made: Made<'_>) -> u64 {
        let mut due = 0;
        if self.own {
            due = match made.arrived() {
                // It has found nothing, and looks again.
                Some((at, Some(cut))) if cut.starts_with("CutThenCommit") => at + SETTLE_AFTER,
                Some((_, Some("Hang"))) => made.born() + PATIENCE,
                _ => made.answered().unwrap_or(made.line.at),
            };
        }
        if let Some(accepted) = self.accepted {
            let is_found_at_once = made.line.at + ROUNDED < self.knew;
            due = due.max(if is_found_at_once {
                accepted
            } else {
                made.line.at.max(accepted + SETTLE_AFTER)
            });
        }
        self.delayed(due + SOON, made)
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
        let kills = made.evidence.kills.iter();
        let restarts = kills.filter(|kill| kill.who == Who::Idp);
        let restarts = restarts.map(|kill| (kill.from, kill.to + RESTART));
        let meanwhile = |(from, _): &(u64, u64)| *from >= made.line.at;
        let mut troubles: Vec<_> = looks.chain(restarts).filter(meanwhile).collect();
        troubles.sort_unstable();
        let mut pause = FIRST_PAUSE;
        for (from, to) in troubles {
            if from <= due {
                due = due.max(to + pause + SOON);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        due
    }
}
