//! A report as programs read it: JUnit's XML and JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

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
        "checks": report.entries.iter().map(entry).collect::<Vec<Value>>(),
    });
    format!("{value:#}\n")
}

/// The report in the XML that JUnit's Ant task writes and build servers read: a suite for each group. A warning is a
/// pass with something on `system-out`.
pub(crate) fn junit(report: &Report) -> String {
    let mut suites: Vec<(&str, Vec<&Entry>)> = Vec::new();
    for entry in &report.entries {
        match suites.last_mut() {
            Some((group, entries)) if *group == entry.group => entries.push(entry),
            _ => suites.push((entry.group, vec![entry])),
        }
    }
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = escape(&report.name);
    let _ = writeln!(
        xml,
        "<testsuites name=\"{name}\" {}>",
        numbers(&report.entries, report.troubles.len())
    );
    for (group, entries) in suites {
        let group = escape(group);
        let numbers = numbers(entries.iter().copied(), 0);
        let _ = writeln!(xml, "  <testsuite name=\"{name}.{group}\" {numbers}>");
        for entry in entries {
            let _ = writeln!(xml, "    {}", case(&format!("{name}.{group}"), entry));
        }
        xml.push_str("  </testsuite>\n");
    }
    if !report.troubles.is_empty() {
        let count = report.troubles.len();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}.run\" tests=\"{count}\" failures=\"{count}\">"
        );
        for trouble in &report.troubles {
            let _ = writeln!(
                xml,
                "    <testcase classname=\"{name}.run\" name=\"run\"><failure message=\"{}\"/></testcase>",
                escape(trouble)
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn numbers<'a>(entries: impl IntoIterator<Item = &'a Entry>, troubles: usize) -> String {
    let (mut tests, mut failures, mut skipped) = (troubles, troubles, 0);
    let mut time = Duration::ZERO;
    for entry in entries {
        tests += 1;
        time += entry.took;
        match entry.outcome {
            Outcome::Failed(_) => failures += 1,
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Passed | Outcome::Warned(_) => {}
        }
    }
    format!(
        "tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{:.3}\"",
        time.as_secs_f64()
    )
}

fn case(class: &str, entry: &Entry) -> String {
    let Entry { name, remedy, .. } = entry;
    let inner = match &entry.outcome {
        Outcome::Passed => String::new(),
        Outcome::Skipped(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        Outcome::Failed(what) => format!(
            "<failure message=\"{}\">{}</failure>",
            escape(what),
            escape(remedy)
        ),
        Outcome::Warned(what) => {
            let text = format!("advice: {what} {remedy}");
            format!("<system-out>{}</system-out>", escape(&text))
        }
    };
    format!(
        "<testcase classname=\"{class}\" name=\"{}\" time=\"{:.3}\">{inner}</testcase>",
        escape(name),
        entry.took.as_secs_f64()
    )
}

/// Text as XML 1.0 can hold it, in content and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
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
            entry("c", Outcome::Failed("\"x\" & \u{1b}".to_owned())),
            entry("d", Outcome::Skipped("s".to_owned())),
        ];
        report
    }

    #[test]
    fn junit_counts_escapes_and_tells_what_to_do() {
        let xml = junit(&report());
        let suite = r#"<testsuite name="sim.g" tests="4" failures="1" skipped="1" time="6.000">"#;
        assert!(xml.contains(suite), "{xml}");
        let failure =
            r#"<failure message="&quot;x&quot; &amp; �">Do &lt;this&gt;.</failure></testcase>"#;
        assert!(xml.contains(failure), "{xml}");
        assert!(xml.contains("<system-out>advice: w"), "{xml}");
        assert!(xml.contains(r#"<skipped message="s"/>"#), "{xml}");
    }

    #[test]
    fn a_trouble_is_a_failure_everywhere() {
        let mut report = report();
        report.entries.truncate(1);
        assert!(report.is_good());
        report.troubles.push("left behind".to_owned());
        assert!(!report.is_good());
        assert!(junit(&report).contains(r#"<failure message="left behind"/>"#));
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
