//! What was left behind: the IdP's table and journal against what Konnect heard. Nothing of the bridge is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::answers;
use crate::evidence::Evidence;
use crate::foreign::is_old_probe;
use crate::grants::{self, Pairs, Wrong};
use crate::history::{Rotations, foreign, vanished};
use crate::journal::{Call, Client, Event, Line};
use crate::known::{Known, Life, Secret};
use crate::story::Ending;

/// Kinds of harm that a protection prevents.
pub(crate) const ORPHAN: &str = "an orphan that nothing excuses";
pub(crate) const FOREIGN: &str = "a foreign client was changed";
pub(crate) const TWICE: &str = "a request sent twice succeeded twice";
pub(crate) const UNASKED_ROTATION: &str = "a rotation that nobody asked for";
pub(crate) const LOST_UPDATE: &str = "an update is lost or was never asked for";
pub(crate) const LOST_REGISTRATION: &str = "a registration is lost";

/// What was counted, and what may not be.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) counts: BTreeMap<String, usize>,
    pub(crate) harm: Vec<(&'static str, String)>,
    /// The orphans that came through open windows, with all that is known of each.
    pub(crate) excused: Vec<String>,
    /// Delivered secrets that are in the IdP's table, with their clients.
    pub(crate) alive: Vec<(String, String)>,
}

impl Verdict {
    fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &str, count: usize) {
        *self.counts.entry(what.to_owned()).or_default() += count;
    }

    pub(crate) fn harm(&mut self, what: &'static str, detail: &str) {
        self.count(&format!("HARM: {what}"));
        self.harm.push((what, detail.to_owned()));
    }

    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let mut verdict = Self::default();
        let (foreign, changed) = foreign(evidence.journal);
        verdict.add("foreign clients", foreign.len());
        for what in changed {
            verdict.harm(FOREIGN, &what);
        }
        answers::judge(evidence, &mut verdict);
        let table = table(evidence.journal);
        let mut pairs = Pairs::default();
        let mut delivered = HashSet::new();
        for ending in evidence.endings {
            for wrong in &ending.wrong {
                verdict.harm("an answer that is not true", wrong);
            }
            for sent in &ending.sent {
                verdict.count(&format!("{} {}", sent.what, sent.heard()));
            }
            if let Some(known) = &ending.known {
                delivered.insert(known.id.as_str());
                let client = table.get(known.id.as_str()).copied();
                if !ending.alone {
                    pairs.count(known, evidence.of(&known.id));
                }
                verdict.delivered(ending, known, client, evidence);
            }
        }
        let orphans: BTreeSet<_> = table
            .keys()
            .filter(|id| !delivered.contains(**id) && !foreign.contains(**id))
            .filter(|id| !is_old_probe(id))
            .collect();
        for id in orphans {
            match evidence.excuse(id, &table[id].name) {
                Ok(window) => {
                    verdict.count(&format!("orphan: {window}"));
                    let story = evidence.story(id, &table[id].name);
                    verdict.excused.push(format!("{window}: {story}"));
                }
                Err(story) => verdict.harm(ORPHAN, &story),
            }
        }
        pairs.tell(&mut verdict);
        let made = evidence
            .journal
            .iter()
            .filter_map(|line| match &line.event {
                Event::Committed {
                    call: Call::Create,
                    client_id,
                    ..
                } => Some(client_id.as_str()),
                _ => None,
            });
        let made: HashSet<_> = made.collect();
        let gone = |id: &&&str| !delivered.contains(**id) && !table.contains_key(**id);
        let undone = made.iter().filter(gone).count();
        verdict.add("clients made for nobody, and undone", undone);
        verdict.add(
            "undone when the gateway asked again",
            evidence.undone_later(),
        );
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
        let rotations = Rotations::new(evidence.of(&known.id), known, &ending.sent);
        for line in rotations.unasked() {
            let what = format!("at {}: {}", line.at, story());
            self.harm(UNASKED_ROTATION, &what);
        }
        for what in vanished(evidence.of(&known.id), known, &ending.sent, &rotations) {
            let what = format!("{what}: {}", story());
            self.harm("a delivered client or secret vanished", &what);
        }
        let Some(client) = client else {
            return;
        };
        match known.delete {
            Life::Dead => return self.harm("a deleted client lives", &story()),
            Life::Open => self.count("clients alive whose delete was not answered"),
            Life::Lives => self.count("clients alive as delivered"),
        }
        for secret in &known.secrets {
            let mut there = client.secrets.iter();
            if there.any(|other| other.client_secret == secret.value) {
                if secret.life == Life::Dead {
                    self.harm("a secret that was ended lives", &story());
                }
                self.count("secrets alive as delivered");
                self.alive.push((known.id.clone(), secret.value.clone()));
            }
        }
        if !known.descriptions.contains(&client.description) {
            self.harm(LOST_UPDATE, &story());
        }
        if let Some(registered) = &known.registered {
            match grants::judge(client, registered) {
                Ok(()) => {}
                Err(Wrong::Lost) => self.harm(LOST_REGISTRATION, &story()),
                Err(Wrong::TooMuch) => self.harm("more is granted than is registered", &story()),
            }
        }
        for secret in &client.secrets {
            let same = |s: &Secret| s.value == secret.client_secret;
            if !known.secrets.iter().any(same) {
                let id = &secret.secret_id;
                match evidence.excuse_secret(known, id, &ending.sent, &rotations) {
                    Ok(why) => self.count(&format!("secret that nobody knows: {why}")),
                    Err(why) => {
                        let what = "a secret that nobody knows and nothing excuses";
                        self.harm(what, &format!("{id}, {why}: {}", story()));
                    }
                }
            }
        }
    }
}

/// The clients that live, by id.
pub(crate) fn table(journal: &[Line]) -> HashMap<&str, &Client> {
    let mut table = HashMap::new();
    for line in journal {
        if let Event::Committed {
            client_id, client, ..
        } = &line.event
        {
            match client {
                Some(client) => table.insert(client_id.as_str(), &**client),
                None => table.remove(client_id.as_str()),
            };
        }
    }
    table
}
