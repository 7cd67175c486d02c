//! The members of Konnect's answers (`openapi.yaml`, `components.schemas`), each judged alone.
//!
//! The harness has them as closed types too, which stop at the first mistake; here every member has its own name.

use dcr_tests::schema::DateTime;
use serde_json::{Map, Value};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text that is not empty.
    Text,
    /// A text that the Portal API can hold: 1 to 255 characters.
    Short,
    /// An RFC 3339 date-time.
    Time,
    /// An RFC 3339 date-time, or null.
    TimeOrNull,
    /// `ACTIVE` or `INACTIVE`.
    Status,
}

/// One schema: its members, and which of them must be there.
#[derive(Debug)]
pub(crate) struct Shape(&'static [(&'static str, Kind, bool)]);

/// `ApplicationResponse`.
pub(crate) const APPLICATION: Shape = Shape(&[
    ("client_id", Kind::Short, true),
    ("client_secret", Kind::Short, true),
    ("client_id_issued_at", Kind::Time, false),
    ("client_secret_expires_at", Kind::Time, false),
]);
/// `SecretResponse`.
pub(crate) const NEW_SECRET: Shape = Shape(&[
    ("client_id", Kind::Short, true),
    ("client_secret", Kind::Short, true),
]);
/// `SecretMetadata`.
pub(crate) const METADATA: Shape = Shape(&[
    ("secret_id", Kind::Text, true),
    ("client_id", Kind::Short, true),
    ("status", Kind::Status, true),
    ("created_at", Kind::Time, false),
    ("expires_at", Kind::TimeOrNull, false),
]);
/// `SecretWithIdResponse`.
pub(crate) const SECRET_WITH_ID: Shape = Shape(&[
    ("secret_id", Kind::Text, true),
    ("client_id", Kind::Short, true),
    ("client_secret", Kind::Short, true),
    ("created_at", Kind::Time, false),
    ("expires_at", Kind::TimeOrNull, false),
]);

impl Shape {
    /// What is wrong with one member of an object. Never tells a value that may be a secret.
    pub(crate) fn member(&self, object: &Map<String, Value>, name: &str) -> Option<String> {
        let (_, kind, required) = self.0.iter().find(|(known, ..)| *known == name)?;
        match object.get(name) {
            None if *required => Some(format!("{name} is missing")),
            None => None,
            Some(value) => kind.wrong(value).map(|wrong| format!("{name} {wrong}")),
        }
    }

    /// The members of an object that the schema does not have.
    pub(crate) fn others(&self, object: &Map<String, Value>) -> Vec<String> {
        let known = |name: &String| self.0.iter().any(|(known, ..)| known == name);
        object.keys().filter(|name| !known(name)).cloned().collect()
    }
}

impl Kind {
    fn wrong(self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::TimeOrNull, Value::Null) => None,
            (_, Value::Null) => Some("is null, which the contract does not allow".to_owned()),
            (Self::Text, Value::String(text)) => text.is_empty().then(|| "is empty".to_owned()),
            (Self::Short, Value::String(text)) => match text.chars().count() {
                1..=255 => None,
                count => Some(format!("has {count} characters where 1 to 255 fit")),
            },
            (Self::Status, Value::String(text)) => {
                let legal = matches!(&**text, "ACTIVE" | "INACTIVE");
                (!legal).then(|| format!("is {text:?}, neither ACTIVE nor INACTIVE"))
            }
            (Self::Time | Self::TimeOrNull, Value::String(text)) => {
                let legal = serde_json::from_value::<DateTime>(value.clone()).is_ok();
                (!legal).then(|| format!("is {text:?}, which is no RFC 3339 date-time"))
            }
            (Self::Time | Self::TimeOrNull, Value::Number(number)) => Some(format!(
                "is the number {number}, where a text like \"2026-09-01T08:30:00Z\" belongs"
            )),
            (_, other) => Some(format!("is {}, not text", word(other))),
        }
    }
}

/// The type of a value.
pub(crate) fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(shape: &Shape, name: &str, value: Value) -> Option<String> {
        let object = Map::from_iter([(name.to_owned(), value)]);
        shape.member(&object, name)
    }

    #[test]
    fn members_are_judged_by_the_schema() {
        for (name, value) in [
            ("client_id", json!("a")),
            ("client_secret", json!("x".repeat(255))),
            ("created_at", json!("2026-09-01T08:30:00+02:00")),
            ("expires_at", Value::Null),
        ] {
            assert_eq!(wrong(&SECRET_WITH_ID, name, value), None, "{name}");
        }
        for (name, value) in [
            ("client_id", json!("")),
            ("client_secret", json!("x".repeat(256))),
            ("client_secret", json!(7)),
            ("secret_id", Value::Null),
            ("created_at", Value::Null),
            ("created_at", json!(1_700_825_336)),
            ("expires_at", json!("tomorrow")),
        ] {
            assert!(wrong(&SECRET_WITH_ID, name, value).is_some(), "{name}");
        }
        assert!(wrong(&METADATA, "status", json!("active")).is_some());
        assert!(SECRET_WITH_ID.member(&Map::new(), "secret_id").is_some());
        assert!(SECRET_WITH_ID.member(&Map::new(), "created_at").is_none());
    }

    #[test]
    fn a_wrong_secret_is_not_told() {
        let told = wrong(&NEW_SECRET, "client_secret", json!("hunter2".repeat(40)));
        assert!(!told.unwrap().contains("hunter2"));
    }

    #[test]
    fn other_members_are_named() {
        let object = json!({"client_id": "a", "client_secret": "b", "status": "ACTIVE"});
        assert_eq!(NEW_SECRET.others(object.as_object().unwrap()), ["status"]);
    }
}
