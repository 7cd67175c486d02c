//! What only one provider can have, and which version of each file is therefore served.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use dcr_contract::model::ProviderId;
use dcr_runtime::config::Problems;

use super::ProviderConfig;
use crate::keys::KeyHash;
use crate::providers::ProviderPath;

/// The providers that are served, by the file that each is in.
pub(super) type Files = BTreeMap<PathBuf, ProviderConfig>;
/// The files whose content is not served, and why.
pub(super) type HeldUp = BTreeMap<PathBuf, Problems>;

/// Which version of each file is served, when `before` was until now. What is served stays until its file is gone or
/// has a new version that can be served: a mistake in one file, also a claim to what another one has, holds up that
/// file alone. Among new versions that claim the same, the first file by name has it.
pub(super) fn settle(
    before: &Files,
    read: BTreeMap<PathBuf, Result<ProviderConfig, Problems>>,
) -> (Files, HeldUp) {
    let (mut kept, mut new, mut held_up) = (Files::new(), Files::new(), HeldUp::new());
    for (file, read) in read {
        let last_good = before.get(&file);
        match read {
            Ok(provider) if last_good != Some(&provider) => {
                new.insert(file, provider);
            }
            Ok(provider) => {
                kept.insert(file, provider);
            }
            Err(problems) => {
                kept.extend(last_good.map(|provider| (file.clone(), provider.clone())));
                held_up.insert(file, problems);
            }
        }
    }
    // A new version that is refused gives its last good one back its claims, so all new ones are judged again.
    while let Some(problems) = refused(&kept, &new, &held_up) {
        let file = problems.file().to_owned();
        new.remove(&file);
        kept.extend(before.get(&file).map(|p| (file.clone(), p.clone())));
        held_up.insert(file, problems);
    }
    kept.append(&mut new);
    (kept, held_up)
}

/// What is wrong with the first new version that claims what another file has.
fn refused(kept: &Files, new: &Files, held_up: &HeldUp) -> Option<Problems> {
    let mut claims = Claims::default();
    for (file, provider) in kept {
        // They were served side by side, so none is refused.
        let _served = claims.admit(file, provider, held_up);
    }
    new.iter()
        .find_map(|(file, provider)| claims.admit(file, provider, held_up).err())
}

/// Who has which id, path and key.
#[derive(Default)]
struct Claims<'a> {
    ids: HashMap<&'a ProviderId, &'a Path>,
    paths: HashMap<&'a ProviderPath, &'a Path>,
    keys: HashMap<&'a KeyHash, &'a Path>,
}

impl<'a> Claims<'a> {
    /// Lets a provider in unless another file has its id, its path or one of its keys.
    fn admit(
        &mut self,
        file: &'a Path,
        provider: &'a ProviderConfig,
        held_up: &HeldUp,
    ) -> Result<(), Problems> {
        let mut problems = Problems::in_file(file);
        let mut taken = |path: String, other: &Path| {
            let sentence = if held_up.contains_key(other) {
                format!(
                    "is in the last good version of {}, which keeps it: mend that file, or change this one",
                    other.display()
                )
            } else {
                format!(
                    "is also in {}, which keeps it; change one of the two",
                    other.display()
                )
            };
            problems.anywhere(path, sentence);
        };
        if let Some(other) = self.ids.get(&provider.id) {
            taken("id".to_owned(), other);
        }
        if let Some(other) = self.paths.get(&provider.path) {
            taken("path".to_owned(), other);
        }
        for (n, key) in provider.api_keys.iter().enumerate() {
            match self.keys.entry(&key.hash) {
                Entry::Occupied(other) => taken(format!("api_keys[{n}].hash"), other.get()),
                Entry::Vacant(free) => {
                    free.insert(file);
                }
            }
        }
        problems.or(())?;
        self.ids.insert(&provider.id, file);
        self.paths.insert(&provider.path, file);
        Ok(())
    }
}
