//! What befell requests on their way, counted by name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Befell(Mutex<BTreeMap<String, usize>>);

impl Befell {
    pub(crate) fn add(&self, what: String) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, usize> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}
