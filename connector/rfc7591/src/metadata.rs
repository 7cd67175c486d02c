//! What a server says of a client: the client information response of RFC 7591 section 3.2.1 and RFC 7592 section 3.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A client's metadata (RFC 7591 section 2), whatever of it is known here.
pub(crate) type Metadata = Map<String, Value>;

/// What belongs to the registration and not to the client: an update must not send it (RFC 7592 section 2.2). So does
/// whatever else begins as the two `registration_…` do.
const OF_THE_REGISTRATION: [&str; 2] = ["client_id_issued_at", "client_secret_expires_at"];

/// The answer. It may hold secrets, so nothing prints it.
#[derive(Deserialize)]
pub(crate) struct Information {
    pub(crate) client_id: String,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) client_secret: Option<SecretString>,
    #[serde(default, deserialize_with = "seconds")]
    client_id_issued_at: Option<i64>,
    #[serde(default, deserialize_with = "seconds")]
    client_secret_expires_at: Option<i64>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) registration_access_token: Option<SecretString>,
    pub(crate) registration_client_uri: Option<String>,
    /// All other members as they came.
    #[serde(flatten)]
    rest: Metadata,
}

impl fmt::Debug for Information {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Information")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Information {
    /// When the client was made.
    pub(crate) fn issued_at(&self) -> Option<Timestamp> {
        let seconds = self.client_id_issued_at?;
        Timestamp::from_second(seconds).ok()
    }

    /// When the secret stops working; 0 says never.
    pub(crate) fn secret_expires_at(&self) -> Option<Timestamp> {
        let seconds = self.client_secret_expires_at.filter(|end| *end != 0)?;
        Timestamp::from_second(seconds).ok()
    }

    /// Whether it tells when the secret stops working, or that it never does.
    pub(crate) fn tells_expiry(&self) -> bool {
        self.client_secret_expires_at.is_some()
    }

    /// The metadata that an update sends back: all that the server gave and takes. What is empty says that there is
    /// nothing, as leaving it out does (RFC 7592 section 2.2), and some servers refuse it; an empty list is left, for
    /// without it a default may take its place.
    pub(crate) fn metadata(&self) -> Metadata {
        let kept = |(name, value): &(&String, &Value)| {
            !is_nothing(value)
                && !name.starts_with("registration_")
                && !OF_THE_REGISTRATION.contains(&name.as_str())
        };
        let members = self.rest.iter().filter(kept);
        members
            .map(|(name, value)| (name.clone(), in_form(name, value)))
            .collect()
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether two secrets are one.
pub(crate) fn is_same(a: &SecretString, b: &SecretString) -> bool {
    #[expect(clippy::disallowed_methods, reason = "they are compared")]
    let is_same = a.expose_secret() == b.expose_secret();
    is_same
}

/// The values of a scope (RFC 7591 section 2: one text, with spaces between).
pub(crate) fn scopes(metadata: &Metadata) -> Vec<&str> {
    let text = metadata.get("scope").and_then(Value::as_str);
    text.unwrap_or_default().split_ascii_whitespace().collect()
}

/// The texts of a list; `None` when the metadata has none.
pub(crate) fn list<'a>(metadata: &'a Metadata, name: &str) -> Option<Vec<&'a str>> {
    let values = metadata.get(name)?.as_array()?;
    Some(values.iter().filter_map(Value::as_str).collect())
}

/// Some servers answer with a list where RFC 7591 has one text, and do not take it back.
fn in_form(name: &str, value: &Value) -> Value {
    match value.as_array().map(Vec::as_slice) {
        Some([one @ Value::String(_)]) if name == "token_endpoint_auth_method" => one.clone(),
        _ => value.clone(),
    }
}

/// An empty text is no secret.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(SecretString::from))
}

/// Seconds since 1970, of which some servers make a text or a fraction; what is no number is not known.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction of a second is nothing"
    )]
    let number = |value: Value| {
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds as i64))
            .or_else(|| value.as_str()?.parse().ok())
    };
    Ok(value.and_then(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Information {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_sent_back_is_all_that_came_but_for_what_no_update_may_send() {
        let information = read(json!({
            "client_id": "c", "client_secret": "planted", "client_id_issued_at": 1,
            "client_secret_expires_at": 0, "registration_access_token": "planted",
            "registration_client_uri": "https://idp.example/reg/c", "registration_access_token_expires_in": 5,
            "scope": "a b", "jwks": null, "metadata": {}, "client_uri": "", "response_types": [], "unheard_of": {"of": [1, 2.5, null]},
            "token_endpoint_auth_method": ["client_secret_post"],
        }));
        let expected = json!({
            "scope": "a b", "unheard_of": {"of": [1, 2.5, null]}, "response_types": [],
            "token_endpoint_auth_method": "client_secret_post",
        });
        assert_eq!(Value::Object(information.metadata()), expected);
        assert!(!format!("{information:?}").contains("planted"));
    }

    #[test]
    fn times_are_read_in_every_form_and_zero_is_never() {
        for (written, read_as) in [
            (json!(0), None),
            (json!(1_900_000_000), Some(1_900_000_000)),
            (json!(1_900_000_000.7), Some(1_900_000_000)),
            (json!("1900000000"), Some(1_900_000_000)),
            (json!(null), None),
            (json!("soon"), None),
        ] {
            let information = read(json!({"client_id": "c", "client_secret_expires_at": written}));
            let end = information.secret_expires_at();
            assert_eq!(end.map(Timestamp::as_second), read_as, "{written}");
        }
    }

    #[test]
    fn an_empty_secret_is_none() {
        let information =
            read(json!({"client_id": "c", "client_secret": "", "registration_access_token": null}));
        assert!(information.client_secret.is_none());
        assert!(information.registration_access_token.is_none());
    }
}
