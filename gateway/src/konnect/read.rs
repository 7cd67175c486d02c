//! Reads the members of one JSON object without insisting on their types.
//!
//! A list may come as an array, a string, null or not at all; ids may come as numbers; members nobody knows are
//! skipped. Skipping needs no stack, so nesting cannot hurt, and of a repeated member the last one counts, as in
//! Konnect's own reference bridge.

use std::fmt;

use dcr_contract::model::{Field, Malformed, OpaqueId};
use dcr_contract::{Fault, Violations};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Oddities;

/// More unknown names than this are not remembered.
const MOST_UNKNOWN: usize = 16;

/// The known members of an object.
#[derive(Debug)]
pub(super) struct Members {
    values: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Null,
    /// A string, or a number as it is written.
    Text(String),
    /// An array; `None` is an element that is no text.
    List(Vec<Option<String>>),
    /// A truth value or an object.
    Other,
}

/// What a member says where one text is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    Missing,
    Null,
    Given(String),
    /// Something that is no text.
    Wrong,
}

/// What a member says where texts are expected.
#[derive(Debug)]
pub(super) enum List {
    /// Missing or null.
    Unsaid,
    Given(Vec<Result<String, Malformed>>),
    /// Something that is no list.
    Wrong,
}

impl Members {
    /// Reads an object; members not in `known` are noted and skipped.
    ///
    /// # Errors
    /// `Invalid` when the body is no JSON object. Nothing of the body is repeated.
    pub(super) fn read(
        body: &[u8],
        known: &'static [&'static str],
        oddities: &mut Oddities,
    ) -> Result<Self, Fault> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let values = Object { known, oddities }
            .deserialize(&mut json)
            .and_then(|values| json.end().map(|()| values))
            .map_err(|error| {
                let mut violations = Violations::default();
                let place = format!("line {}, column {}", error.line(), error.column());
                let rule = match error.classify() {
                    _ if body.is_empty() => "must have a body: a JSON object".to_owned(),
                    serde_json::error::Category::Data => "must be a JSON object".to_owned(),
                    _ => format!("must be a JSON object, but is not JSON at {place}"),
                };
                violations.note(Field::Request, &rule);
                violations.into_fault()
            })?;
        Ok(Self { values })
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.values.iter().rposition(|(n, _)| *n == name)?;
        Some(self.values.swap_remove(place).1)
    }

    /// Takes a member as one text.
    pub(super) fn text(&mut self, name: &str) -> Text {
        match self.take(name) {
            None => Text::Missing,
            Some(Value::Null) => Text::Null,
            Some(Value::Text(text)) => Text::Given(text),
            Some(Value::List(_) | Value::Other) => Text::Wrong,
        }
    }

    /// Takes a member as a list. An empty string stands for an empty list.
    pub(super) fn list(&mut self, name: &str) -> List {
        match self.take(name) {
            None | Some(Value::Null) => List::Unsaid,
            Some(Value::Text(text)) if text.is_empty() => List::Given(Vec::new()),
            Some(Value::Text(text)) => List::Given(vec![Ok(text)]),
            Some(Value::List(items)) => {
                let item =
                    |text: Option<String>| text.ok_or_else(|| Malformed::new("must be text"));
                List::Given(items.into_iter().map(item).collect())
            }
            Some(Value::Other) => List::Wrong,
        }
    }

    /// Takes an id that only tells where something comes from: what cannot be one is left out, for it must not
    /// fail the call.
    pub(super) fn opaque(
        &mut self,
        name: &'static str,
        oddities: &mut Oddities,
    ) -> Option<OpaqueId> {
        let parsed = match self.text(name) {
            Text::Missing | Text::Null => return None,
            Text::Given(text) if text.is_empty() => return None,
            Text::Given(text) => OpaqueId::parse(&text).ok(),
            Text::Wrong => None,
        };
        if parsed.is_none() {
            oddities.ignored_values.push(name);
        }
        parsed
    }
}

impl Text {
    /// The text, where there is one; anything but a text is a violation.
    pub(super) fn given(self, field: Field, violations: &mut Violations) -> Option<String> {
        match self {
            Self::Given(text) => Some(text),
            Self::Missing | Self::Null => None,
            Self::Wrong => {
                violations.note(field, "must be text");
                None
            }
        }
    }
}

impl List {
    /// The texts, where something was said; anything but a list is a violation.
    pub(super) fn given(
        self,
        field: Field,
        violations: &mut Violations,
    ) -> Option<Vec<Result<String, Malformed>>> {
        match self {
            Self::Given(items) => Some(items),
            Self::Unsaid => None,
            Self::Wrong => {
                violations.note(field, "must be a list of texts");
                None
            }
        }
    }
}

struct Object<'o> {
    known: &'static [&'static str],
    oddities: &'o mut Oddities,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Vec<(&'static str, Value)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Vec<(&'static str, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values: Self::Value = Vec::with_capacity(self.known.len());
        while let Some(name) = map.next_key::<String>()? {
            if let Some(known) = self.known.iter().find(|k| **k == name) {
                let value = map.next_value_seed(AnyValue)?;
                values.retain(|(n, _)| n != known);
                values.push((known, value));
            } else {
                map.next_value::<IgnoredAny>()?;
                let unknown = &mut self.oddities.unknown_members;
                if unknown.len() < MOST_UNKNOWN {
                    unknown.push(name.chars().take(64).collect());
                }
            }
        }
        Ok(values)
    }
}

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Item)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

