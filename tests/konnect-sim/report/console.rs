//! A report as somebody watches it: grouped, coloured on a terminal only.

use std::io::{Write as _, stdout};

use dcr_conformance::paint::Paint;

use super::{Entry, Outcome, Report};

/// Prints on standard output.
#[derive(Debug)]
pub(crate) struct Console {
    paint: Paint,
    group: &'static str,
}

impl Console {
    /// A console that has printed nothing.
    pub(crate) fn new() -> Self {
        Self {
            paint: Paint::of(&stdout()),
            group: "",
        }
    }

    /// Prints a line.
    #[expect(clippy::unused_self, reason = "whoever prints holds the console")]
    pub(crate) fn say(&self, text: &str) {
        // Nobody can be told that nobody listens.
        let _ = writeln!(stdout(), "{text}");
    }

    /// Prints a check as soon as its outcome is known.
    pub(crate) fn show(&mut self, entry: &Entry) {
        if self.group != entry.group {
            self.group = entry.group;
            self.say(&format!("\n{}", self.paint.bold(entry.group)));
        }
        let Entry { name, .. } = entry;
        match &entry.outcome {
            Outcome::Passed => self.say(&format!("  {}  {name}", self.paint.green("ok     "))),
            Outcome::Skipped(why) => {
                self.say(&format!(
                    "  {}  {name}: {why}",
                    self.paint.yellow("skipped")
                ));
            }
            Outcome::Warned(what) => {
                self.say(&format!("  {}  {name}", self.paint.yellow("advice ")));
                self.explain(what, entry);
            }
            Outcome::Failed(what) => {
                self.say(&format!("  {}  {name}", self.paint.red("FAILED ")));
                self.explain(what, entry);
            }
        }
    }

    fn explain(&self, what: &str, entry: &Entry) {
        self.say(&format!("           {what}"));
        self.say(&format!("           {} [{}]", entry.remedy, entry.basis));
    }

    /// Prints what it all comes to.
    pub(crate) fn sum_up(&self, report: &Report) {
        self.say("");
        for trouble in &report.troubles {
            self.say(&self.paint.red(trouble));
        }
        let counts = ["passed", "warned", "failed", "skipped"];
        let counts = counts.map(|word| match word {
            "warned" => format!("{} with advice", report.count(word)),
            word => format!("{} {word}", report.count(word)),
        });
        let word = if report.is_good() {
            self.paint.green("passed")
        } else {
            self.paint.red("FAILED")
        };
        self.say(&format!("{} {word}: {}", report.name, counts.join(", ")));
    }
}
