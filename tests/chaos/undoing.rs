//! Who had to undo an operation, and what became of each of them.
//!
//! A gateway sees to it until it has handed the answer over or a connector has accepted its abort, and then asks once
//! more when all is settled. The connector that made the client or secret sees to it until it has given it away, one
//! that accepted an abort until it has looked again. What was made may be left behind only when every one of them was
//! killed while it still had to do something.

use uuid::Uuid;

use crate::evidence::{Evidence, ROUNDED, born, connector};
use crate::journal::{Call, Event, Line};
use crate::passed::{Passed, Rpc, Said};
use crate::plan::KonnectHop;
use crate::story::Sent;
use crate::world::{Kill, Who};

/// All times are microseconds. What a machine with other work may take for what is done at once.
const SOON: u64 = 3_000_000;
/// How long a message may be under way between two processes of this machine.
const BLINK: u64 = 10_000;
/// How long a connector's answer may have left it and not gone by, when its gateway is killed.
const UNDER_WAY: u64 = 50_000;
/// Between two tries of a gateway to have an operation aborted: the longest try, and a pause.
const TRY: u64 = 10_000_000;
/// The gateway's longest answer.
const ANSWER: u64 = 9_000_000;
/// When a connector looks again.
const SETTLE_AFTER: u64 = 30_000_000;
/// When a gateway asks again.
const ASKED_AGAIN: u64 = SETTLE_AFTER + 5_000_000;
/// How long a connector waits for the answer to a change.
const PATIENCE: u64 = 39_000_000;
/// How long the IdP takes to live again, and for what it does late.
const RESTART: u64 = 2_000_000;
const LATE: u64 = 20_000_000;

/// One operation, what it made, and who knew of it.
pub(crate) struct Undoing<'a> {
    evidence: &'a Evidence<'a>,
    operation: Uuid,
    client_id: &'a str,
    /// The line that says that it was made.
    made: &'a Line,
    sent: &'a Sent,
}

/// How a gateway came not to see to it.
enum Gateway {
    /// Killed while it answered.
    Answering,
    /// Killed while it tried to have it aborted.
    Aborting,
    /// Killed before it asked again.
    BeforeAskingAgain,
    /// Asked to end before it asked again.
    Drained,
    /// It has asked twice, and was told both times that a connector sees to it.
    AskedTwice,
}

/// A process of a connector that had something to undo.
struct Holder<'a> {
    number: usize,
    death: Option<&'a Kill>,
    /// When it first knew of it.
    knew: u64,
    /// Whether it made it and did not give it away.
    own: bool,
    /// When it last said that it sees to it.
    accepted: Option<u64>,
}

impl<'a> Undoing<'a> {
    pub(crate) fn new(
        evidence: &'a Evidence<'a>,
        operation: Uuid,
        client_id: &'a str,
        made: &'a Line,
        sent: &'a Sent,
    ) -> Self {
        Self {
            evidence,
            operation,
            client_id,
            made,
            sent,
        }
    }

