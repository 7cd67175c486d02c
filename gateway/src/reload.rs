//! The configuration, read again while calls go on.

use std::path::{Path, PathBuf};

use dcr_contract::model::ProviderId;
use dcr_runtime::reloads::{CONFIGURATION, Reloads};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::config::{Loaded, ProviderConfig, watched};
use crate::state::Live;

/// Reads a directory again, puts what is good into force, and tells what has become of it.
#[derive(Debug)]
pub(crate) struct Reload {
    dir: PathBuf,
    loaded: Loaded,
    live: Live,
    reloads: Reloads,
    held_up: Gauge,
}

impl Reload {
    /// `live` holds the state of `loaded`, which was read from this directory; `registry` has our prefix.
    pub(crate) fn new(
        dir: &Path,
        loaded: Loaded,
        live: Live,
        reloads: Reloads,
        registry: &mut Registry,
    ) -> Self {
        let held_up = Gauge::default();
        registry.register(
            "providers_held_up",
            "Files in providers.d whose content is not served because of a mistake",
            held_up.clone(),
        );
        let new = Self {
            dir: dir.to_owned(),
            loaded,
            live,
            reloads,
            held_up,
        };
        new.measure(&new.loaded);
        tell(None, &new.loaded);
        new
    }

    fn measure(&self, loaded: &Loaded) {
        let held_up = i64::try_from(loaded.held_up.len()).unwrap_or(i64::MAX);
        self.held_up.set(held_up);
    }

    /// Reads again, and returns the files to watch. Must be called within a tokio runtime; blocks.
    pub(crate) fn again(&mut self) -> Vec<PathBuf> {
        let new = self.loaded.again(&self.dir);
        match self.live.replace(&new.config) {
            Ok(()) => {
                self.reloads.count(CONFIGURATION, outcome(&new));
                self.measure(&new);
                tell(Some(&self.loaded), &new);
                self.loaded = new;
            }
            Err(malformed) => {
                tracing::error!(
                    "the new configuration is refused: a connector's address {malformed}"
                );
                self.reloads.count(CONFIGURATION, "refused");
            }
        }
        watched(&self.dir)
    }
}

fn outcome(loaded: &Loaded) -> &'static str {
    if !loaded.refused.is_empty() {
        "refused"
    } else if loaded.held_up.is_empty() {
        "ok"
    } else {
        "held_up"
    }
}

/// Logs what has changed, and what is wrong unless it was wrong in the same way before.
fn tell(before: Option<&Loaded>, now: &Loaded) {
    let old = before.map_or(&[][..], |loaded| &loaded.config.providers);
    let new = now.config.providers.as_slice();
    let (mut added, mut changed, mut removed) = (0, 0, 0);
    for provider in new {
        let what = match with_id(old, &provider.id) {
            Some(old) if old == provider => continue,
            Some(_) => {
                changed += 1;
                "provider changed"
            }
            None => {
                added += 1;
                "provider added"
            }
        };
        let (id, path, connector) = (&provider.id, &provider.path, &provider.connector);
        let keys = provider.api_keys.len();
        tracing::info!(provider = %id, %path, %connector, keys, "{what}");
    }
    for provider in old.iter().filter(|old| with_id(new, &old.id).is_none()) {
        removed += 1;
        tracing::info!(provider = %provider.id, "provider removed");
    }
    for (file, problems) in &now.held_up {
        if before.and_then(|before| before.held_up.get(file)) == Some(problems) {
            continue;
        }
        let consequence = if now.has_last_good(file) {
            "its last good version is served"
        } else {
            "it is not served"
        };
        for problem in problems {
            tracing::error!("a provider is held up, {consequence}: {problem}");
        }
    }
    if before.is_none_or(|before| before.refused != now.refused) {
        for problem in &now.refused {
            tracing::error!("the last good configuration stays in force: {problem}");
        }
    }
    if before.is_none_or(|before| before.warnings != now.warnings) {
        for problem in &now.warnings {
            tracing::warn!("{problem}");
        }
    }
    if before.is_none_or(|before| before.restart != now.restart) {
        for member in &now.restart {
            tracing::warn!(
                "`{member}` of gateway.yaml has changed, which takes a restart; the old one stays in force"
            );
        }
    }
    if new.is_empty() {
        tracing::warn!("no provider is served: add its file to providers.d/");
    }
    let (providers, held_up) = (new.len(), now.held_up.len());
    tracing::info!(
        providers,
        added,
        changed,
        removed,
        held_up,
        outcome = outcome(now),
        "configuration read"
    );
}

fn with_id<'a>(providers: &'a [ProviderConfig], id: &ProviderId) -> Option<&'a ProviderConfig> {
    providers.iter().find(|provider| provider.id == *id)
}
