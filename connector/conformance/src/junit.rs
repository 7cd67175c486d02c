//! JUnit's XML, which build servers read.

use std::fmt::Write as _;
use std::time::Duration;

/// One test.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// The suite that it belongs to; those of one suite stand together.
    pub group: &'a str,
    /// Its name in the suite.
    pub name: &'a str,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub end: End,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Nothing is wrong.
    Passed,
    /// Nothing is wrong, but there is something to say.
    Noted(String),
    /// It was not tried, for this reason.
    Skipped(String),
    /// Something is wrong: in short, and in full.
    Failed(String, String),
}

/// A document with one `testsuite` for each group.
#[must_use]
pub fn xml(name: &str, cases: &[Case<'_>]) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\">\n",
        escaped(name)
    );
    for group in cases.chunk_by(|one, next| one.group == next.group) {
        let count = |wanted: fn(&End) -> bool| group.iter().filter(|c| wanted(&c.end)).count();
        let suite = escaped(group.first().map_or("", |case| case.group));
        let failures = count(|end| matches!(end, End::Failed(..)));
        let skipped = count(|end| matches!(end, End::Skipped(_)));
        // A String takes all that is written, here and below.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\">",
            group.len()
        );
        for case in group {
            let _ = write!(
                xml,
                "    <testcase classname=\"{suite}\" name=\"{}\" time=\"{:.3}\"",
                escaped(case.name),
                case.took.as_secs_f64()
            );
            let inner = match &case.end {
                End::Passed => {
                    xml.push_str("/>\n");
                    continue;
                }
                End::Noted(what) => format!("<system-out>{}</system-out>", escaped(what)),
                End::Skipped(why) => format!("<skipped message=\"{}\"/>", escaped(why)),
                End::Failed(short, full) => format!(
                    "<failure message=\"{}\">{}</failure>",
                    escaped(short),
                    escaped(full)
                ),
            };
            let _ = writeln!(xml, ">{inner}</testcase>");
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
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tested_cannot_break_the_document() {
        let case = |name, end| Case {
            group: "g",
            name,
            took: Duration::from_millis(1500),
            end,
        };
        let seen = "<script>&\u{1b}[31m\n]]>\ndo \"this\"".to_owned();
        let cases = [
            case("one", End::Passed),
            case("two", End::Failed("a < b".to_owned(), seen)),
            case("three", End::Skipped("no".to_owned())),
            case("four", End::Noted("a & b".to_owned())),
        ];
        let xml = xml("all", &cases);
        for part in [
            "<testsuite name=\"g\" tests=\"4\" failures=\"1\" skipped=\"1\">",
            "name=\"one\" time=\"1.500\"/>",
            "message=\"a &lt; b\">&lt;script&gt;&amp;\u{fffd}[31m&#10;]]&gt;&#10;do &quot;this&quot;<",
            "<skipped message=\"no\"/></testcase>",
            "<system-out>a &amp; b</system-out></testcase>",
        ] {
            assert!(xml.contains(part), "{part} is not in {xml}");
        }
    }
}
