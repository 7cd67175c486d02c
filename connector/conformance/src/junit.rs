//! A report as JUnit's XML, which build servers read.

use std::fmt::Write as _;

use crate::report::{Report, Result};

/// The report as one `testsuite` per group.
pub(crate) fn xml(report: &Report) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"dcr-conformance\">\n",
    );
    for group in report.checks.chunk_by(|one, next| one.group == next.group) {
        let count = |wanted: fn(&Result) -> bool| {
            group
                .iter()
                .filter(|checked| wanted(&checked.result))
                .count()
        };
        let name = group.first().map_or("", |checked| checked.group);
        let failures = count(|result| matches!(result, Result::Failed { .. }));
        let skipped = count(|result| matches!(result, Result::Skipped { .. }));
        // A String takes all that is written, here and below.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\">",
            escaped(name),
            group.len()
        );
        for checked in group {
            let _ = write!(
                xml,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escaped(checked.group),
                escaped(checked.name),
                checked.took.as_secs_f64()
            );
            let _ = match &checked.result {
                Result::Passed => writeln!(xml, "/>"),
                Result::Skipped { why } => {
                    writeln!(xml, "><skipped message=\"{}\"/></testcase>", escaped(why))
                }
                Result::Failed { seen } => writeln!(
                    xml,
                    "><failure message=\"{}\">{}\n{}</failure></testcase>",
                    escaped(checked.rule),
                    escaped(seen),
                    escaped(checked.advice)
                ),
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text for XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Checked;

    #[test]
    fn what_a_connector_says_cannot_break_the_document() {
        let checked = |name, result| Checked {
            group: "g",
            name,
            profile: "core",
            rule: "a < b",
            advice: "do \"this\"",
            result,
            took: Duration::from_millis(1500),
        };
        let seen = "<script>&\u{1b}[31m\n]]>".to_owned();
        let report = Report {
            connector: "http://a".to_owned(),
            described: "a".to_owned(),
            checks: vec![
                checked("one", Result::Passed),
                checked("two", Result::Failed { seen }),
                checked(
                    "three",
                    Result::Skipped {
                        why: "no".to_owned(),
                    },
                ),
            ],
            stopped: false,
            took: Duration::ZERO,
        };
        let xml = xml(&report);
        assert!(
            xml.contains("<testsuite name=\"g\" tests=\"3\" failures=\"1\" skipped=\"1\">"),
            "{xml}"
        );
        assert!(xml.contains("name=\"one\" time=\"1.500\"/>"), "{xml}");
        assert!(xml.contains("message=\"a &lt; b\">&lt;script&gt;&amp;\u{fffd}[31m&#10;]]&gt;\ndo &quot;this&quot;<"), "{xml}");
    }
}
