//! What only one provider can have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use dcr_contract::model::ProviderId;
use dcr_runtime::config::Problems;

use super::ProviderConfig;
use crate::keys::KeyHash;
use crate::providers::ProviderPath;

/// Who has which id, path and key.
#[derive(Default)]
pub(super) struct Claims {
    ids: HashMap<ProviderId, PathBuf>,
    paths: HashMap<ProviderPath, PathBuf>,
    keys: HashMap<KeyHash, PathBuf>,
}

impl Claims {
    /// Lets a provider in unless an earlier file has its id, its path or one of its keys.
    pub(super) fn admit(
        &mut self,
        file: &Path,
        provider: ProviderConfig,
    ) -> Result<ProviderConfig, Problems> {
        let mut problems = Problems::in_file(file);
        let mut taken = |path: String, other: &PathBuf| {
            let sentence = format!(
                "is also in {}, which keeps it; change one of the two",
                other.display()
            );
            problems.anywhere(path, sentence);
        };
        if let Some(other) = self.ids.get(&provider.id) {
            taken("id".to_owned(), other);
        }
        if let Some(other) = self.paths.get(&provider.path) {
            taken("path".to_owned(), other);
        }
        for (n, key) in provider.api_keys.iter().enumerate() {
            match self.keys.entry(key.hash.clone()) {
                Entry::Occupied(other) => taken(format!("api_keys[{n}].hash"), other.get()),
                Entry::Vacant(free) => {
                    free.insert(file.to_owned());
                }
            }
        }
        let provider = problems.or(provider)?;
        self.ids.insert(provider.id.clone(), file.to_owned());
        self.paths.insert(provider.path.clone(), file.to_owned());
        Ok(provider)
    }
}
