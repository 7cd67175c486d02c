//! Texts for people, and the small texts that go into tokens.

use std::fmt;

use super::Malformed;

/// Control characters and the separators that break a log line or a form field.
fn breaks_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// `Malformed` says which rule is broken.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(text) {
                    None => Ok(Self(text.into())),
                    Some(rule) => Err(Malformed::new(rule)),
                }
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
    };
}

text! {
    /// The name of an application, 1 to 255 characters, not blank, no control characters.
    ClientName, |t| match t {
        _ if t.trim().is_empty() => Some("must not be empty"),
        _ if t.chars().count() > 255 => Some("must have at most 255 characters"),
        _ if t.contains(breaks_a_line) => Some("must not hold control characters"),
        _ => None,
    }
}

text! {
    /// The description of an application, 0 to 255 characters. Line breaks and tabs are legal, other control
    /// characters are not.
    Description, |t| match t {
        _ if t.chars().count() > 255 => Some("must have at most 255 characters"),
        _ if t.contains(|c: char| breaks_a_line(c) && !matches!(c, '\n' | '\r' | '\t')) => {
            Some("must not hold control characters")
        }
        _ => None,
    }
}

text! {
    /// A scope token: 1 to 128 characters of RFC 6749 section 3.3.
    Scope, |t| match t {
        _ if t.is_empty() || t.len() > 128 => Some("must have 1 to 128 characters"),
        _ if !t.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) => {
            Some("must hold only printable ASCII without space, \" and \\ (RFC 6749 section 3.3)")
        }
        _ => None,
    }
}

text! {
    /// The audience of an API, 1 to 255 printable ASCII characters without spaces.
    Audience, |t| match t {
        _ if t.is_empty() || t.len() > 255 => Some("must have 1 to 255 characters"),
        _ if !t.bytes().all(|b| b.is_ascii_graphic()) => Some("must hold only printable ASCII without spaces"),
        _ => None,
    }
}

text! {
    /// An id of Konnect's, 1 to 128 printable characters. Opaque: Konnect's Verify sends some that are no UUIDs.
    OpaqueId, |t| match t {
        _ if t.is_empty() || t.chars().count() > 128 => Some("must have 1 to 128 characters"),
        _ if t.contains(breaks_a_line) => Some("must not hold control characters"),
        _ => None,
    }
}

macro_rules! truncates {
    ($name:ident) => {
        impl $name {
            /// The text cut after at most `limit` characters, and whether anything was cut.
            #[must_use]
            pub fn truncated(&self, limit: usize) -> (&str, bool) {
                match self.0.char_indices().nth(limit) {
                    Some((end, _)) => (self.0.get(..end).unwrap_or_default(), true),
                    None => (&self.0, false),
                }
            }
        }
    };
}

truncates!(ClientName);
truncates!(Description);

/// At most `most` characters of any text, on one line and as it reads: control characters, and those that are not seen
/// or turn a text around, become spaces, and what a browser could take for markup becomes something else.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let harmless = |c| match c {
        '<' => '\u{2039}',
        '>' => '\u{203a}',
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => ' ',
        _ if breaks_a_line(c) => ' ',
        _ => c,
    };
    text.chars().map(harmless).take(most).collect()
}

/// A sentence that may be shown to Konnect's administrator: at most 200 printable characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence(Box<str>);

impl Sentence {
    /// Makes one of any text: control and invisible characters become spaces, angle brackets others of their kind, and
    /// what is beyond 200 characters goes.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(printable(text, 200).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_characters_not_bytes() {
        assert!(ClientName::parse(&"ß".repeat(255)).is_ok());
        assert!(ClientName::parse(&"ß".repeat(256)).is_err());
        for bad in ["", "  ", "a\nb", "a\u{0}b", "a\u{2028}b", "a\u{85}b"] {
            assert!(ClientName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn truncation_ends_at_a_character() {
        let name = ClientName::parse("aßc").unwrap();
        assert_eq!(name.truncated(2), ("aß", true));
        assert_eq!(name.truncated(3), ("aßc", false));
        assert_eq!(Description::parse("").unwrap().truncated(5), ("", false));
    }

    #[test]
    fn descriptions_may_be_empty_and_have_lines() {
        assert!(Description::parse("").is_ok());
        assert!(Description::parse("a\nb\tc").is_ok());
        assert!(Description::parse("a\u{7}").is_err());
        assert!(Description::parse(&"x".repeat(256)).is_err());
    }

    #[test]
    fn scopes_follow_rfc_6749() {
        assert!(Scope::parse("https://api.example/read:all").is_ok());
        for bad in ["", "a b", "a\"b", "a\\b", "ä", "a\u{7f}", &*"s".repeat(129)] {
            assert!(Scope::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_sentence_is_short_and_has_one_line() {
        assert_eq!(Sentence::new("a\r\nb\u{1b}[31m").as_str(), "a  b [31m");
        assert_eq!(Sentence::new("<b>\u{202e}x").as_str(), "‹b› x");
        assert_eq!(
            Sentence::new(&"é".repeat(300)).as_str().chars().count(),
            200
        );
    }
}
