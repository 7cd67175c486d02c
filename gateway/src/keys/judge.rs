//! The keys of all providers, and whether one of them opens the provider that is called.
//!
//! Every judgement compares with every key of every provider, so that neither the time nor the answer tells an unknown
//! provider from a wrong key.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dcr_contract::model::ProviderId;
use dcr_runtime::rate::{Gate, Rate};
use http::HeaderMap;
use jiff::Timestamp;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{ApiKey, HEADER, KeyHash, KeyId};

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

/// A key and its life so far.
#[derive(Debug)]
pub(crate) struct Key {
    /// The number of its provider.
    owner: usize,
    /// Its provider, also when that has another number.
    provider: ProviderId,
    pub(crate) configured: ApiKey,
    life: Arc<Life>,
}

/// What has been counted of a provider's key, whatever its configuration was.
#[derive(Debug, Default)]
struct Life {
    calls: Gate,
    /// In seconds since the epoch; 0 before the first call.
    last_used: AtomicI64,
}

impl Key {
    /// Its name.
    pub(crate) fn id(&self) -> KeyId {
        self.configured.hash.id()
    }

    /// Notes that it opened its provider just now.
    pub(crate) fn used(&self, now: Timestamp) {
        let life = &self.life;
        life.last_used.store(now.as_second(), Ordering::Relaxed);
    }

    /// When it last opened its provider, in seconds since the epoch.
    pub(crate) fn last_used(&self) -> Option<i64> {
        let then = self.life.last_used.load(Ordering::Relaxed);
        Some(then).filter(|then| *then != 0)
    }

    /// Counts a call with it.
    ///
    /// # Errors
    /// How long to wait, when there were more than the rate allows.
    pub(crate) fn pass(&self, rate: &Rate) -> Result<(), Duration> {
        self.life.calls.pass(rate)
    }
}

/// The keys of all providers; a provider is a number here.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// The keys of the providers in this order. What has been counted of a provider's key goes on from `before`.
    pub(crate) fn new<'k>(
        providers: impl IntoIterator<Item = (&'k ProviderId, &'k [ApiKey])>,
        before: Option<&Self>,
    ) -> Self {
        let before = before.map_or(&[][..], |keys| &keys.0);
        let life = |provider: &ProviderId, key: &ApiKey| {
            let same = before
                .iter()
                .find(|known| known.provider == *provider && known.configured.hash == key.hash);
            same.map(|known| Arc::clone(&known.life))
                .unwrap_or_default()
        };
        let numbered = providers.into_iter().enumerate();
        let keys =
            numbered.flat_map(|(owner, (id, keys))| keys.iter().map(move |key| (owner, id, key)));
        let key = |(owner, provider, key): (usize, &ProviderId, &ApiKey)| Key {
            owner,
            provider: provider.clone(),
            configured: key.clone(),
            life: life(provider, key),
        };
        Self(keys.map(key).collect())
    }

    /// The keys of a provider.
    pub(crate) fn of(&self, provider: usize) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| key.owner == provider)
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
    ) -> Result<&Key, Denial> {
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
        let (mut late, mut elsewhere) = (no, no);
        // The place of the one that opens; beyond the last where none does.
        let mut place = u64::MAX;
        for (number, key) in (0_u64..).zip(&self.0) {
            let Key {
                owner,
                configured: key,
                ..
            } = key;
            let same = hash.0.as_bytes().ct_eq(key.hash.0.as_bytes());
            let own = Choice::from(u8::from(provider == Some(*owner)));
            let expired = Choice::from(u8::from(key.is_expired(now)));
            place.conditional_assign(&number, same & own & !expired);
            late |= same & own & expired;
            elsewhere |= same & !own;
        }
        let opens = usize::try_from(place).ok();
        match (opens.and_then(|place| self.0.get(place)), provider) {
            (Some(key), _) => Ok(key),
            (None, None) => Err(Denial::UnknownProvider),
            (None, Some(_)) if late.into() => Err(Denial::Expired),
            (None, Some(_)) if elsewhere.into() => Err(Denial::OtherProvider),
            (None, Some(_)) => Err(Denial::UnknownKey),
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn id(text: &str) -> ProviderId {
        ProviderId::parse(text).unwrap()
    }

    fn judge(provider: Option<usize>, values: &[&[u8]]) -> Result<(), Denial> {
        let end = Some("2026-01-01T00:00:00Z");
        let first = [key(FIRST, Some("2026-01-01T00:00:01Z")), key(OLD, end)];
        let (one, two) = (id("one"), id("two"));
        let keys = Keys::new([(&one, &first[..]), (&two, &[key(SECOND, None)])], None);
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
    fn each_key_has_its_own_rate_and_keeps_what_was_counted_when_others_come() {
        let rate = Rate::per_minute(1, 1);
        let (first, second) = (key(FIRST, None), key(SECOND, None));
        let (one, two) = (id("one"), id("two"));
        let before = Keys::new([(&two, &[first.clone()][..])], None);
        let passes = |keys: &Keys, provider| {
            let passes = |key: &Key| key.pass(&rate).is_ok();
            keys.of(provider).map(passes).collect::<Vec<_>>()
        };
        assert_eq!(passes(&before, 0), [true]);
        // Nor does it count with another provider that has the same key.
        let copied = [first.clone()];
        let after = Keys::new(
            [(&one, &copied[..]), (&two, &[second, first])],
            Some(&before),
        );
        assert_eq!(passes(&after, 1), [true, false]);
        assert_eq!(passes(&after, 0), [true]);
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
}