    /// The open window, or why there is none.
    pub(crate) fn window(&self) -> Result<&'static str, String> {
        for abort in self.aborts() {
            if let Some((_, Said::Settled(said))) = abort.answer {
                return Err(format!("connector-{} had said {said}", abort.by));
            }
        }
        let gateway = self.gateway()?;
        let holders = self.holders();
        for holder in &holders {
            self.died_holding(holder)?;
        }
        let accepted = holders.iter().any(|holder| holder.accepted.is_some());
        Ok(match gateway {
            Gateway::Answering if holders.is_empty() => "gateway killed between answer and socket",
            Gateway::Aborting if holders.is_empty() => {
                "gateway killed before its abort was accepted"
            }
            Gateway::Answering | Gateway::Aborting if !accepted => {
                "connector killed after the commit, and its gateway too"
            }
            Gateway::Answering | Gateway::Aborting | Gateway::BeforeAskingAgain => {
                "connector killed with an undoing still to do, and the gateway before it asked again"
            }
            Gateway::Drained => {
                "connector killed with an undoing still to do, and the gateway drained before it asked again"
            }
            Gateway::AskedTwice => "connectors killed with an undoing still to do, twice",
        })
    }

    fn aborts(&self) -> impl Iterator<Item = &'a Passed> {
        self.evidence.passed(self.operation, Rpc::Abort)
    }

    /// How the gateway came not to see to it; why it should have.
    fn gateway(&self) -> Result<Gateway, String> {
        let who = Who::Gateway(self.sent.gateway);
        let born = born(self.operation);
        let death = self.evidence.death(who, born);
        let killed_by = |end: u64| death.is_some_and(|kill| kill.from <= end);
        let accepted =
            |abort: &&Passed| abort.heard && matches!(abort.answer, Some((_, Said::Accepted)));
        let mut accepted = self.aborts().filter(accepted);
        let last = self.aborts().map(|abort| abort.from).max().unwrap_or(0);
        // The answer to what arrived a second time goes nowhere, and nobody knows when.
        let answered = match self.sent.hop {
            KonnectHop::Twice(_) => self.sent.to.max(born + ANSWER),
            _ => self.sent.to,
        };
        let Some(first) = accepted.next() else {
            return if last == 0 && killed_by(answered + BLINK) {
                Ok(Gateway::Answering)
            } else if killed_by(answered.max(last) + TRY) {
                Ok(Gateway::Aborting)
            } else {
                Err(format!("{who:?} lived and had no abort accepted"))
            };
        };
        if accepted.next().is_some() {
            return Ok(Gateway::AskedTwice);
        }
        let at = first.answer.as_ref().map_or(first.from, |(at, _)| *at);
        let again = at + ASKED_AGAIN;
        let drained = self
            .evidence
            .drains
            .iter()
            .any(|drain| drain.who == who && drain.from <= again);
        if killed_by(again.max(last) + TRY) {
            Ok(Gateway::BeforeAskingAgain)
        } else if drained {
            Ok(Gateway::Drained)
        } else {
            Err(format!("{who:?} lived and did not ask again"))
        }
    }

    /// The processes of connectors that had something to undo.
    fn holders(&self) -> Vec<Holder<'a>> {
        let mut holders: Vec<Holder<'a>> = Vec::new();
        let mut know = |number: usize, at: u64, own: bool, accepted: Option<u64>| {
            let death = self.evidence.death(Who::Connector(number), at);
            let same = |holder: &&mut Holder<'_>| {
                holder.number == number
                    && holder.death.map(|kill| kill.to) == death.map(|kill| kill.to)
            };
            match holders.iter_mut().find(same) {
                Some(holder) => {
                    holder.knew = holder.knew.min(at);
                    holder.own |= own;
                    holder.accepted = holder.accepted.max(accepted);
                }
                None => holders.push(Holder {
                    number,
                    death,
                    knew: at,
                    own,
                    accepted,
                }),
            }
        };
        if let Some(number) = connector(self.made) {
            know(
                number,
                self.arrived().map_or(self.made.at, |line| line.at),
                !self.is_taken(),
                None,
            );
        }
        for abort in self.aborts() {
            let accepted = match abort.answer {
                Some((at, Said::Accepted)) => Some(at),
                _ => None,
            };
            know(abort.by, abort.from, false, accepted);
        }
        holders.retain(|holder| holder.own || holder.accepted.is_some());
        holders
    }

    /// Whether the connector that made it has given it away.
    fn is_taken(&self) -> bool {
        let rpc = if self.is_create() {
            Rpc::Create
        } else {
            Rpc::Add
        };
        let made = |passed: &Passed| matches!(passed.answer, Some((_, Said::Made)));
        if self.evidence.passed(self.operation, rpc).any(made) {
            return true;
        }
        // It had the IdP's answer, and the gateway was killed as it gave it away.
        let death = self
            .evidence
            .death(Who::Gateway(self.sent.gateway), born(self.operation));
        let answered = self.answered();
        answered
            .zip(death)
            .is_some_and(|(at, kill)| kill.from <= at + UNDER_WAY && at <= kill.to + BLINK)
    }

    fn is_create(&self) -> bool {
        matches!(
            &self.made.event,
            Event::Committed {
                call: Call::Create,
                ..
            }
        )
    }

    /// The making call's coming to the IdP.
    fn arrived(&self) -> Option<&'a Line> {
        let born = born(self.operation);
        let mut lines = self.evidence.journal.iter().filter(|line| {
            let making = match &line.event {
                Event::Arrived {
                    call, client_id, ..
                } => client_id == self.client_id && matches!(call, Call::Create | Call::Add),
                _ => false,
            };
            making && line.by == self.made.by && (born..=self.made.at).contains(&line.at)
        });
        lines.next_back()
    }

    /// When the IdP said to the connector that it was made.
    fn answered(&self) -> Option<u64> {
        let answered = |line: &&Line| {
            let status = match &line.event {
                Event::Answered {
                    call: Call::Create | Call::Add,
                    client_id,
                    status,
                } if client_id == self.client_id => *status,
                _ => return false,
            };
            status == 201 && line.by == self.made.by && line.at >= self.made.at
        };
        self.evidence
            .journal
            .iter()
            .find(answered)
            .map(|line| line.at)
    }

    /// Whether a connector was killed while it still had to undo it; why it should have been done.
    fn died_holding(&self, holder: &Holder<'_>) -> Result<(), String> {
        let due = self.due(holder);
        match holder.death {
            Some(kill) if kill.from <= due => Ok(()),
            Some(_) => Err(format!(
                "connector-{} was killed after it should have undone it",
                holder.number
            )),
            None => Err(format!(
                "connector-{} lived and did not undo it",
                holder.number
            )),
        }
    }

    /// When a connector must be done.
    fn due(&self, holder: &Holder<'_>) -> u64 {
        let made = self.made.at;
        let mut due = 0;
        if holder.own {
            let mishap = self.arrived().and_then(|line| match &line.event {
                Event::Arrived { mishap, .. } => mishap.as_deref(),
                _ => None,
            });
            due = match (mishap, self.arrived()) {
                // It has found nothing, and looks again.
                (Some(cut), Some(arrived)) if cut.starts_with("CutThenCommit") => {
                    arrived.at + SETTLE_AFTER
                }
                (Some("Hang"), _) => born(self.operation) + PATIENCE,
                _ => self.answered().unwrap_or(made),
            };
        }
        if let Some(accepted) = holder.accepted {
            let found = made + ROUNDED < holder.knew;
            let look = if found {
                accepted
            } else {
                made.max(accepted + SETTLE_AFTER)
            };
            due = due.max(look);
        }
        self.delayed(due + SOON, holder.number)
    }

    /// What goes wrong at the IdP while it is undone has it tried again, after pauses of twice the length.
    fn delayed(&self, mut due: u64, number: usize) -> u64 {
        let by = format!("connector-{number}");
        let looks = self
            .evidence
            .of(self.client_id)
            .filter_map(|line| match &line.event {
                Event::Arrived {
                    call,
                    mishap: Some(mishap),
                    ..
                } if line.by == by => {
                    let late =
                        matches!(call, Call::Delete | Call::Remove) && mishap.starts_with("Slow");
                    let making = matches!(call, Call::Create | Call::Add);
                    let end = if late { line.at + LATE } else { line.at };
                    (!making).then_some((line.at, end))
                }
                _ => None,
            });
        let restarts = self
            .evidence
            .kills
            .iter()
            .filter(|kill| kill.who == Who::Idp);
        let restarts = restarts.map(|kill| (kill.from, kill.to + RESTART));
        let mut troubles: Vec<_> = looks
            .chain(restarts)
            .filter(|(at, _)| *at >= self.made.at)
            .collect();
        troubles.sort_unstable();
        let mut pause = 1_000_000;
        for (at, end) in troubles {
            if at <= due {
                due = due.max(end + pause + SOON);
                pause = (pause * 2).min(60_000_000);
            }
        }
        due
    }
}
