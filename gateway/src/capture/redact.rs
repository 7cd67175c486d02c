//! What is kept of a value: its type and its class, never itself.

use serde_json::{Map, Number, Value};

use crate::konnect;

/// Members whose values are words of a protocol: kept when they look like such a word.
const WORDS: [&str; 3] = ["event_type", "grant_types", "token_endpoint_auth_method"];
/// What Konnect's Verify sends as `portal_id`.
const VERIFY: &str = "test portal_id";

/// A body with every value replaced that could be secret or personal.
pub(super) fn body(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        _ if bytes.is_empty() => Value::Null,
        Ok(Value::Object(members)) => object(members, could_be_konnects),
        Ok(value) => redacted(value, false),
        Err(_) => Value::String(format!("<no JSON, {} bytes>", bucket(bytes.len()))),
    }
}

fn redacted(value: Value, is_word: bool) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value,
        Value::Number(number) if number.is_f64() => Number::from_f64(0.5).into(),
        Value::Number(_) => 0.into(),
        Value::String(text) if is_word && looks_like_a_word(&text) => text.into(),
        Value::String(text) => class(&text).into(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| redacted(item, is_word))
            .collect(),
        // What nobody knows may be a map, and its keys values themselves.
        Value::Object(members) => object(members, konnect::is_member),
    }
}

fn object(members: Map<String, Value>, is_name: impl Fn(&str) -> bool) -> Value {
    let member = |(number, (name, value)): (usize, (String, Value))| {
        let value = redacted(value, WORDS.contains(&&*name));
        if is_name(&name) {
            (name, value)
        } else {
            (format!("<member {number}>"), value)
        }
    };
    let members = members.into_iter().enumerate().map(member);
    Value::Object(members.collect())
}

/// Whether it can be the name of a member of a body, in a version that nobody knows yet.
fn could_be_konnects(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    (1..=40).contains(&name.len()) && name.bytes().all(legal)
}

fn looks_like_a_word(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b == b'_';
    (1..=40).contains(&text.len()) && text.bytes().all(legal)
}

/// What kind of text it is.
pub(super) fn class(text: &str) -> String {
    if text.is_empty() || text == VERIFY {
        return text.to_owned();
    }
    let class = if uuid::Uuid::try_parse(text).is_ok() {
        "uuid"
    } else if text.parse::<jiff::Timestamp>().is_ok() {
        "time"
    } else if text.parse::<f64>().is_ok() {
        "number"
    } else if text.starts_with("https://") {
        "https URL"
    } else if text.contains("://") {
        "URL"
    } else if text.contains('@') {
        "email"
    } else if !text.is_ascii() {
        "text beyond ASCII"
    } else if text.contains(' ') {
        "text with spaces"
    } else {
        "text"
    };
    format!("<{class}, {} characters>", bucket(text.chars().count()))
}

fn bucket(length: usize) -> &'static str {
    match length {
        0..=8 => "1 to 8",
        9..=32 => "9 to 32",
        33..=64 => "33 to 64",
        65..=255 => "65 to 255",
        256..=4096 => "256 to 4096",
        _ => "more than 4096",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_and_classes_stay_and_values_go() {
        let given = json!({
            "event_type": "archive_application",
            "grant_types": ["client_credentials", "Planted-Value", 1],
            "client_name": "Planted Value",
            "portal_id": "test portal_id",
            "developer_id": "d9f1b8aa-1f5e-4a43-9be4-7f0c9f3e3d33",
            "redirect_uris": ["https://planted.example/cb", "http://planted.example"],
            "mail": "planted@example.com",
            "count": 4711,
            "part": 0.25,
            "on": true,
            "none": null,
            "empty": "",
            "planted@example.com": 1,
            "nested": {"jane_planted": {"client_name": ["Plantéd"]}},
            "many": [{"planted": true}],
        });
        let kept = json!({
            "event_type": "archive_application",
            "grant_types": ["client_credentials", "<text, 9 to 32 characters>", 0],
            "client_name": "<text with spaces, 9 to 32 characters>",
            "portal_id": "test portal_id",
            "developer_id": "<uuid, 33 to 64 characters>",
            "redirect_uris": ["<https URL, 9 to 32 characters>", "<URL, 9 to 32 characters>"],
            "mail": "<email, 9 to 32 characters>",
            "count": 0,
            "part": 0.5,
            "on": true,
            "none": null,
            "empty": "",
            "<member 12>": 0,
            "nested": {"<member 0>": {"client_name": ["<text beyond ASCII, 1 to 8 characters>"]}},
            "many": [{"<member 0>": true}],
        });
        assert_eq!(body(given.to_string().as_bytes()), kept);
        assert_eq!(body(b""), Value::Null);
        assert_eq!(body(b"Planted"), json!("<no JSON, 1 to 8 bytes>"));
        assert_eq!(body(b"\"Planted\""), json!("<text, 1 to 8 characters>"));
    }
}
