//! The names of what is made, by which somebody who cleans up finds it.

use std::sync::atomic::{AtomicU32, Ordering};

use uuid::Uuid;

/// Names of one run.
#[derive(Debug)]
pub(crate) struct Names {
    run: String,
    next: AtomicU32,
}

impl Names {
    /// The names of a new run.
    pub(crate) fn new() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self {
            run: id.chars().take(8).collect(),
            next: AtomicU32::new(1),
        }
    }

    /// A name that no other client has.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("konnect-sim {} {number}", self.run)
    }
}
