//! The keys that rows are sealed with: one is current, all of them open.

use std::collections::BTreeMap;
use std::fmt;

use aes_gcm_siv::aead::{AeadInOut, Generate, Key as Bytes, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Tells whether two keys of one name are the same key.
pub(super) type CheckValue = [u8; 4];

/// The keys of a configuration.
pub(super) struct Keyring {
    current: String,
    keys: BTreeMap<String, Key>,
}

/// One key.
pub(super) struct Key {
    pub(super) cipher: Aes256GcmSiv,
    pub(super) check: CheckValue,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Keys by their ids; `None` when the current one is not among them.
    pub(super) fn new(current: &str, keys: BTreeMap<String, Key>) -> Option<Self> {
        let current = current.to_owned();
        keys.contains_key(&current)
            .then_some(Self { current, keys })
    }

    /// The id of the current key.
    pub(super) fn current_id(&self) -> &str {
        &self.current
    }

    /// The key of that id.
    pub(super) fn key(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }
}

impl Key {
    /// Reads what [`new_key`] printed; `None` when it is anything else.
    pub(super) fn parse(text: &SecretString) -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a key is made of its file's content"
        )]
        let text = text.expose_secret();
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        let cipher = Aes256GcmSiv::new(Bytes::<Aes256GcmSiv>::cast_from_core(&bytes));
        // One fixed message under one fixed nonce, which this mode permits: it tells nothing but whether it was met
        // before.
        let mut tag = Vec::with_capacity(16);
        cipher
            .encrypt_in_place(&Nonce::default(), b"dcr-store: which key is it?", &mut tag)
            .ok()?;
        let check = *tag.first_chunk()?;
        Some(Self { cipher, check })
    }
}

/// A new key as its file holds it: 32 random bytes in base64. `None` when the system has no randomness to give.
pub(super) fn new_key() -> Option<SecretString> {
    let key = Zeroizing::new(<[u8; 32]>::try_generate().ok()?);
    Some(STANDARD.encode(key.as_slice()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_and_no_two_are_the_same() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        let check = |key: &SecretString| Key::parse(key).unwrap().check;
        assert_eq!(check(&one), check(&one));
        assert_ne!(check(&one), check(&other));
    }

    #[test]
    fn what_is_not_32_bytes_of_base64_is_no_key() {
        for bad in [
            "short",
            "AAAA",
            &"A".repeat(44),
            "not base64 not base64 not base64 not base64 ",
        ] {
            assert!(Key::parse(&bad.to_owned().into()).is_none(), "{bad}");
        }
    }
}
