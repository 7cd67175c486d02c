//! A report as programs read it: JUnit's XML and JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dcr_conformance::junit::{Case, End, xml};
use serde_json::{Value, json};

use super::{Entry, Outcome, Report};

/// Writes a file that was asked for.
///
/// # Errors
/// A sentence, when it cannot be written.
pub(crate) fn write(option: &str, path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{option} {}: {e}", path.display()))
}

/// The report as JSON.
pub(crate) fn json(report: &Report) -> String {
    let entry = |entry: &Entry| {
        json!({
            "group": entry.group,
            "name": entry.name,
            "outcome": entry.outcome.word(),
            "sentence": entry.outcome.sentence(),
            "remedy": entry.remedy,
            "basis": entry.basis,
            "seconds": entry.took.as_secs_f64(),
        })
    };
    let value = json!({
        "name": report.name,
        "subject": report.subject,
        "good": report.is_good(),
        "passed": report.count("passed"),
        "warned": report.count("warned"),
        "failed": report.count("failed"),
        "skipped": report.count("skipped"),
        "troubles": report.troubles,
        "left": report.left,
        "checks": report.entries.iter().map(entry).collect::<Vec<Value>>(),
    });
    format!("{value:#}\n")
}

/// The report as JUnit's XML. Advice is no failure there; what went wrong beside the checks is one.
pub(crate) fn junit(report: &Report) -> String {
    let case = |entry: &Entry| {
        let remedy = entry.remedy;
        Case {
            group: entry.group,
            name: entry.name,
            took: entry.took,
            end: match &entry.outcome {
                Outcome::Passed => End::Passed,
                Outcome::Warned(what) => End::Noted(format!("advice: {what} {remedy}")),
                Outcome::Failed(what) => End::Failed(what.clone(), remedy.to_owned()),
                Outcome::Skipped(why) => End::Skipped(why.clone()),
            },
        }
    };
    let trouble = |trouble: &String| Case {
        group: "run",
        name: "leaves nothing behind",
        took: Duration::ZERO,
        end: End::Failed(trouble.clone(), String::new()),
    };
    let checks = report.entries.iter().map(case);
    let cases: Vec<_> = checks.chain(report.troubles.iter().map(trouble)).collect();
    xml(&report.name, &cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &'static str, outcome: Outcome) -> Entry {
        Entry {
            group: "g",
            name,
            basis: "b",
            remedy: "Do <this>.",
            outcome,
            took: Duration::from_millis(1500),
        }
    }

    fn report() -> Report {
        let mut report = Report::new("sim", "http://bridge");
        report.entries = vec![
            entry("a", Outcome::Passed),
            entry("b", Outcome::Warned("w".to_owned())),
            entry("c", Outcome::Failed("x".to_owned())),
            entry("d", Outcome::Skipped("s".to_owned())),
        ];
        report
    }

    #[test]
    fn junit_has_every_outcome_and_what_to_do() {
        let xml = junit(&report());
        for part in [
            r#"<testsuite name="g" tests="4" failures="1" skipped="1">"#,
            r#"<failure message="x">Do &lt;this&gt;.</failure>"#,
            "<system-out>advice: w Do",
            r#"<skipped message="s"/>"#,
        ] {
            assert!(xml.contains(part), "{part} is not in {xml}");
        }
    }

    #[test]
    fn a_trouble_is_a_failure_everywhere() {
        let mut report = report();
        report.entries.truncate(1);
        assert!(report.is_good());
        report.troubles.push("left behind".to_owned());
        assert!(!report.is_good());
        assert!(junit(&report).contains(r#"<failure message="left behind">"#));
        let json: Value = serde_json::from_str(&json(&report)).unwrap();
        assert_eq!(json["good"], false);
        assert_eq!(json["checks"][0]["outcome"], "passed");
    }

    #[test]
    fn a_report_of_nothing_is_not_good() {
        let mut report = report();
        report.entries.drain(..3);
        assert!(!report.is_good());
    }
}
