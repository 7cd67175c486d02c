//! What only one provider can have, and which version of each file is therefore served.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Included, Unbounded};
use std::path::{Path, PathBuf};

use dcr_runtime::config::Problems;

use super::ProviderConfig;
use crate::keys::KeyHash;

/// The providers that are served, by the file that each is in.
pub(super) type Files = BTreeMap<PathBuf, ProviderConfig>;
/// The files whose content is not served, and why.
pub(super) type HeldUp = BTreeMap<PathBuf, Problems>;

/// Which version of each file is served, when `before` was until now. What is served stays until its file is gone or
/// has a new version that can be served: a mistake in one file, also a claim to what another one has, holds up that
/// file alone. Among new versions that claim the same, the provider whose id is its path has it, then the first by name.
pub(super) fn settle(
    before: &Files,
    read: BTreeMap<PathBuf, Result<ProviderConfig, Problems>>,
) -> (Files, HeldUp) {
    let (mut served, mut new, mut held_up) = (Files::new(), Files::new(), HeldUp::new());
    for (file, read) in read {
        let last_good = before.get(&file);
        match read {
            Ok(provider) if last_good != Some(&provider) => {
                new.insert(file, provider);
            }
            Ok(provider) => {
                served.insert(file, provider);
            }
            Err(problems) => {
                served.extend(last_good.map(|provider| (file.clone(), provider.clone())));
                held_up.insert(file, problems);
            }
        }
    }
    // A new version that is refused gives its last good one back its claims, so all new ones are judged again.
    let mut refused = Files::new();
    while let Some(problems) = first_refused(&served, &new, &held_up) {
        let file = problems.file().to_owned();
        refused.extend(new.remove_entry(&file));
        served.extend(before.get(&file).map(|p| (file.clone(), p.clone())));
        held_up.insert(file, problems);
    }
    served.append(&mut new);
    // What stood in the way of one may have been refused after it.
    while let Some(file) = first_admissible(&served, &refused, &held_up) {
        held_up.remove(&file);
        served.extend(refused.remove_entry(&file));
    }
    (served, held_up)
}

/// What is wrong with the first new version that claims what another file has.
fn first_refused(served: &Files, new: &Files, held_up: &HeldUp) -> Option<Problems> {
    let mut claims = Claims::of(served.iter(), held_up);
    let (named, others): (Vec<_>, Vec<_>) = new
        .iter()
        .partition(|(_, provider)| provider.path.is_named_as(&provider.id));
    named
        .into_iter()
        .chain(others)
        .find_map(|(file, provider)| claims.admit(file, provider, held_up).err())
}

/// The first of those refused that claims nothing of what is served from other files.
fn first_admissible(served: &Files, refused: &Files, held_up: &HeldUp) -> Option<PathBuf> {
    let is_admissible = |(file, provider): &(&PathBuf, &ProviderConfig)| {
        let others = served.iter().filter(|(other, _)| other != file);
        Claims::of(others, held_up)
            .admit(file, provider, held_up)
            .is_ok()
    };
    let first = refused.iter().find(is_admissible);
    first.map(|(file, _)| file.clone())
}

/// Who has which path and key. An id is its file's name, so nobody else can have it.
#[derive(Default)]
struct Claims<'a> {
    paths: BTreeMap<&'a str, &'a Path>,
    keys: HashMap<&'a KeyHash, &'a Path>,
}

impl<'a> Claims<'a> {
    /// The claims of files that are served side by side, so that none is refused.
    fn of(
        served: impl Iterator<Item = (&'a PathBuf, &'a ProviderConfig)>,
        held_up: &HeldUp,
    ) -> Self {
        let mut claims = Self::default();
        for (file, provider) in served {
            let _served = claims.admit(file, provider, held_up);
        }
        claims
    }

    /// Lets a provider in unless another file has one of its keys, its path, or one above or below it: a client's id
    /// could not be told from a part of a path.
    fn admit(
        &mut self,
        file: &'a Path,
        provider: &'a ProviderConfig,
        held_up: &HeldUp,
    ) -> Result<(), Problems> {
        let mut problems = Problems::in_file(file);
        let mut taken = |member: String, what: &str, other: &Path| {
            let sentence = if held_up.contains_key(other) {
                format!(
                    "{what} in the last good version of {}, which keeps it: mend that file, or change this one",
                    other.display()
                )
            } else {
                format!(
                    "{what} in {}, which keeps it; change one of the two",
                    other.display()
                )
            };
            problems.anywhere(member, sentence);
        };
        let path = provider.path.as_str();
        if let Some((other, there)) = self.meeting(path) {
            let what = if other == path {
                "is also".to_owned()
            } else {
                format!("begins with, or is the beginning of, the path {other}")
            };
            taken("path".to_owned(), &what, there);
        }
        for (n, key) in provider.api_keys.iter().enumerate() {
            match self.keys.entry(&key.hash) {
                Entry::Occupied(other) => {
                    taken(format!("api_keys[{n}].hash"), "is also", other.get());
                }
                Entry::Vacant(free) => {
                    free.insert(file);
                }
            }
        }
        problems.or(())?;
        self.paths.insert(path, file);
        Ok(())
    }

    /// A path that is this one, or above or below it.
    fn meeting(&self, path: &str) -> Option<(&'a str, &'a Path)> {
        let ends = path.match_indices('/').map(|(end, _)| end);
        let mut above = ends
            .chain([path.len()])
            .filter_map(|end| self.paths.get_key_value(path.get(..end)?));
        let below = format!("{path}/");
        let mut next = self.paths.range::<str, _>((Included(&*below), Unbounded));
        let met = above
            .next()
            .or_else(|| next.next().filter(|(next, _)| next.starts_with(&below)));
        met.map(|(path, file)| (*path, *file))
    }
}
