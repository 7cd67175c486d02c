//! YAML files into types.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use serde_saphyr::{Error, UserMessageFormatter};

use super::{Problem, Problems, unreadable};

/// The longest configuration file, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Reads a YAML file (at most 1 MiB) into a type whose structs carry `deny_unknown_fields`.
///
/// What the type cannot say itself (an address that must not be plain, a path given twice) is the caller's to judge:
/// with values as [`Located`](super::Located), and mistakes collected in [`Problems`].
///
/// # Errors
/// When the file cannot be read, is no YAML, or does not fit the type; with the line and the member.
pub fn load<T: DeserializeOwned>(file: impl AsRef<Path>) -> Result<T, Problems> {
    let file = file.as_ref();
    let mut problems = Problems::in_file(file);
    match read(file) {
        Ok(text) => match parse(&text) {
            Ok(value) => return Ok(value),
            Err(mistake) => problems.push(Problem {
                file: file.to_owned(),
                line: mistake.line,
                path: mistake.path,
                sentence: mistake.sentence,
            }),
        },
        Err(sentence) => problems.anywhere("", sentence),
    }
    Err(problems)
}

fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LONGEST => {
            Err("the file is longer than 1 MiB; is it the right file?".to_owned())
        }
        Ok(_) => Ok(text),
        Err(error) => Err(unreadable("the file", &error)),
    }
}

struct Mistake {
    line: Option<u64>,
    path: String,
    sentence: String,
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut path = String::new();
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            path = member(error.path());
            error.into_inner()
        })
    });
    parsed.map_err(|error| Mistake {
        line: error.location().map(|at| at.line()),
        path,
        sentence: sentence(&error),
    })
}

/// The member as an operator knows it. serde-saphyr reads a [`Located`](super::Located) as a map with a `value`, which
/// the file does not have; so no member of ours is called `value`.
fn member(path: &serde_path_to_error::Path) -> String {
    let mut member = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } if key == "value" => {}
            Segment::Map { key } if member.is_empty() => member.push_str(key),
            Segment::Seq { .. } => member.push_str(&segment.to_string()),
            Segment::Map { .. } | Segment::Enum { .. } => {
                member.push('.');
                member.push_str(&segment.to_string());
            }
            Segment::Unknown => {}
        }
    }
    member
}

fn sentence(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { expected, .. } => {
            format!("is not known; here may stand: {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` stands here twice"),
        Error::MultipleDocuments { .. } => "a second YAML document begins; keep one".to_owned(),
        Error::Unexpected { expected, .. } => format!("{} is expected here", plain(expected)),
        other => {
            let text = other.render_with_formatter(&UserMessageFormatter);
            match other.location() {
                // The line stands before the sentence.
                Some(at) => {
                    let place = format!(" at line {}, column {}", at.line(), at.column());
                    format!("{} (column {})", text.replacen(&place, "", 1), at.column())
                }
                None => text,
            }
        }
    }
}

/// A parser's word in an operator's.
fn plain(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list (`- …`)",
        "mapping start" => "a map (`name: value`)",
        "string scalar" => "text",
        other => other,
    }
}
