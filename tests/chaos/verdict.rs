//! What was left behind, and whose doing it was: the IdP's table against what Konnect heard.
//!
//! Nothing of the bridge is asked. An orphan is excused only by evidence from outside: the journal of the IdP, the
//! times of the kills, and what the line saw leave a gateway.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use crate::foreign::STRANGER;
use crate::journal::{Call, Client, Event, Line};
use crate::line::Lost;
use crate::story::{Ending, Known, Life, Sent};
use crate::world::{Kill, Who};

/// How long after its last look a connector may still have been about to look again: `settle_after`, and the time that
/// an undo may take (microseconds).
const SETTLING: u64 = 65_000_000;
/// How long clocks and signals may take to be seen (microseconds).
const BLINK: u64 = 100_000;

/// What was seen from outside.
pub(crate) struct Evidence<'a> {
    pub(crate) journal: &'a [Line],
    pub(crate) lost: &'a [Lost],
    pub(crate) kills: &'a [Kill],
    pub(crate) endings: &'a [Ending],
}

/// What was counted, and what may not be.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) counts: BTreeMap<String, usize>,
    pub(crate) harm: Vec<String>,
}

impl Verdict {
    fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &str, count: usize) {
        *self.counts.entry(what.to_owned()).or_default() += count;
    }

    pub(crate) fn harm(&mut self, what: &str, detail: &str) {
        self.count(&format!("HARM: {what}"));
        self.harm.push(format!("{what}: {detail}"));
    }

    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let mut verdict = Self::default();
        let mut table: HashMap<&str, &Client> = HashMap::new();
        let mut foreign: BTreeMap<&str, &Client> = BTreeMap::new();
        for line in evidence.journal {
            let Event::Committed {
                client_id, client, ..
            } = &line.event
            else {
                continue;
            };
            match client {
                Some(client) => {
                    table.insert(client_id, client);
                    if line.by == STRANGER {
                        foreign.insert(client_id, client);
                    }
                }
                None => {
                    table.remove(client_id.as_str());
                }
            }
        }
        for (id, before) in &foreign {
            verdict.count("foreign clients");
            if table.get(id) != Some(before) {
                verdict.harm("a foreign client was changed", id);
            }
        }
        let mut delivered = HashSet::new();
        for ending in evidence.endings {
            for wrong in &ending.wrong {
                verdict.harm("an answer that may not be", wrong);
            }
            for sent in &ending.sent {
                verdict.count(&format!("{} {}", sent.what, heard(sent)));
            }
            if let Some(known) = &ending.known {
                delivered.insert(known.id.as_str());
                verdict.delivered(
                    ending,
                    known,
                    table.get(known.id.as_str()).copied(),
                    evidence,
                );
            }
        }
        let orphans: BTreeSet<_> = table
            .keys()
            .filter(|id| !delivered.contains(**id) && !foreign.contains_key(**id))
            .collect();
        for id in orphans {
            match evidence.excuse(id, &table[id].name) {
                Ok(window) => verdict.count(&format!("orphan: {window}")),
                Err(story) => verdict.harm("an orphan that nothing excuses", &story),
            }
        }
        verdict
    }

    fn delivered(
        &mut self,
        ending: &Ending,
        known: &Known,
        client: Option<&Client>,
        evidence: &Evidence<'_>,
    ) {
        self.count("clients delivered");
        let name = format!("{} {}", ending.name, known.id);
        let story = || format!("{name}\n{}", evidence.story(&known.id, &ending.name));
        let Some(client) = client else {
            if known.delete == Life::Lives {
                self.harm("a delivered client is gone", &story());
            }
            return;
        };
        match known.delete {
            Life::Dead => return self.harm("a deleted client lives", &story()),
            Life::Open => self.count("clients alive whose delete was not answered"),
            Life::Lives => self.count("clients alive as delivered"),
        }
        for secret in &known.secrets {
            let there = client
                .secrets
                .iter()
                .any(|s| s.client_secret == secret.value);
            match (secret.life, there) {
                (Life::Lives, false) => self.harm("a delivered secret is gone", &story()),
                (Life::Dead, true) => self.harm("a secret that was ended lives", &story()),
                (Life::Lives, true) => self.count("secrets alive as delivered"),
                _ => {}
            }
        }
        if !known.descriptions.contains(&client.description) {
            self.harm("an update is lost or was never asked for", &story());
        }
        if let Some(registered) = &known.registered {
            let prefix = "dcr_registration:api:";
            let found: BTreeSet<_> = client
                .attributes
                .keys()
                .filter_map(|name| name.strip_prefix(prefix))
                .collect();
            let known_to_konnect: BTreeSet<_> = registered.keys().map(String::as_str).collect();
            let has_scope = |audience| client.scopes.contains(&format!("{audience}.read"));
            if found != known_to_konnect || !registered.values().all(has_scope) {
                self.harm("a registration is lost", &story());
            } else if known_to_konnect.contains("entity-one")
                && known_to_konnect.contains("entity-two")
            {
                self.count("two registered at once, both there");
            }
        }
        for secret in &client.secrets {
            let same = |s: &crate::story::Secret| s.value == secret.client_secret;
            if !known.secrets.iter().any(same) {
                let why = evidence.why_unknown(&known.id, &secret.secret_id, &ending.sent);
                self.count(&format!("secret that nobody knows: {why}"));
            }
        }
    }
}

