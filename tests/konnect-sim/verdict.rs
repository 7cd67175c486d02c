//! What a check finds, and how it becomes an entry of a report.

use std::pin::Pin;
use std::time::Instant;

use crate::report::{Console, Entry, Outcome, Report};

/// Why a check did not pass.
#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// It does not hold, for this reason.
    Broken(String),
    /// It cannot be judged, for this reason.
    Unjudged(String),
}

/// What a check says.
pub(crate) type Verdict = Result<(), Finding>;

/// It does not hold.
pub(crate) fn broken<T>(what: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Broken(what.into()))
}

/// It cannot be judged.
pub(crate) fn unjudged<T>(why: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Unjudged(why.into()))
}

/// Who says that something has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Something published, or seen of Konnect: a failure.
    Demanded(&'static str),
    /// Nobody that Konnect's administrators could point at: advice.
    Wise(&'static str),
}

impl Basis {
    pub(crate) const fn source(self) -> &'static str {
        match self {
            Self::Demanded(source) | Self::Wise(source) => source,
        }
    }
}

/// A check of `T`, which is tried.
pub(crate) struct Check<T: 'static> {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) basis: Basis,
    pub(crate) remedy: &'static str,
    pub(crate) run: for<'t> fn(&'t T) -> Pin<Box<dyn Future<Output = Verdict> + Send + 't>>,
}

impl<T> Check<T> {
    /// The name by which one is chosen.
    pub(crate) fn full_name(&self) -> String {
        format!("{}: {}", self.group, self.name)
    }

    /// Runs it; its outcome is printed and becomes an entry.
    pub(crate) async fn take(&self, tried: &T, report: &mut Report, console: &mut Console) {
        let began = Instant::now();
        let outcome = match (self.run)(tried).await {
            Ok(()) => Outcome::Passed,
            Err(Finding::Unjudged(why)) => Outcome::Skipped(why),
            Err(Finding::Broken(what)) => match self.basis {
                Basis::Demanded(_) => Outcome::Failed(what),
                Basis::Wise(_) => Outcome::Warned(what),
            },
        };
        let entry = Entry {
            group: self.group,
            name: self.name,
            basis: self.basis.source(),
            remedy: self.remedy,
            outcome,
            took: began.elapsed(),
        };
        console.show(&entry);
        report.entries.push(entry);
    }
}

/// Checks of one group: name, basis, what to do when it fails, and an expression that judges what is tried.
macro_rules! checks {
    ($tried:ty, $group:literal: $($name:literal, $basis:expr, $remedy:literal, $t:ident => $judge:expr;)+) => {
        pub(super) const CHECKS: &[$crate::verdict::Check<$tried>] = &[$($crate::verdict::Check {
            group: $group,
            name: $name,
            basis: $basis,
            remedy: $remedy,
            run: |$t| Box::pin(async move { $judge }),
        }),+];
    };
}
pub(crate) use checks;
