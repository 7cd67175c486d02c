//! What happened to a client at the IdP from its first to its last day, and whether Konnect had asked for it.

use std::collections::HashSet;

use crate::foreign::STRANGER;
use crate::journal::{Call, Client, Event, Line};
use crate::known::{Known, LATE};
use crate::story::Sent;

/// The strangers' clients, and every change of one that the bridge made, at any time.
pub(crate) fn foreign(journal: &[Line]) -> (HashSet<&str>, Vec<String>) {
    let mut foreign = HashSet::new();
    let mut changed = Vec::new();
    for line in journal {
        if let Event::Committed {
            call, client_id, ..
        } = &line.event
        {
            if line.by == STRANGER {
                foreign.insert(client_id.as_str());
            } else if foreign.contains(client_id.as_str()) {
                changed.push(format!("{client_id}: {call:?} by {}", line.by));
            }
        }
    }
    (foreign, changed)
}

/// The rotations that were made of one client, and whether Konnect asked for each.
pub(crate) struct Rotations<'a> {
    /// Made, and answered to nobody: the line, and whether one was asked for that Konnect did not hear of.
    unheard_of: Vec<(&'a Line, bool)>,
}

impl<'a> Rotations<'a> {
    /// `lines` are the client's.
    pub(crate) fn new(lines: impl Iterator<Item = &'a Line>, known: &Known, sent: &[Sent]) -> Self {
        let mut open: Vec<_> = sent
            .iter()
            .filter(|sent| sent.what == "rotate" && !sent.is_done() && !sent.is_refused())
            .collect();
        let mut unheard_of = Vec::new();
        for line in lines {
            let Event::Committed {
                call: Call::Rotate,
                client: Some(client),
                ..
            } = &line.event
            else {
                continue;
            };
            let secret = client.secrets.first();
            let delivered = |value: &str| known.secrets.iter().any(|known| known.value == value);
            if secret.is_some_and(|secret| delivered(&secret.client_secret)) {
                continue;
            }
            // Each that was asked for explains one.
            let explains = |sent: &&Sent| (sent.from..=sent.from + LATE).contains(&line.at);
            let explained = open
                .iter()
                .position(explains)
                .map(|place| open.remove(place));
            unheard_of.push((line, explained.is_some()));
        }
        Self { unheard_of }
    }

    /// Whether this one was asked for, and Konnect did not hear of it.
    pub(crate) fn is_unheard_of(&self, line: &Line) -> bool {
        let same = |(other, asked): &(&Line, bool)| std::ptr::eq(*other, line) && *asked;
        self.unheard_of.iter().any(same)
    }

    /// Those that nobody asked for.
    pub(crate) fn unasked(&self) -> impl Iterator<Item = &Line> {
        let unasked = self.unheard_of.iter().filter(|(_, asked)| !asked);
        unasked.map(|(line, _)| *line)
    }
}

/// Every delivered secret, and the client itself, that vanished before anybody had asked for it.
pub(crate) fn vanished<'a>(
    lines: impl Iterator<Item = &'a Line>,
    known: &Known,
    sent: &[Sent],
    rotations: &Rotations<'_>,
) -> Vec<String> {
    let mut vanished = Vec::new();
    let mut seen = HashSet::new();
    let mut before: Option<&Client> = None;
    for line in lines {
        let Event::Committed { call, client, .. } = &line.event else {
            continue;
        };
        let now = client.as_deref();
        let asked = |what: &str, path: &str| {
            let asked = |sent: &Sent| {
                sent.what == what
                    && sent.path.ends_with(path)
                    && sent.from <= line.at
                    && !sent.is_refused()
            };
            sent.iter().any(asked)
        };
        let has = |client: Option<&Client>, value: &str| {
            client.is_some_and(|client| client.secrets.iter().any(|s| s.client_secret == value))
        };
        for secret in &known.secrets {
            if !has(before, &secret.value) || has(now, &secret.value) {
                continue;
            }
            let lawful = match call {
                Call::Delete => asked("delete", ""),
                Call::Rotate => rotations.unasked().all(|other| !std::ptr::eq(other, line)),
                Call::Remove => secret.id.as_ref().is_some_and(|id| asked("remove", id)),
                _ => false,
            };
            if !lawful {
                let id = secret.id.as_deref().unwrap_or("-");
                vanished.push(format!("secret {id} at {}, by {call:?}", line.at));
            }
        }
        if *call == Call::Delete && !asked("delete", "") {
            vanished.push(format!("the client at {}", line.at));
        }
        let secrets = now.iter().flat_map(|client| &client.secrets);
        seen.extend(secrets.map(|secret| secret.client_secret.as_str()));
        before = now;
    }
    let never = known
        .secrets
        .iter()
        .filter(|s| !seen.contains(s.value.as_str()));
    vanished.extend(never.map(|_| "a delivered secret that never was".to_owned()));
    vanished
}
