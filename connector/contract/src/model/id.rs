//! Identifiers: of clients and secrets (the IdP's), of operations, providers and installations (ours).

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::Malformed;

/// Whether a character may stand in a path segment as it is: RFC 3986 `pchar` without `%`.
const fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

fn path_segment(text: &str) -> Result<Box<str>, Malformed> {
    if text.is_empty() || text.len() > 255 {
        return Err(Malformed::new("must have 1 to 255 characters"));
    }
    if !text.bytes().all(is_pchar) {
        return Err(Malformed::new(
            "must hold only letters, digits and -._~!$&'()*+,;=:@ (RFC 3986 pchar without %)",
        ));
    }
    if text == "." || text == ".." {
        return Err(Malformed::new("must not be `.` or `..`"));
    }
    Ok(text.into())
}

macro_rules! path_segment_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 255 characters of RFC 3986 `pchar` without `%`, never `.` or `..`: one parser for what
        /// comes in a path and for what an IdP answers, so that whatever is delivered can be named later.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the decoded text.
            ///
            /// # Errors
            /// `Malformed` says which rule is broken.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                path_segment(text).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::parse(text)
            }
        }
    };
}

path_segment_id! {
    /// The OAuth `client_id` at the IdP.
    ClientId
}

path_segment_id! {
    /// The IdP's name for one secret of a client, stable between calls.
    SecretId
}

fn dns_label(text: &str) -> Result<Box<str>, Malformed> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
        return Err(Malformed::new("must be 1 to 64 of a-z, 0-9 and -"));
    }
    Ok(text.into())
}

macro_rules! label_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 64 of `a-z`, `0-9` and `-`. Part of every mark, so it may never change.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// `Malformed` says which rule is broken.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                dns_label(text).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::parse(text)
            }
        }
    };
}

label_id! {
    /// One installation of the bridge: what keeps two bridges on one IdP apart.
    Installation
}

label_id! {
    /// One DCR provider configured in Konnect, as the gateway's configuration names it.
    ProviderId
}

/// The name of one mutating call, a UUIDv7: it tells when the call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(Uuid);

impl OperationId {
    /// Makes a new one; its time is now.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Parses the canonical text form (lower case, with hyphens).
    ///
    /// # Errors
    /// `Malformed` unless it is a UUIDv7 in that form.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.get_version_num() == 7 && uuid.as_hyphenated().to_string() == text => {
                Ok(Self(uuid))
            }
            _ => Err(Malformed::new(
                "must be a UUIDv7 in its canonical text form",
            )),
        }
    }

    /// How long ago it was made, by this machine's clock; zero when it is from the future.
    #[must_use]
    pub fn age(&self) -> Duration {
        let made = self.0.get_timestamp().map_or((0, 0), |t| t.to_unix());
        let made = UNIX_EPOCH + Duration::new(made.0, made.1);
        SystemTime::now().duration_since(made).unwrap_or_default()
    }

    /// The 32 hexadecimal digits without hyphens.
    #[must_use]
    pub fn simple(&self) -> String {
        self.0.as_simple().to_string()
    }

    /// The id of the client that it makes where the IdP lets the caller choose one: `dcr-` and the 32 hexadecimal digits,
    /// so that the client is known again without a search.
    #[must_use]
    pub fn client_id(&self) -> String {
        format!("dcr-{}", self.simple())
    }

    /// Reads what [`OperationId::simple`] wrote.
    ///
    /// # Errors
    /// `Malformed` unless it is a UUIDv7 of 32 lower-case hexadecimal digits.
    pub fn parse_simple(text: &str) -> Result<Self, Malformed> {
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.get_version_num() == 7 && uuid.as_simple().to_string() == text => {
                Ok(Self(uuid))
            }
            _ => Err(Malformed::new("must be a UUIDv7 of 32 hexadecimal digits")),
        }
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The name of one HTTP call in the logs of gateway and connector, shown to Konnect's administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(Box<str>);

impl Reference {
    /// Makes a new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7().as_simple().to_string().into())
    }

    /// Takes over a reference that came with a gRPC call; anything but 1 to 64 letters, digits and hyphens is
    /// replaced by a new one, since references go into logs.
    #[must_use]
    pub fn accept(text: Option<&str>) -> Self {
        let legal = |t: &&str| {
            !t.is_empty()
                && t.len() <= 64
                && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        text.filter(legal)
            .map_or_else(Self::generate, |t| Self(t.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_what_a_path_can_carry() {
        let longest = "a".repeat(255);
        for good in [
            "a",
            "0oa1b2",
            "https:is.no",
            "a@b",
            "...",
            "-._~!$&'()*+,;=:@",
            &longest,
        ] {
            assert_eq!(ClientId::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(256);
        for bad in [
            "", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "a b", "a\0", "a\r\nb", "ä",
            "a\"b", "<a>", "[a]", "a|b", "a^b", "`a`", "{a}", &too_long,
        ] {
            assert!(ClientId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn an_operation_id_tells_its_age_and_survives_both_text_forms() {
        let id = OperationId::generate();
        assert!(id.age() < Duration::from_secs(5));
        assert_eq!(OperationId::parse(&id.to_string()).unwrap(), id);
        assert_eq!(OperationId::parse_simple(&id.simple()).unwrap(), id);
        assert!(OperationId::parse(&id.simple()).is_err());
        assert!(OperationId::parse(&id.to_string().to_uppercase()).is_err());
        let v4 = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
        assert!(OperationId::parse(&v4.to_string()).is_err());
        let old = OperationId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert!(old.age() > Duration::from_hours(24));
    }

    #[test]
    fn a_reference_from_outside_cannot_forge_a_log_line() {
        assert_eq!(Reference::accept(Some("abc-1")).as_str(), "abc-1");
        for bad in [
            None,
            Some(""),
            Some("a b"),
            Some("a\nb"),
            Some(&*"a".repeat(65)),
        ] {
            assert_eq!(Reference::accept(bad).as_str().len(), 32);
        }
    }

    #[test]
    fn labels_are_lower_case_and_short() {
        assert!(ProviderId::parse("workforce-2").is_ok());
        for bad in ["", "A", "a_b", "a.b", &*"a".repeat(65)] {
            assert!(ProviderId::parse(bad).is_err());
            assert!(Installation::parse(bad).is_err());
        }
    }
}
