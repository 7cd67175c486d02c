//! Konnect's schemas (`openapi.yaml`, `components.schemas`) as closed types: what is not in them does not parse.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// `ApplicationResponse`: the answer to a create.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The client's id at the IdP.
    pub client_id: ClientId,
    /// Its first secret.
    pub client_secret: ClientSecret,
    /// When it was made.
    #[serde(default, deserialize_with = "present")]
    pub client_id_issued_at: Option<DateTime>,
    /// When the secret stops working.
    #[serde(default, deserialize_with = "present")]
    pub client_secret_expires_at: Option<DateTime>,
}

/// `SecretResponse`: the answer to a rotation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The client that was asked for.
    pub client_id: ClientId,
    /// The only secret that works from now on.
    pub client_secret: ClientSecret,
}

/// `SecretMetadata`: one entry of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretMetadata {
    /// The IdP's name for the secret.
    pub secret_id: String,
    /// The client that was asked for.
    pub client_id: ClientId,
    /// Whether it works.
    pub status: SecretStatus,
    /// When it was made; absent when unknown, never null.
    #[serde(default, deserialize_with = "present")]
    pub created_at: Option<DateTime>,
    /// When it stops working.
    #[serde(default)]
    pub expires_at: Option<DateTime>,
}

/// `SecretStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SecretStatus {
    /// It works.
    Active,
    /// It does not.
    Inactive,
}

/// `SecretListResponse`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretList {
    /// What is known about each secret.
    pub secrets: Vec<SecretMetadata>,
}

/// `SecretWithIdResponse`: the answer to an added secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretWithId {
    /// The IdP's name for the secret.
    pub secret_id: String,
    /// The client that was asked for.
    pub client_id: ClientId,
    /// The only copy of the secret.
    pub client_secret: ClientSecret,
    /// When it was made.
    #[serde(default, deserialize_with = "present")]
    pub created_at: Option<DateTime>,
    /// When it stops working.
    #[serde(default)]
    pub expires_at: Option<DateTime>,
}

/// `BadRequestResponse` and `UnauthorizedResponse`, and what every other failure has to look like too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// A word for programs.
    pub error: String,
    /// A sentence for people.
    pub error_description: String,
}

/// What the Portal API can hold as a client id: 1 to 255 characters.
pub type ClientId = Short;
/// What the Portal API can hold as a client secret: 1 to 255 characters.
pub type ClientSecret = Short;

/// A text of 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Short(String);

impl std::ops::Deref for Short {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.chars().count() {
            1..=255 => Ok(Self(text)),
            count => Err(D::Error::custom(format!(
                "{count} characters where 1 to 255 fit"
            ))),
        }
    }
}

/// `format: date-time`: RFC 3339 section 5.6, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(pub Timestamp);

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("{text:?} is no RFC 3339 date-time"));
        // The parser below takes more than RFC 3339 has: a space for the T, no seconds, a zone in brackets.
        let (date, time) = text.split_once('T').ok_or_else(wrong)?;
        let zone = time.find(['Z', '+', '-']).ok_or_else(wrong)?;
        let (clock, zone) = time.split_at(zone);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let shaped = is_like(date, "0000-00-00")
            && is_like(clock, "00:00:00")
            && !fraction.is_empty()
            && fraction.bytes().all(|b| b.is_ascii_digit())
            && (zone == "Z" || is_like(zone, "+00:00") || is_like(zone, "-00:00"));
        if !shaped {
            return Err(wrong());
        }
        text.parse().map(Self).map_err(|_| wrong())
    }
}

/// Whether a text has a digit where the pattern has a 0, and the pattern's own character elsewhere.
fn is_like(text: &str, pattern: &str) -> bool {
    let fits = |(t, p): (u8, u8)| {
        if p == b'0' {
            t.is_ascii_digit()
        } else {
            t == p
        }
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

/// A member that may be absent but is not null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: for<'de> Deserialize<'de>>(json: &str) -> bool {
        serde_json::from_str::<T>(json).is_ok()
    }

    #[test]
    fn only_rfc_3339_is_a_date_time() {
        for good in [
            "2026-09-01T08:30:00Z",
            "2026-09-01T08:30:00.123456Z",
            "2026-09-01T08:30:00+02:00",
        ] {
            assert!(
                reads::<DateTime>(&format!("{good:?}")),
                "{good} was refused"
            );
        }
        for bad in [
            "2026-09-01",
            "2026-09-01 08:30:00Z",
            "2026-09-01T08:30Z",
            "2026-09-01T08:30:00",
            "2026-09-01T08:30:00.Z",
            "2026-09-01T08:30:00+02",
            "2026-13-01T08:30:00Z",
            "2026-09-01T08:30:00+02:00[Europe/Berlin]",
            "1700825336",
        ] {
            assert!(
                !reads::<DateTime>(&format!("{bad:?}")),
                "{bad} was accepted"
            );
        }
        assert!(!reads::<DateTime>("1700825336"));
    }

    #[test]
    fn an_application_has_the_members_of_the_contract_and_no_others() {
        assert!(reads::<Application>(
            r#"{"client_id":"a","client_secret":"b"}"#
        ));
        for bad in [
            r#"{"client_id":"a"}"#,
            r#"{"client_id":"a","client_secret":null}"#,
            r#"{"client_id":"","client_secret":"b"}"#,
            r#"{"client_id":"a","client_secret":"b","client_id_issued_at":null}"#,
            r#"{"client_id":"a","client_secret":"b","client_id_issued_at":1700825336}"#,
            r#"{"client_id":"a","client_secret":"b","client_secret_expires_at":0}"#,
            r#"{"client_id":"a","client_secret":"b","registration_access_token":"c"}"#,
            r#"{"client_id":"a","client_id":"a","client_secret":"b"}"#,
        ] {
            assert!(!reads::<Application>(bad), "{bad} was accepted");
        }
        let long = "x".repeat(256);
        assert!(!reads::<Application>(&format!(
            r#"{{"client_id":"a","client_secret":"{long}"}}"#
        )));
    }

    #[test]
    fn a_secret_of_a_list_may_expire_never_but_was_not_made_never() {
        let with = |more: &str| {
            format!(
                r#"{{"secrets":[{{"secret_id":"s","client_id":"a","status":"ACTIVE"{more}}}]}}"#
            )
        };
        assert!(reads::<SecretList>(&with("")));
        assert!(reads::<SecretList>(&with(r#","expires_at":null"#)));
        assert!(!reads::<SecretList>(&with(r#","created_at":null"#)));
        assert!(!reads::<SecretList>(&with(r#","client_secret":"b""#)));
        assert!(!reads::<SecretList>(&with("").replace("ACTIVE", "active")));
    }

    #[test]
    fn an_added_secret_has_no_status() {
        let bare = r#"{"secret_id":"s","client_id":"a","client_secret":"b"}"#;
        assert!(reads::<SecretWithId>(bare));
        assert!(!reads::<SecretWithId>(
            &bare.replace('}', r#","status":"ACTIVE"}"#)
        ));
        assert!(!reads::<SecretWithId>(
            &bare.replace('}', r#","created_at":null}"#)
        ));
    }
}
