//! Which version of each provider's file is served.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use dcr_runtime::config::Problems;

use super::ProviderConfig;
use crate::keys::KeyHash;

/// The providers that are served, by the file that each is in.
pub(super) type Files = BTreeMap<PathBuf, ProviderConfig>;
/// The files whose content is not served, and why.
pub(super) type HeldUp = BTreeMap<PathBuf, Problems>;

/// Serves what was read; where a file has mistakes, its last good version in `before`, if there is one.
pub(super) fn settle(
    before: &Files,
    read: BTreeMap<PathBuf, Result<ProviderConfig, Problems>>,
) -> (Files, HeldUp) {
    let (mut served, mut held_up) = (Files::new(), HeldUp::new());
    for (file, read) in read {
        match read {
            Ok(provider) => {
                served.insert(file, provider);
            }
            Err(problems) => {
                served.extend(
                    before
                        .get_key_value(&file)
                        .map(|(f, p)| (f.clone(), p.clone())),
                );
                held_up.insert(file, problems);
            }
        }
    }
    (served, held_up)
}

/// Keys that open several providers. Each opens its own path all the same, so nobody is held up: whoever copies a hash
/// must not be able to take another's provider down with it.
pub(super) fn shared_keys(served: &Files, warnings: &mut Problems) {
    let mut known: HashMap<&KeyHash, &Path> = HashMap::new();
    for (file, provider) in served {
        let mut problems = Problems::in_file(file);
        for (n, key) in provider.api_keys.iter().enumerate() {
            match known.entry(&key.hash) {
                Entry::Vacant(free) => {
                    free.insert(file);
                }
                Entry::Occupied(other) => {
                    let sentence = format!(
                        "is also in {}: whoever has that key opens both providers; give each keys of its own",
                        other.get().display()
                    );
                    problems.anywhere(format!("api_keys[{n}].hash"), sentence);
                }
            }
        }
        warnings.append(problems);
    }
}
