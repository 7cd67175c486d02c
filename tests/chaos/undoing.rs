//! Who had to undo an operation, and what became of each of them.
//!
//! A gateway sees to it until it has handed the answer over or a connector has accepted its abort, and then asks once
//! more when all is settled. The connector that made the client or secret sees to it until it has given it away, one
//! that accepted an abort until it has looked again. What was made may be left behind only when every one of them was
//! killed while it still had to do something.

use crate::evidence::is_commit;
use crate::holder::Holder;
use crate::journal::Call;
use crate::made::Made;
use crate::passed::{Passed, Rpc, Said};
use crate::plan::KonnectHop;
use crate::replica::Hole;
use crate::story::Sent;
use crate::world::Who;

/// All times are microseconds. How long a message may be under way between two processes of this machine.
const BLINK: u64 = 10_000;
/// How long a connector's answer may have left it and not gone by, on a machine with other work.
const UNDER_WAY: u64 = 250_000;
/// Between two tries of a gateway to have an operation aborted: the longest try, and a pause.
const TRY: u64 = 10_000_000;
/// The gateway's longest answer.
const ANSWER: u64 = 9_000_000;
/// When a gateway asks again about what was accepted.
const ASKED_AGAIN: u64 = 35_000_000;

/// What was made, and the request that asked for it.
pub(crate) struct Undoing<'a> {
    pub(crate) made: Made<'a>,
    pub(crate) sent: &'a Sent,
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
    /// It has asked twice, and was told both times that a connector sees to it: each time by another process.
    AskedTwice,
}

impl<'a> Undoing<'a> {
    /// The open window, or why there is none.
    pub(crate) fn window(&self) -> Result<&'static str, String> {
        for abort in self.aborts() {
            match &abort.answer {
                Some((at, Said::Settled("ABORT_UNDONE"))) if self.was_undone() => {
                    return self.made_once_more(abort, *at);
                }
                Some((_, Said::Settled(said))) => {
                    return Err(format!("connector-{} had said {said}", abort.by));
                }
                _ => {}
            }
        }
        let gateway = self.gateway()?;
        let holders = self.holders();
        for holder in &holders {
            holder.died_holding(self.made)?;
        }
        let accepted = holders.iter().any(|holder| holder.accepted.is_some());
        Ok(match gateway {
            Gateway::Answering if holders.is_empty() && self.given().any(|made| made.heard) => {
                "gateway killed between answer and socket"
            }
            Gateway::Answering if holders.is_empty() => {
                "gateway killed before it heard the connector's answer"
            }
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

    /// The window of what the network has sent to two replicas: one of them had it undone at a time, and did not live to
    /// look once more after the other had made it too.
    fn made_once_more(&self, abort: &Passed, at: u64) -> Result<&'static str, String> {
        let who = Who::Connector(abort.by);
        let looker = Holder {
            number: abort.by,
            death: self.made.evidence.death(who, abort.came),
            own: false,
            accepted: Some((0, at)),
        };
        let mut drains = self.made.evidence.drains.iter();
        let due = looker.due(self.made);
        if !drains.any(|drain| drain.who == who && (at..=due).contains(&drain.from)) {
            looker.died_holding(self.made)?;
        }
        for holder in self.holders() {
            holder.died_holding(self.made)?;
        }
        Ok("sent to both replicas, and the one that undid it ended before it looked once more")
    }

    fn aborts(&self) -> impl Iterator<Item = &'a Passed> {
        self.made.evidence.passed(self.made.operation, Rpc::Abort)
    }

    /// How the gateway came not to see to it; why it should have.
    fn gateway(&self) -> Result<Gateway, String> {
        let who = Who::Gateway(self.sent.gateway);
        let born = self.made.born();
        let death = self.made.evidence.death(who, born);
        let killed_by = |end: u64| death.is_some_and(|kill| kill.from <= end);
        let accepted =
            |abort: &&Passed| abort.heard && matches!(abort.answer, Some((_, Said::Accepted)));
        let mut accepted = self.aborts().filter(accepted);
        let tried = |abort: &Passed| abort.through.unwrap_or(abort.came);
        let last = self.aborts().map(tried).max().unwrap_or(0);
        // The answer to what arrived a second time goes nowhere, and nobody knows when.
        let answered = match self.sent.hop {
            KonnectHop::Twice(_) => self.sent.to.max(born + ANSWER),
            _ => self.sent.to,
        };
        let Some(first) = accepted.next() else {
            let blink = BLINK + self.made.evidence.stall(answered, answered);
            return if last == 0 && killed_by(answered + blink) {
                Ok(Gateway::Answering)
            } else if killed_by(self.tried_until(answered.max(last))) {
                Ok(Gateway::Aborting)
            } else {
                Err(format!("{who:?} lived and had no abort accepted"))
            };
        };
        if let Some(second) = accepted.next() {
            return if self.holder(first) == self.holder(second) {
                Err(format!("connector-{} lived to be asked again", second.by))
            } else {
                Ok(Gateway::AskedTwice)
            };
        }
        let at = first.answer.as_ref().map_or(first.came, |(at, _)| *at);
        let again = at + ASKED_AGAIN;
        let drained = self
            .made
            .evidence
            .drains
            .iter()
            .any(|drain| drain.who == who && drain.from <= again);
        if killed_by(self.tried_until(again.max(last))) {
            Ok(Gateway::BeforeAskingAgain)
        } else if drained {
            Ok(Gateway::Drained)
        } else {
            Err(format!("{who:?} lived and did not ask again"))
        }
    }

