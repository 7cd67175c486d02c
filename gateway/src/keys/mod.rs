//! API keys: made, kept as hashes, and judged before anything else of a call is looked at.
//!
//! A key opens its own provider and no other.

mod judge;

use std::fmt;

use dcr_contract::model::Malformed;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;

pub(crate) use self::judge::{Denial, Key, Keys};
use crate::sha256::Sha256;

/// The header of Konnect's specification.
pub(crate) const HEADER: &str = "x-api-key";

/// SHA-256 of an API key. Keys of [`generate`] hold 256 random bits, so a slow hash would add nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyHash(Sha256);

/// One key of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's hash.
    pub hash: KeyHash,
    /// From when on it opens nothing; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it opens nothing any more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// A key's name in metrics and audit log: the first 8 digits of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl KeyHash {
    /// The key's name.
    pub(crate) fn id(&self) -> KeyId {
        let [a, b, c, d, ..] = *self.0.as_bytes();
        KeyId(u32::from_be_bytes([a, b, c, d]))
    }

    /// Hashes a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::of(key))
    }

    /// Parses `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// `Malformed` says what is expected; the text is not repeated, for it might be a key.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let digits = text.strip_prefix("sha256:");
        digits.and_then(Sha256::parse).map(Self).ok_or_else(|| {
            Malformed::new(
                "must be sha256: and 64 hexadecimal digits, as `dcr-gateway new-key` prints",
            )
        })
    }
}

/// The form that [`KeyHash::parse`] reads.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// Makes a key that Konnect takes: `dcrb_` and 43 letters and digits, 256 random bits.
///
/// # Errors
/// When the system has no randomness to give.
pub fn generate() -> Result<SecretString, ring::error::Unspecified> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const PREFIX: &str = "dcrb_";
    /// 43 × log2(62) = 256.03.
    const RANDOM: usize = 43;
    let random = SystemRandom::new();
    let mut key = String::with_capacity(PREFIX.len() + RANDOM);
    key.push_str(PREFIX);
    while key.len() < PREFIX.len() + RANDOM {
        let mut bytes = [0; 64];
        random.fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte; what is above would favour the first letters.
        let letters = bytes.iter().filter(|byte| **byte < 248);
        let letters = letters.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
        let missing = PREFIX.len() + RANDOM - key.len();
        key.extend(letters.take(missing).map(|letter| char::from(*letter)));
    }
    Ok(key.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "to look at the key")]
    fn a_new_key_is_one_that_konnect_takes_and_its_hash_opens() {
        let made = generate().unwrap();
        let text = made.expose_secret();
        assert_eq!(text.len(), 48);
        assert!(text.starts_with("dcrb_"));
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        assert_ne!(text, generate().unwrap().expose_secret());
        let hash = KeyHash::of(text.as_bytes());
        assert_eq!(KeyHash::parse(&hash.to_string()).unwrap(), hash);
    }

    #[test]
    fn every_letter_is_as_likely_in_a_new_key() {
        let mut counts = [0_u32; 128];
        for _ in 0..1000 {
            #[expect(clippy::disallowed_methods, reason = "to look at the key")]
            let key = generate().unwrap().expose_secret().to_owned();
            key.bytes()
                .skip(5)
                .for_each(|b| counts[usize::from(b)] += 1);
        }
        let seen: Vec<_> = counts.into_iter().filter(|count| *count > 0).collect();
        assert_eq!(seen.len(), 62);
        // 43,000 draws of 62: 694 each, standard deviation 26. A biased draw gives some 840.
        assert!(
            seen.iter().all(|count| (500..840).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn a_hash_is_64_hexadecimal_digits_and_is_not_printed_as_debug() {
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of(b"abc").to_string(), known);
        assert_eq!(KeyHash::parse(known).unwrap(), KeyHash::of(b"abc"));
        let short = known.get(..70).unwrap();
        let odd = known.replace("ba78", "bag8");
        for bad in [
            "",
            "sha256:",
            "abc",
            short,
            &odd,
            &known.replace("sha256", "md5"),
        ] {
            assert!(KeyHash::parse(bad).is_err(), "{bad:?}");
        }
        assert!(KeyHash::parse(&"sha256:é".replace('é', &"é".repeat(32))).is_err());
        assert!(!format!("{:?}", KeyHash::of(b"abc")).contains("ba78"));
    }
}
