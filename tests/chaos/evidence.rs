//! What was seen from outside the bridge: the journal of the IdP, the times of the kills, what the line saw leave a
//! gateway, and the aborts that connectors accepted. By it alone an orphan is excused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use uuid::Uuid;

use crate::balancer::Accepted;
use crate::journal::{Call, Event, Line};
use crate::line::Lost;
use crate::story::{Ending, Sent};
use crate::world::{Kill, Who};

/// How long after its last look a connector may still have been about to look again: `settle_after`, and the time that
/// an undo may take (microseconds).
const SETTLING: u64 = 65_000_000;
/// How long after its call's end a gateway may still be at having it aborted (microseconds).
const ABORTING: u64 = 10_000_000;
/// How long clocks and signals may take to be seen (microseconds).
const BLINK: u64 = 100_000;

/// What was seen from outside.
pub(crate) struct Evidence<'a> {
    pub(crate) journal: &'a [Line],
    pub(crate) lost: &'a [Lost],
    pub(crate) kills: &'a [Kill],
    pub(crate) accepted: &'a [Accepted],
    pub(crate) endings: &'a [Ending],
}

impl Evidence<'_> {
    fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Line> {
        self.journal.iter().filter(move |line| match &line.event {
            Event::Arrived { client_id, .. }
            | Event::Committed { client_id, .. }
            | Event::Answered { client_id, .. } => client_id == id,
        })
    }

    /// The open window through which an orphan came, or its story when there is none.
    pub(crate) fn excuse(&self, id: &str, name: &str) -> Result<String, String> {
        if let Some(lost) = self.lost.iter().find(|lost| lost.client_id == id) {
            return Ok(format!("Konnect lost our 201 ({})", lost.why));
        }
        let mut answered = None;
        let mut knew = BTreeMap::new();
        for line in self.of(id) {
            match &line.event {
                Event::Answered {
                    call: Call::Create,
                    status: 201,
                    ..
                } => answered = Some(line.at),
                Event::Arrived { .. } => {
                    knew.extend(connector(line).map(|number| (number, line.at)));
                }
                Event::Answered { .. } | Event::Committed { .. } => {}
            }
        }
        let create = self
            .endings
            .iter()
            .find(|ending| ending.name == name)
            .and_then(|ending| ending.sent.iter().find(|sent| sent.what == "create"));
        let Some(create) = create else {
            return Err(format!("{id} was never asked for"));
        };
        // What the IdP answered only after the gateway's death, or never, is the connector's to undo.
        let had_it = |kill: &Kill| answered.is_some_and(|at| at <= kill.to + BLINK);
        let died = self.gateway_killed(&[create], 0);
        if died.into_iter().any(had_it) {
            return Ok("gateway killed between answer and socket".to_owned());
        }
        let operation = id.strip_prefix("dcr-").and_then(|id| id.parse().ok());
        if let Some(window) = self.all_who_knew_died(operation, knew, &[create]) {
            return Ok(window.to_owned());
        }
        let died = self.gateway_killed(&[create], ABORTING);
        if !self.is_accepted(operation) && died.into_iter().any(had_it) {
            return Ok("gateway killed before its abort was accepted".to_owned());
        }
        Err(self.story(id, name))
    }

    /// The kills of a gateway while it answered one of these, or so long afterwards (microseconds).
    fn gateway_killed(&self, sent: &[&Sent], afterwards: u64) -> Vec<&Kill> {
        let during = |kill: &Kill, sent: &Sent| {
            let soon = kill.to >= sent.from && kill.from <= sent.to + afterwards + BLINK;
            kill.who == Who::Gateway(sent.gateway) && soon
        };
        let kills = self.kills.iter();
        kills
            .filter(|kill| sent.iter().any(|sent| during(kill, sent)))
            .collect()
    }

    fn is_accepted(&self, operation: Option<Uuid>) -> bool {
        let is = |accepted: &Accepted| Some(accepted.operation) == operation;
        self.accepted.iter().any(is)
    }

    /// Whether everybody is dead who had to undo an operation: the connectors that worked on it or accepted its abort,
    /// soon after they did, and its gateway, unless a connector had taken it from it.
    fn all_who_knew_died(
        &self,
        operation: Option<Uuid>,
        mut knew: BTreeMap<usize, u64>,
        sent: &[&Sent],
    ) -> Option<&'static str> {
        let accepted = |a: &&Accepted| Some(a.operation) == operation;
        let accepted: Vec<_> = self.accepted.iter().filter(accepted).collect();
        for abort in &accepted {
            let at = knew.entry(abort.by).or_default();
            *at = abort.at.max(*at);
        }
        let died = |(number, at): (&usize, &u64)| {
            let who = Who::Connector(*number);
            let soon = |kill: &&Kill| kill.to + BLINK >= *at && kill.from <= at + SETTLING;
            self.kills.iter().filter(soon).any(|kill| kill.who == who)
        };
        let all_connectors = !knew.is_empty() && knew.iter().all(died);
        let gateway = !self.gateway_killed(sent, ABORTING).is_empty();
        match (all_connectors, accepted.is_empty(), gateway) {
            (true, false, _) => Some("connector killed with an undoing still to do"),
            (true, true, true) => Some("connector killed after the commit, and its gateway too"),
            _ => None,
        }
    }

    /// Why a client of Konnect's has a secret that Konnect does not know.
    pub(crate) fn excuse_secret(
        &self,
        id: &str,
        secret_id: &str,
        sent: &[Sent],
    ) -> Result<String, String> {
        let lost = |lost: &&Lost| lost.secret_id.as_deref() == Some(secret_id);
        if let Some(lost) = self.lost.iter().find(lost) {
            return Ok(format!("Konnect lost our answer ({})", lost.why));
        }
        let made_by = self.of(id).find_map(|line| match &line.event {
            Event::Committed {
                call,
                client: Some(client),
                ..
            } => {
                let secret = client.secrets.iter().find(|s| s.secret_id == secret_id)?;
                Some((line.at, *call, secret.label.as_deref()))
            }
            _ => None,
        });
        let Some((at, call, label)) = made_by else {
            return Err("made by nobody".to_owned());
        };
        if call == Call::Rotate {
            return Ok("a rotation that Konnect did not hear of; another one heals it".to_owned());
        }
        let mut knew = BTreeMap::new();
        for line in self.of(id).filter(|line| line.at <= at) {
            if let Event::Arrived {
                call: Call::Add, ..
            } = &line.event
            {
                knew = connector(line)
                    .map(|number| (number, line.at))
                    .into_iter()
                    .collect();
            }
        }
        let adds: Vec<_> = sent.iter().filter(|sent| sent.what == "add").collect();
        let operation = label.and_then(|label| label.parse().ok());
        let window = self.all_who_knew_died(operation, knew, &adds);
        // It was answered, and the gateway died with the answer.
        let died = self.gateway_killed(&adds, ABORTING);
        let with_it = !self.is_accepted(operation) && died.iter().any(|kill| at <= kill.to + BLINK);
        match window {
            Some(window) => Ok(window.to_owned()),
            None if with_it => Ok("gateway killed before its abort was accepted".to_owned()),
            None => Err(format!("{call:?}")),
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
        for line in self.of(id) {
            let text = match &line.event {
                Event::Arrived { call, mishap, .. } => {
                    format!("{call:?} arrives, {}", mishap.as_deref().unwrap_or("-"))
                }
                Event::Committed { call, .. } => format!("{call:?} is done"),
                Event::Answered { call, status, .. } => format!("{call:?} is answered {status}"),
            };
            lines.push((line.at, format!("{}: {text}", line.by)));
        }
        for sent in self
            .endings
            .iter()
            .filter(|e| e.name == name)
            .flat_map(|e| &e.sent)
        {
            let who = format!("Konnect: {} by gateway {}", sent.what, sent.gateway);
            lines.push((sent.from, format!("{who} begins")));
            lines.push((sent.to, format!("{who} ends: {}", sent.heard())));
        }
        let first = lines.iter().map(|(at, _)| *at).min().unwrap_or(0);
        let last = lines.iter().map(|(at, _)| *at).max().unwrap_or(0);
        for kill in self.kills {
            if kill.to >= first && kill.from <= last + SETTLING {
                lines.push((kill.from, format!("{:?} is killed", kill.who)));
            }
        }
        lines.sort();
        for (at, text) in lines {
            let _ = write!(story, "\n    {} {text}", seconds(at));
        }
        story
    }
}

/// The number of the connector that a request came from.
fn connector(line: &Line) -> Option<usize> {
    line.by.strip_prefix("connector-")?.parse().ok()
}
