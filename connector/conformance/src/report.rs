//! What a run found.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::junit::{self, Case, End};
use crate::paint::Paint;

/// What a run found, in the order of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where the connector was.
    pub connector: String,
    /// Its own name and version, as it describes itself.
    pub described: String,
    /// The profiles that were asked for by name; none where all were.
    pub profiles: Vec<&'static str>,
    /// Every check that was asked for.
    pub checks: Vec<Checked>,
    /// Whether it was stopped before all checks had ended.
    pub stopped: bool,
    /// How long the run took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// Its subject.
    pub group: &'static str,
    /// Its name within the group.
    pub name: &'static str,
    /// The profile that it belongs to.
    pub profile: &'static str,
    /// The rule of `connector.proto`.
    pub rule: &'static str,
    /// What to do where it is broken.
    pub advice: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub result: Result,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub took: Duration,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Result {
    /// The rule is kept.
    Passed,
    /// The rule is broken.
    Failed {
        /// What was seen.
        seen: String,
    },
    /// Not judged.
    Skipped {
        /// Why not.
        why: String,
    },
}

impl Checked {
    /// `group/name`
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

impl Report {
    /// Whether the run went to its end, judged something, of each profile that was asked for by name as well, and found no
    /// rule broken.
    #[must_use]
    pub fn passed(&self) -> bool {
        let judged = self.judged().next().is_some() && self.unjudged().next().is_none();
        !self.stopped && judged && self.failed().next().is_none()
    }

    fn judged(&self) -> impl Iterator<Item = &Checked> {
        let judged = |checked: &&Checked| !matches!(checked.result, Result::Skipped { .. });
        self.checks.iter().filter(judged)
    }

    /// The profiles that were asked for by name, and of which no check was judged.
    pub fn unjudged(&self) -> impl Iterator<Item = &'static str> {
        let is_judged = |profile| self.judged().any(|checked| checked.profile == profile);
        let profiles = self.profiles.iter().copied();
        profiles.filter(move |profile| !is_judged(*profile))
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Checked> {
        let failed = |checked: &&Checked| matches!(checked.result, Result::Failed { .. });
        self.checks.iter().filter(failed)
    }

    /// The checks that were skipped.
    pub fn skipped(&self) -> impl Iterator<Item = &Checked> {
        let skipped = |checked: &&Checked| matches!(checked.result, Result::Skipped { .. });
        self.checks.iter().filter(skipped)
    }

    /// For tests.
    ///
    /// # Panics
    /// When it has not [`passed`](Self::passed), with the whole report.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.passed(), "\n{}", self.text(false));
    }

    /// The report as JUnit's XML.
    #[must_use]
    pub fn junit(&self) -> String {
        let case = |checked: &Checked| Case {
            group: checked.group,
            name: checked.name,
            took: checked.took,
            end: match &checked.result {
                Result::Passed => End::Passed,
                Result::Skipped { why } => End::Skipped(why.clone()),
                Result::Failed { seen } => End::Failed(
                    checked.rule.to_owned(),
                    format!("{seen}\n{}", checked.advice),
                ),
            },
        };
        let cases: Vec<_> = self.checks.iter().map(case).collect();
        junit::xml("dcr-conformance", &cases)
    }

    /// The report as people read it, with colours or without.
    #[must_use]
    pub fn text(&self, colours: bool) -> String {
        let paint = Paint { coloured: colours };
        let mut text = format!("{} at {}\n", self.described, self.connector);
        let mut group = "";
        for checked in &self.checks {
            if checked.group != group {
                group = checked.group;
                line(&mut text, format_args!("\n{}", paint.bold(group)));
            }
            let name = checked.name.replace('_', " ");
            match &checked.result {
                Result::Passed => line(&mut text, format_args!("  {} {name}", paint.green("ok  "))),
                Result::Skipped { why } => {
                    line(
                        &mut text,
                        format_args!("  {} {name} ({why})", paint.yellow("skip")),
                    );
                }
                Result::Failed { seen } => {
                    line(&mut text, format_args!("  {} {name}", paint.red("FAIL")));
                    line(&mut text, format_args!("         rule: {}", checked.rule));
                    line(
                        &mut text,
                        format_args!("         seen: {}", seen.replace('\n', "\n               ")),
                    );
                    line(&mut text, format_args!("         do:   {}", checked.advice));
                }
            }
        }
        let (failed, skipped) = (self.failed().count(), self.skipped().count());
        let passed = self.checks.len() - failed - skipped;
        let summary = format!(
            "{passed} passed, {failed} failed, {skipped} skipped in {:.1} s",
            self.took.as_secs_f64()
        );
        let summary = if self.passed() {
            paint.green(&summary)
        } else {
            paint.red(&summary)
        };
        line(&mut text, format_args!("\n{summary}"));
        for profile in self.unjudged() {
            line(
                &mut text,
                format_args!(
                    "No check of --profile {profile} could be judged: claim what it needs, or do not ask for it."
                ),
            );
        }
        if self.profiles.is_empty() && self.judged().next().is_none() {
            line(&mut text, format_args!("No check could be judged."));
        }
        text
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes all that is written.
    let _ = writeln!(text, "{line}");
}

fn seconds<S: serde::Serializer>(
    time: &Duration,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