/// An element of a list: a text, or something to be refused.
struct Item;

impl<'de> DeserializeSeed<'de> for Item {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(body: &str) -> (Result<Members, Fault>, Oddities) {
        let mut oddities = Oddities::default();
        let read = Members::read(body.as_bytes(), &["a", "b"], &mut oddities);
        (read, oddities)
    }

    #[test]
    fn a_list_may_be_an_array_a_string_null_or_missing() {
        for (body, expected) in [
            (r#"{"a":["x","y"]}"#, Some(vec!["x", "y"])),
            (r#"{"a":"x"}"#, Some(vec!["x"])),
            (r#"{"a":""}"#, Some(vec![])),
            (r#"{"a":[]}"#, Some(vec![])),
            (r#"{"a":null}"#, None),
            ("{}", None),
        ] {
            let mut violations = Violations::default();
            let list = members(body).0.unwrap().list("a");
            let items = list.given(Field::Scopes, &mut violations);
            let items = items.map(|i| i.into_iter().map(Result::unwrap).collect::<Vec<_>>());
            assert_eq!(
                items,
                expected.map(|e| e.into_iter().map(str::to_owned).collect()),
                "{body}"
            );
            assert!(violations.is_empty(), "{body}");
        }
    }

    #[test]
    fn what_is_neither_text_nor_list_is_a_violation() {
        let mut violations = Violations::default();
        let mut read = members(r#"{"a":{"x":1},"b":[1,null,{},[],true,-1,0.5]}"#)
            .0
            .unwrap();
        assert!(
            read.list("a")
                .given(Field::Scopes, &mut violations)
                .is_none()
        );
        assert!(!violations.is_empty());
        let items = read
            .list("b")
            .given(Field::Scopes, &mut violations)
            .unwrap();
        assert_eq!(items.len(), 7);
        assert!(items.iter().all(Result::is_err));
    }

    #[test]
    fn numbers_serve_as_texts_and_the_last_of_a_repeated_member_counts() {
        let mut read = members(r#"{"a":42,"b":"x","b":"y"}"#).0.unwrap();
        assert_eq!(read.text("a"), Text::Given("42".to_owned()));
        assert_eq!(read.text("b"), Text::Given("y".to_owned()));
        assert_eq!(read.text("b"), Text::Missing);
    }

    #[test]
    fn nesting_is_skipped_whether_the_member_is_known_or_not() {
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let (read, oddities) = members(&format!(r#"{{"new":{deep},"a":{deep},"b":[{deep}]}}"#));
        let mut read = read.unwrap();
        assert_eq!(oddities.unknown_members, ["new"]);
        assert_eq!(read.text("a"), Text::Wrong);
        let deep = format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
        assert_eq!(members(&deep).0.unwrap().text("a"), Text::Wrong);
    }

    #[test]
    fn unknown_members_are_noted_up_to_a_limit() {
        let many: Vec<_> = (0..100).map(|n| format!(r#""n{n}":{n}"#)).collect();
        let (read, oddities) = members(&format!("{{{}}}", many.join(",")));
        assert!(read.is_ok());
        assert_eq!(oddities.unknown_members.len(), MOST_UNKNOWN);
    }

    #[test]
    fn what_is_no_object_is_refused_without_repeating_it() {
        let cut = format!("{}planted", r#"{"a":"#.repeat(20_000));
        for body in [
            "",
            " ",
            "null",
            "1",
            "\"planted\"",
            "[]",
            "{",
            "{\"a\":}",
            "{} planted",
            "\u{feff}{}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1e999}",
            &cut,
        ] {
            let fault = members(body).0.unwrap_err();
            assert_eq!(fault.kind().name(), "invalid", "{body:.40}");
            assert!(!format!("{fault:?}").contains("planted"), "{body:.40}");
        }
        assert!(Members::read(b"{\"a\":\"\xff\"}", &["a"], &mut Oddities::default()).is_err());
    }

    #[test]
    fn an_odd_origin_is_left_out_and_noted() {
        let long = "x".repeat(129);
        let mut oddities = Oddities::default();
        for (body, kept) in [
            (r#"{"a":"test portal_id"}"#.to_owned(), true),
            (r#"{"a":7}"#.to_owned(), true),
            (r#"{"a":"x\u0000"}"#.to_owned(), false),
            (format!(r#"{{"a":"{long}"}}"#), false),
            (r#"{"a":{}}"#.to_owned(), false),
            (r#"{"a":""}"#.to_owned(), false),
        ] {
            let id = members(&body).0.unwrap().opaque("a", &mut oddities);
            assert_eq!(id.is_some(), kept, "{body}");
        }
        assert_eq!(oddities.ignored_values, ["a", "a", "a"]);
    }
}
