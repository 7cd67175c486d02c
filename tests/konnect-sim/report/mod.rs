//! What was checked and what came of it. Knows nothing of what is checked.

mod console;
mod files;

use std::time::Duration;

pub(crate) use console::Console;
pub(crate) use files::{json, junit, write};

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold; nothing that is published demands it.
    Warned(String),
    /// It does not hold.
    Failed(String),
    /// It was not looked at, for this reason.
    Skipped(String),
}

impl Outcome {
    /// A word for programs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warned(_) => "warned",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// What was found, or why nothing was looked for.
    pub(crate) fn sentence(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Warned(text) | Self::Failed(text) | Self::Skipped(text) => Some(text),
        }
    }
}

/// One check of a report.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What it belongs to.
    pub(crate) group: &'static str,
    /// Its name, unlike every other in its group.
    pub(crate) name: &'static str,
    /// Who says that it has to hold.
    pub(crate) basis: &'static str,
    /// What to do when it does not.
    pub(crate) remedy: &'static str,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// How long it took.
    pub(crate) took: Duration,
}

/// All of a run.
#[derive(Debug)]
pub(crate) struct Report {
    /// The program and its command.
    pub(crate) name: String,
    /// What was looked at.
    pub(crate) subject: String,
    /// The checks, in their order.
    pub(crate) entries: Vec<Entry>,
    /// What went wrong beside them: the run was interrupted, something could not be cleaned up. Each is a failure.
    pub(crate) troubles: Vec<String>,
    /// The ids of all clients that could not be deleted.
    pub(crate) left: Vec<String>,
}

impl Report {
    /// A report without checks.
    pub(crate) fn new(name: &str, subject: &str) -> Self {
        Self {
            name: name.to_owned(),
            subject: subject.to_owned(),
            entries: Vec::new(),
            troubles: Vec::new(),
            left: Vec::new(),
        }
    }

    /// How many checks came out so.
    pub(crate) fn count(&self, word: &str) -> usize {
        let with = |entry: &&Entry| entry.outcome.word() == word;
        self.entries.iter().filter(with).count()
    }

    /// Whether nothing failed and something was looked at.
    pub(crate) fn is_good(&self) -> bool {
        self.troubles.is_empty()
            && self.count("failed") == 0
            && self.count("passed") + self.count("warned") > 0
    }
}
