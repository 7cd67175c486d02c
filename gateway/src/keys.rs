//! API keys: made, kept as hashes, and judged before anything else of a call is looked at.
//!
//! A key opens its own provider and no other. Every judgement compares with every key of every provider, so that
//! neither the time nor the answer tells an unknown provider from a wrong key.

use std::fmt::{self, Write as _};

use dcr_contract::model::Malformed;
use http::HeaderMap;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

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

impl EncodeLabelValue for KeyId {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{self}")
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

/// Why a call was not let in: for log and metrics. Konnect is told the same whichever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No header.
    Missing,
    /// More than one header.
    Repeated,
    /// Not 12 to 256 of `A-Z a-z 0-9 _`.
    Malformed,
    /// The path belongs to no provider.
    UnknownProvider,
    /// The key is nobody's.
    UnknownKey,
    /// The key opens another provider.
    OtherProvider,
    /// The provider's own key, too late.
    Expired,
}

impl Denial {
    /// A short name for logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing_key",
            Self::Repeated => "repeated_key",
            Self::Malformed => "malformed_key",
            Self::UnknownProvider => "unknown_provider",
            Self::UnknownKey => "unknown_key",
            Self::OtherProvider => "key_of_another_provider",
            Self::Expired => "expired_key",
        }
    }
}

/// The keys of all providers; a provider is a number here.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<(usize, ApiKey)>);

impl Keys {
    /// Adds the keys of a provider.
    pub(crate) fn add(&mut self, provider: usize, keys: &[ApiKey]) {
        self.0
            .extend(keys.iter().map(|key| (provider, key.clone())));
    }

    /// The keys of a provider.
    pub(crate) fn of(&self, provider: usize) -> impl Iterator<Item = &ApiKey> {
        let own = self.0.iter().filter(move |(owner, _)| *owner == provider);
        own.map(|(_, key)| key)
    }

    /// Judges the key of a call to that provider (`None`: the path is nobody's), and tells which one it is.
    ///
    /// # Errors
    /// Unless exactly one header holds a key of this provider that has not expired.
    pub(crate) fn judge(
        &self,
        provider: Option<usize>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<KeyId, Denial> {
        let mut values = headers.get_all(HEADER).iter();
        let presented = values.next().ok_or(Denial::Missing)?.as_bytes();
        if values.next().is_some() {
            return Err(Denial::Repeated);
        }
        let legal = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        if !(12..=256).contains(&presented.len()) || !presented.iter().all(legal) {
            return Err(Denial::Malformed);
        }
        let hash = KeyHash::of(presented);
        // No early exit, here or within a comparison.
        let no = Choice::from(0);
        let (mut opens, mut late, mut elsewhere) = (no, no, no);
        let mut id = 0;
        for (owner, key) in &self.0 {
            let same = hash.0.as_bytes().ct_eq(key.hash.0.as_bytes());
            let own = Choice::from(u8::from(provider == Some(*owner)));
            let expired = Choice::from(u8::from(key.is_expired(now)));
            opens |= same & own & !expired;
            id.conditional_assign(&key.hash.id().0, same & own & !expired);
            late |= same & own & expired;
            elsewhere |= same & !own;
        }
        match (bool::from(opens), provider) {
            (true, _) => Ok(KeyId(id)),
            (false, None) => Err(Denial::UnknownProvider),
            (false, Some(_)) if late.into() => Err(Denial::Expired),
            (false, Some(_)) if elsewhere.into() => Err(Denial::OtherProvider),
            (false, Some(_)) => Err(Denial::UnknownKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const FIRST: &str = "first_key_0123456789";
    const SECOND: &str = "second_key_0123456789";
    const OLD: &str = "old_key_0123456789";

    fn key(text: &str, expires_at: Option<&str>) -> ApiKey {
        ApiKey {
            hash: KeyHash::of(text.as_bytes()),
            expires_at: expires_at.map(|t| t.parse().unwrap()),
        }
    }

    fn judge(provider: Option<usize>, values: &[&[u8]]) -> Result<(), Denial> {
        let mut keys = Keys::default();
        let end = Some("2026-01-01T00:00:00Z");
        keys.add(
            0,
            &[key(FIRST, Some("2026-01-01T00:00:01Z")), key(OLD, end)],
        );
        keys.add(1, &[key(SECOND, None)]);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, http::HeaderValue::from_bytes(value).unwrap());
        }
        keys.judge(provider, &headers, "2026-01-01T00:00:00Z".parse().unwrap())
            .map(|_| ())
    }

    #[test]
    fn a_key_opens_its_own_provider_and_no_other() {
        assert_eq!(judge(Some(0), &[FIRST.as_bytes()]), Ok(()));
        assert_eq!(judge(Some(1), &[SECOND.as_bytes()]), Ok(()));
        assert_eq!(
            judge(Some(1), &[FIRST.as_bytes()]),
            Err(Denial::OtherProvider)
        );
        assert_eq!(
            judge(Some(0), &[SECOND.as_bytes()]),
            Err(Denial::OtherProvider)
        );
        assert_eq!(
            judge(None, &[FIRST.as_bytes()]),
            Err(Denial::UnknownProvider)
        );
    }

    #[test]
    fn an_expired_key_opens_nothing_from_the_very_moment() {
        assert_eq!(judge(Some(0), &[OLD.as_bytes()]), Err(Denial::Expired));
    }

    #[test]
    fn exactly_one_header_of_konnects_form_is_accepted() {
        assert_eq!(judge(Some(0), &[]), Err(Denial::Missing));
        let twice = [FIRST.as_bytes(), FIRST.as_bytes()];
        assert_eq!(judge(Some(0), &twice), Err(Denial::Repeated));
        assert_eq!(
            judge(Some(0), &[b"", FIRST.as_bytes()]),
            Err(Denial::Repeated)
        );
        let long = [b'a'; 257];
        for bad in [
            &b""[..],
            b"short_key_1",
            b"first_key_0123456789,first_key_0123456789",
            b"key-with-hyphens",
            b"key\xffwith_bytes",
            &long,
        ] {
            assert_eq!(judge(Some(0), &[bad]), Err(Denial::Malformed));
        }
        assert_eq!(
            judge(Some(0), &[b"no_such_key_0123456789"]),
            Err(Denial::UnknownKey)
        );
        assert_eq!(
            judge(Some(0), &[FIRST.to_uppercase().as_bytes()]),
            Err(Denial::UnknownKey)
        );
    }

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
