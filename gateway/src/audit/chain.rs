//! The hash chain: each line holds the SHA-256 of the line before it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::sha256::Sha256;

/// The version of the lines' format.
const VERSION: u32 = 1;
/// What every line begins with.
pub(super) const HEAD: &[u8] = br#"{"v":1,"time":""#;

/// SHA-256 of a line's bytes, without the newline at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(Sha256);

impl Hash {
    pub(super) fn of(line: &[u8]) -> Self {
        Self(Sha256::of(line))
    }

    /// Parses 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Sha256::parse(text).map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("must be 64 hexadecimal digits"))
    }
}

/// The end of a chain, to which lines are appended.
#[derive(Debug)]
pub(super) struct Chain {
    id: Uuid,
    seq: u64,
    last: Option<Hash>,
}

impl Chain {
    /// A new chain; `last` is the line that its first one follows.
    pub(super) fn following(last: Option<Hash>) -> Self {
        Self {
            id: Uuid::now_v7(),
            seq: 0,
            last,
        }
    }

    /// Appends what happened, as a line with its newline.
    pub(super) fn append(
        &mut self,
        what: &impl Serialize,
        lines: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        #[derive(Serialize)]
        struct Line<'a, W> {
            v: u32,
            time: Timestamp,
            chain: &'a str,
            seq: u64,
            prev: Option<Hash>,
            #[serde(flatten)]
            what: &'a W,
        }
        let begin = lines.len();
        let mut id = Uuid::encode_buffer();
        let line = Line {
            v: VERSION,
            time: Timestamp::now(),
            chain: self.id.hyphenated().encode_lower(&mut id),
            seq: self.seq,
            prev: self.last,
            what,
        };
        serde_json::to_writer(&mut *lines, &line)?;
        self.last = lines.get(begin..).map(Hash::of);
        self.seq += 1;
        lines.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_begins_with_the_head() {
        let mut lines = Vec::new();
        let nothing = std::collections::BTreeMap::<String, String>::new();
        Chain::following(None).append(&nothing, &mut lines).unwrap();
        assert!(lines.starts_with(HEAD), "{}", lines.escape_ascii());
    }
}
