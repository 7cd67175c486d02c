//! A report as somebody watches it: grouped, coloured on a terminal only.

use std::io::{IsTerminal as _, Write as _, stdout};

use super::{Entry, Outcome, Report};

/// Prints on standard output.
#[derive(Debug)]
pub(crate) struct Console {
    coloured: bool,
    group: &'static str,
}

impl Console {
    /// A console that has printed nothing. Colours need a terminal, and no `NO_COLOR` (<https://no-color.org>).
    pub(crate) fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            coloured: stdout().is_terminal() && !refused,
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
            self.say(&format!("\n{}", self.paint("1", entry.group)));
        }
        let Entry { name, .. } = entry;
        match &entry.outcome {
            Outcome::Passed => self.say(&format!("  {}  {name}", self.paint("32", "ok     "))),
            Outcome::Skipped(why) => {
                self.say(&format!("  {}  {name}: {why}", self.paint("36", "skipped")));
            }
            Outcome::Warned(what) => {
                self.say(&format!("  {}  {name}", self.paint("33", "advice ")));
                self.explain(what, entry);
            }
            Outcome::Failed(what) => {
                self.say(&format!("  {}  {name}", self.paint("31", "FAILED ")));
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
            self.say(&self.paint("31", trouble));
        }
        let counts = ["passed", "warned", "failed", "skipped"];
        let counts = counts.map(|word| match word {
            "warned" => format!("{} with advice", report.count(word)),
            word => format!("{} {word}", report.count(word)),
        });
        let (colour, word) = if report.is_good() {
            ("32", "passed")
        } else {
            ("31", "FAILED")
        };
        let word = self.paint(colour, word);
        self.say(&format!("{} {word}: {}", report.name, counts.join(", ")));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.coloured {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
