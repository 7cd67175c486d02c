//! What was left behind: the IdP's table against what Konnect heard. Nothing of the bridge is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::evidence::Evidence;
use crate::foreign::STRANGER;
use crate::journal::{Client, Event, Line};
use crate::known::{Known, Life, Secret};
use crate::story::Ending;

/// What was counted, and what may not be.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) counts: BTreeMap<String, usize>,
    pub(crate) harm: Vec<String>,
    /// The orphans that came through open windows, with all that is known of each.
    pub(crate) excused: Vec<String>,
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
        let table = table(evidence.journal);
        let foreign: BTreeMap<&str, &Client> = evidence
            .journal
            .iter()
            .filter(|line| line.by == STRANGER)
            .filter_map(|line| match &line.event {
                Event::Committed {
                    client_id, client, ..
                } => Some((client_id.as_str(), client.as_deref()?)),
                _ => None,
            })
            .collect();
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
                if sent.status == Some(401) {
                    verdict.harm("a good key was refused", &ending.name);
                }
                verdict.count(&format!("{} {}", sent.what, sent.heard()));
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
                Ok(window) => {
                    verdict.count(&format!("orphan: {window}"));
                    let story = evidence.story(id, &table[id].name);
                    verdict.excused.push(format!("{window}: {story}"));
                }
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
            let same = |s: &Secret| s.value == secret.client_secret;
            if !known.secrets.iter().any(same) {
                match evidence.excuse_secret(&known.id, &secret.secret_id, &ending.sent) {
                    Ok(why) => self.count(&format!("secret that nobody knows: {why}")),
                    Err(why) => {
                        let what = "an added secret that nobody knows and nothing excuses";
                        self.harm(what, &format!("{why}: {}", story()));
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
