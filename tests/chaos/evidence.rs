//! What was seen from outside the bridge: the journal of the IdP, the times of the kills, what the line saw leave a
//! gateway, and what went by between gateways and connectors. By it alone an orphan is excused.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::history::Rotations;
use crate::journal::{Call, Event, Line};
use crate::known::Known;
use crate::line::Lost;
use crate::made::Made;
use crate::passed::{Passed, Rpc, Said};
use crate::replica::Hole;
use crate::stalls::{self, Stall};
use crate::story::{Ending, Sent};
use crate::undoing::Undoing;
use crate::world::{Drain, Kill, Who};

/// How soon a gateway is told that Konnect has gone: what it says within this may have been on its way (microseconds).
const TOLD: u64 = 100_000;

/// What was seen from outside.
pub(crate) struct Evidence<'a> {
    pub(crate) journal: &'a [Line],
    pub(crate) lost: &'a [Lost],
    pub(crate) kills: &'a [Kill],
    pub(crate) drains: &'a [Drain],
    pub(crate) passed: &'a [Passed],
    pub(crate) holes: &'a [Hole],
    pub(crate) stalls: &'a [Stall],
    pub(crate) endings: &'a [Ending],
}

impl Evidence<'_> {
    /// What happened to a client at the IdP.
    pub(crate) fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Line> {
        self.journal.iter().filter(move |line| match &line.event {
            Event::Arrived { client_id, .. }
            | Event::Committed { client_id, .. }
            | Event::Answered { client_id, .. } => client_id == id,
        })
    }

    /// What connectors were asked about an operation, and said.
    pub(crate) fn passed(&self, operation: Uuid, rpc: Rpc) -> impl Iterator<Item = &Passed> {
        let of = move |passed: &&Passed| passed.operation == operation && passed.rpc == rpc;
        self.passed.iter().filter(of)
    }

    /// The death of the process that was there at a time (microseconds since 1970).
    pub(crate) fn death(&self, who: Who, at: u64) -> Option<&Kill> {
        let of = |kill: &&Kill| kill.who == who && kill.to >= at;
        self.kills.iter().filter(of).min_by_key(|kill| kill.to)
    }

    /// How much longer what happened between two times may have taken than on a machine without other work.
    pub(crate) fn stall(&self, from: u64, to: u64) -> u64 {
        stalls::longest(self.stalls, from, to)
    }

    /// What left a gateway, unless it knew that nobody would hear it.
    fn lost(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter().filter(|lost| {
            lost.gone
                .is_none_or(|gone| lost.at <= gone + TOLD + self.stall(gone, lost.at))
        })
    }

    /// The open window through which an orphan came, or its story when there is none.
    pub(crate) fn excuse(&self, id: &str, name: &str) -> Result<String, String> {
        if let Some(lost) = self.lost().find(|lost| lost.client_id == id) {
            return Ok(format!("Konnect lost our 201 ({})", lost.why));
        }
        let operation = id.strip_prefix("dcr-").and_then(|id| id.parse().ok());
        let create = self
            .endings
            .iter()
            .find(|ending| ending.name == name)
            .and_then(|ending| ending.sent.iter().find(|sent| sent.what == "create"));
        // The one that is there: what was made may have been undone, and made once more.
        let made = self.of(id).filter(|line| is_commit(line, Call::Create));
        let made = made.last();
        let window = match (operation, create, made) {
            (Some(operation), Some(sent), Some(made)) => {
                self.undoing(operation, id, made, sent).window()
            }
            _ => Err("it was never asked for".to_owned()),
        };
        let why = |why| format!("{why}\n{}", self.story(id, name));
        window.map(str::to_owned).map_err(why)
    }

    fn undoing<'a>(
        &'a self,
        operation: Uuid,
        client_id: &'a str,
        line: &'a Line,
        sent: &'a Sent,
    ) -> Undoing<'a> {
        let made = Made {
            evidence: self,
            operation,
            client_id,
            line,
        };
        Undoing { made, sent }
    }

    /// Why a client of Konnect's has a secret that Konnect does not know.
    pub(crate) fn excuse_secret(
        &self,
        known: &Known,
        secret_id: &str,
        sent: &[Sent],
        rotations: &Rotations<'_>,
    ) -> Result<String, String> {
        let id = known.id.as_str();
        let lost = |lost: &&Lost| lost.secret_id.as_deref() == Some(secret_id);
        if let Some(lost) = self.lost().find(lost) {
            return Ok(format!("Konnect lost our answer ({})", lost.why));
        }
        let made = self.of(id).find_map(|line| match &line.event {
            Event::Committed {
                call,
                client: Some(client),
                ..
            } => {
                let secret = client.secrets.iter().find(|s| s.secret_id == secret_id)?;
                Some((line, *call, secret.label.as_deref()))
            }
            _ => None,
        });
        match made {
            Some((made, Call::Rotate, _)) if rotations.is_unheard_of(made) => {
                Ok("a rotation that Konnect did not hear of; another one heals it".to_owned())
            }
            Some((made, Call::Add, Some(label))) => {
                let operation: Uuid = label.parse().map_err(|_| "a strange label".to_owned())?;
                let born = born(operation);
                // The last one that was sent before.
                let add = sent.iter().filter(|sent| {
                    sent.what == "add" && sent.from <= born + ROUNDED && !sent.is_refused()
                });
                let Some(add) = add.max_by_key(|sent| sent.from) else {
                    return Err("an added secret that was never asked for".to_owned());
                };
                let window = self.undoing(operation, id, made, add).window();
                window.map(str::to_owned)
            }
            Some((_, call, _)) => Err(format!("made by {call:?}")),
            None => Err("made by nobody".to_owned()),
        }
    }

    /// All that is known of a client, for whoever looks for the cause.
    pub(crate) fn story(&self, id: &str, name: &str) -> String {
        let mut story = format!("{id} ({name})");
        let start = self.journal.first().map_or(0, |line| line.at);
        let seconds = |at: u64| {
            let micros = at.saturating_sub(start);
            format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
        };
        let mut lines: Vec<(u64, String)> = Vec::new();
        let mut operations: Vec<Uuid> = Vec::new();
        operations.extend(
            id.strip_prefix("dcr-")
                .and_then(|id| id.parse::<Uuid>().ok()),
        );
        for line in self.of(id) {
            let text = match &line.event {
                Event::Arrived { call, mishap, .. } => {
                    format!("{call:?} arrives, {}", mishap.as_deref().unwrap_or("-"))
                }
                Event::Committed { call, client, .. } => {
                    let secrets = client.iter().flat_map(|client| &client.secrets);
                    let labels =
                        secrets.filter_map(|secret| secret.label.as_deref()?.parse::<Uuid>().ok());
                    operations.extend(labels);
                    format!("{call:?} is done")
                }
                Event::Answered { call, status, .. } => format!("{call:?} is answered {status}"),
            };
            lines.push((line.at, format!("{}: {text}", line.by)));
        }
        let endings = self.endings.iter().filter(|ending| ending.name == name);
        for sent in endings.flat_map(|ending| &ending.sent) {
            let who = format!("Konnect: {} by gateway {}", sent.what, sent.gateway);
            lines.push((sent.from, format!("{who} begins, {:?}", sent.hop)));
            lines.push((sent.to, format!("{who} ends: {}", sent.heard())));
        }
        let ours = |passed: &&Passed| operations.contains(&passed.operation);
        for passed in self.passed.iter().filter(ours) {
            let Passed { rpc, by, heard, .. } = passed;
            let what = format!("connector-{by}: {rpc:?} {}", passed.operation);
            lines.push((passed.came, format!("{what} comes")));
            lines.extend(passed.through.map(|at| (at, format!("{what} is asked"))));
            lines.extend(passed.cut.map(|at| (at, format!("{what} is cut"))));
            if let Some((at, said)) = &passed.answer {
                lines.push((*at, format!("{what}: {said:?}, heard: {heard}")));
            }
        }
        let first = lines.iter().map(|(at, _)| *at).min().unwrap_or(0);
        let kills = self.kills.iter().filter(|kill| kill.to >= first);
        lines.extend(kills.map(|kill| (kill.from, format!("{:?} is killed", kill.who))));
        let drains = self.drains.iter().filter(|drain| drain.from >= first);
        lines.extend(drains.map(|drain| (drain.from, format!("{:?} is to end", drain.who))));
        for hole in self.holes.iter().filter(|hole| hole.to >= first) {
            let what = format!("connector-{} is a black hole", hole.connector);
            lines.push((hole.from, what));
            let what = format!("connector-{} is reached again", hole.connector);
            lines.push((hole.to, what));
        }
        lines.sort();
        for (at, text) in lines {
            let _ = write!(story, "\n    {} {text}", seconds(at));
        }
        story
    }

    /// How many operations a gateway had to ask about a second time before they were undone.
    pub(crate) fn undone_later(&self) -> usize {
        let accepted =
            |passed: &&Passed| matches!(passed.answer, Some((_, Said::Accepted))) && passed.heard;
        let undone = |first: &&Passed| {
            self.passed(first.operation, Rpc::Abort).any(|second| {
                let said = second.answer.as_ref().map(|(_, said)| said);
                second.came > first.came && matches!(said, Some(Said::Settled("ABORT_UNDONE")))
            })
        };
        self.passed.iter().filter(accepted).filter(undone).count()
    }
}

/// When an operation was born, by its id (microseconds since 1970).
pub(crate) fn born(operation: Uuid) -> u64 {
    let (seconds, nanos) = operation
        .get_timestamp()
        .map_or((0, 0), |time| time.to_unix());
    seconds * 1_000_000 + u64::from(nanos / 1_000)
}

/// What the time in an operation's id leaves out (microseconds).
pub(crate) const ROUNDED: u64 = 1_000;

pub(crate) fn is_commit(line: &Line, wanted: Call) -> bool {
    matches!(&line.event, Event::Committed { call, .. } if *call == wanted)
}

/// The number of the connector that a request came from.
pub(crate) fn connector(line: &Line) -> Option<usize> {
    line.by.strip_prefix("connector-")?.parse().ok()
}