    /// The process of a connector that was asked: its number, and when it died.
    fn holder(&self, asked: &Passed) -> (usize, Option<u64>) {
        let death = self
            .made
            .evidence
            .death(Who::Connector(asked.by), asked.came);
        (asked.by, death.map(|kill| kill.to))
    }

    /// Until when a gateway may have tried in vain since then: what got stuck in a black hole is tried again after it.
    fn tried_until(&self, since: u64) -> u64 {
        let holes = self.made.evidence.holes.iter();
        let met = |hole: &&Hole| {
            let stuck = |abort: &Passed| {
                abort.by == hole.connector && (hole.from..=hole.to).contains(&abort.came)
            };
            self.aborts().any(stuck)
        };
        let last = holes.filter(met).map(|hole| hole.to).max();
        since.max(last.unwrap_or(0)) + TRY
    }

    /// The processes of connectors that had something to undo.
    fn holders(&self) -> Vec<Holder<'a>> {
        let mut holders: Vec<Holder<'a>> = Vec::new();
        let mut know = |number: usize, at: u64, accepted: Option<(u64, u64)>| {
            let death = self.made.evidence.death(Who::Connector(number), at);
            let same = |holder: &&mut Holder<'_>| {
                holder.number == number
                    && holder.death.map(|kill| kill.to) == death.map(|kill| kill.to)
            };
            match holders.iter_mut().find(same) {
                Some(holder) => {
                    holder.accepted = holder.accepted.or(accepted);
                }
                None => holders.push(Holder {
                    number,
                    death,
                    own: accepted.is_none(),
                    accepted,
                }),
            }
        };
        if let Some(number) = self.made.by()
            && !self.is_taken()
        {
            let arrived = self.made.arrived();
            let at = arrived.map_or(self.made.line.at, |(at, _)| at);
            know(number, at, None);
        }
        for abort in self.aborts() {
            if let (Some(asked), Some((at, Said::Accepted))) = (abort.through, &abort.answer) {
                know(abort.by, asked, Some((asked, *at)));
            }
        }
        holders
    }

    /// Whether it was made before, and undone: what the network sends to two replicas is known to neither of the other.
    fn was_undone(&self) -> bool {
        let mut lines = self.made.evidence.of(self.made.client_id);
        let is_client = self.made.is_client();
        is_client && lines.any(|line| is_commit(line, Call::Delete) && line.at < self.made.line.at)
    }

    /// The calls that asked connectors for it.
    fn asked(&self) -> impl Iterator<Item = &'a Passed> {
        let rpc = if self.made.is_client() {
            Rpc::Create
        } else {
            Rpc::Add
        };
        self.made.evidence.passed(self.made.operation, rpc)
    }

    /// The answers by which a connector gave it away.
    fn given(&self) -> impl Iterator<Item = &'a Passed> {
        let given = |passed: &&Passed| matches!(passed.answer, Some((_, Said::Made)));
        self.asked().filter(given)
    }

    /// Whether the connector that made it has given it away.
    fn is_taken(&self) -> bool {
        // It had the IdP's answer while the line still stood, and may have given it away just before that was cut.
        let is_under_way = |at: u64| {
            let mut cuts = self.asked().filter_map(|passed| passed.cut);
            cuts.any(|cut| {
                let stall = self.made.evidence.stall(at.min(cut), at.max(cut));
                at <= cut + BLINK + stall && cut <= at + UNDER_WAY + stall
            })
        };
        self.given().next().is_some() || self.made.answered().is_some_and(is_under_way)
    }
}