fn heard(sent: &Sent) -> String {
    match sent.status {
        None => "not answered".to_owned(),
        Some(0) => "not reached".to_owned(),
        Some(status) => status.to_string(),
    }
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
    fn excuse(&self, id: &str, name: &str) -> Result<String, String> {
        if let Some(lost) = self.lost.iter().find(|lost| lost.client_id == id) {
            return Ok(format!("Konnect lost our 201 ({})", lost.why));
        }
        let mut answered = None;
        let mut committed = 0;
        let mut touched: Vec<(u64, usize, Call)> = Vec::new();
        for line in self.of(id) {
            match &line.event {
                Event::Answered {
                    call: Call::Create,
                    status: 201,
                    ..
                } => answered = Some(line.at),
                Event::Committed {
                    call: Call::Create, ..
                } => committed = line.at,
                Event::Arrived { call, .. } => {
                    let by = line.by.strip_prefix("connector-");
                    let number = by.and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
                    touched.push((line.at, number, *call));
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
        for kill in self.kills {
            let Who::Gateway(number) = kill.who else {
                continue;
            };
            // What the IdP answered only after the gateway's death, or never, is the connector's to undo.
            let had_it = answered.is_some_and(|at| at <= kill.to + BLINK);
            if number == create.gateway && kill.to >= create.from && had_it {
                return Ok(if kill.from <= create.to + BLINK {
                    "gateway killed between answer and socket".to_owned()
                } else {
                    "gateway killed before its abort was accepted".to_owned()
                });
            }
        }
        let its_gateway = Who::Gateway(create.gateway);
        let gateway_died = self
            .kills
            .iter()
            .any(|kill| kill.who == its_gateway && kill.to >= create.from);
        for kill in self.kills {
            let Who::Connector(number) = kill.who else {
                continue;
            };
            // Its last look at this client was before its death, found nothing, and was followed by a late commit.
            let looks = touched
                .iter()
                .filter(|(at, by, call)| *by == number && *call == Call::Get && *at <= kill.to);
            let Some((looked, ..)) = looks.max() else {
                continue;
            };
            if kill.from <= looked + SETTLING && committed + BLINK >= *looked {
                return Ok("connector killed before it looked again".to_owned());
            }
        }
        for kill in self.kills {
            let Who::Connector(number) = kill.who else {
                continue;
            };
            // Nobody but the two of them knew of it.
            let made_it = |(at, by, _): &(u64, usize, Call)| {
                *by == number && *at <= kill.to && kill.from <= at + SETTLING
            };
            if gateway_died && touched.iter().any(made_it) {
                return Ok("connector killed after the commit, and its gateway too".to_owned());
            }
        }
        Err(self.story(id, name))
    }

    fn why_unknown(&self, id: &str, secret_id: &str, sent: &[Sent]) -> String {
        let lost = |lost: &&Lost| lost.secret_id.as_deref() == Some(secret_id);
        if let Some(lost) = self.lost.iter().find(lost) {
            return format!("Konnect lost our answer ({})", lost.why);
        }
        let mut call = Call::Create;
        let (mut at, mut by) = (0, "");
        for line in self.of(id) {
            if let Event::Committed {
                call: made_by,
                client: Some(client),
                ..
            } = &line.event
                && client.secrets.iter().any(|s| s.secret_id == secret_id)
            {
                (call, at, by) = (*made_by, line.at, &line.by);
                break;
            }
        }
        let answered = self.of(id).any(|line| {
            line.at >= at
                && line.at <= at + BLINK
                && line.by == by
                && matches!(&line.event, Event::Answered { call: c, status: 200..=299, .. } if *c == call)
        });
        let killed = self.kills.iter().any(|kill| {
            sent.iter()
                .any(|sent| kill.to + BLINK >= sent.from && kill.from <= sent.to + SETTLING)
                && kill.who != Who::Idp
        });
        match (call, answered) {
            (Call::Rotate, _) => "a rotation that Konnect did not hear of".to_owned(),
            (call, false) => format!("the IdP's answer was lost ({call:?})"),
            (call, true) if killed => format!("killed on the way ({call:?})"),
            (call, true) => format!("lost between gateway and connector ({call:?})"),
        }
    }

    /// All that is known of a client, for whoever looks for the cause.
    fn story(&self, id: &str, name: &str) -> String {
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
            lines.push((sent.to, format!("{who} ends: {}", heard(sent))));
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
