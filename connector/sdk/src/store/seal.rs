//! What of a row is secret or identifying, sealed with AES-256-GCM-SIV (RFC 8452).
//!
//! The columns that are searched stay readable and are bound to the sealed part as associated data: a row that was
//! swapped, cut or edited does not open, and neither does the sealed part of an older version of the same row.

use aes_gcm_siv::Nonce;
use aes_gcm_siv::aead::{AeadInOut, Generate};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keyring::{CheckValue, Key, Keyring};
use crate::grants::Registrations;

/// The first byte of what is sealed.
const FORMAT: u8 = 1;
const CHECK: usize = size_of::<CheckValue>();
const NONCE: usize = 12;

/// What is sealed.
#[derive(Default)]
pub(super) struct Content {
    pub(super) registration_token: Option<SecretString>,
    pub(super) client_uri: Option<String>,
    pub(super) metadata: String,
    pub(super) registrations: Registrations,
}

/// The same as JSON.
#[derive(Serialize, Deserialize)]
struct Written<T> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<T>,
    metadata: T,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    registrations: Vec<(String, String)>,
}

/// Why a row does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Closed {
    #[error(
        "is sealed with key `{0}`, which the keyring does not hold: add its file under `keyring.keys`"
    )]
    UnknownKey(String),
    #[error(
        "is sealed with another key than the file of key `{0}` holds: put the right key into that file"
    )]
    WrongKey(String),
    #[error(
        "was changed outside the connector (swapped, cut or edited) and is not used: restore it from a backup of the store"
    )]
    Damaged,
}

/// Seals with the current key; `None` when the system has no randomness to give.
pub(super) fn seal(keyring: &Keyring, bound: &[&str], content: &Content) -> Option<Vec<u8>> {
    let key = keyring.key(keyring.current_id())?;
    let plain = write(content)?;
    let nonce = Nonce::try_generate().ok()?;
    let mut sealed = Vec::with_capacity(1 + CHECK + NONCE + plain.len() + 16);
    sealed.push(FORMAT);
    sealed.extend(key.check);
    sealed.extend(nonce);
    let mut body = plain;
    let bound = associated(keyring.current_id(), bound);
    key.cipher
        .encrypt_in_place(&nonce, &bound, &mut *body)
        .ok()?;
    sealed.extend(body.iter());
    Some(sealed)
}

/// Opens what [`seal`] made with the key of that id.
pub(super) fn open(
    keyring: &Keyring,
    key_id: &str,
    bound: &[&str],
    sealed: &[u8],
) -> Result<Content, Closed> {
    let key = keyring
        .key(key_id)
        .ok_or_else(|| Closed::UnknownKey(key_id.to_owned()))?;
    let (check, nonce, body) = parts(sealed).ok_or(Closed::Damaged)?;
    let opened = decrypt(key, nonce, &associated(key_id, bound), body);
    match opened {
        Some(plain) => read(&plain).ok_or(Closed::Damaged),
        None if check != key.check => Err(Closed::WrongKey(key_id.to_owned())),
        None => Err(Closed::Damaged),
    }
}

fn parts(sealed: &[u8]) -> Option<(CheckValue, [u8; NONCE], &[u8])> {
    let (format, rest) = sealed.split_first()?;
    let (check, rest) = rest.split_first_chunk::<CHECK>()?;
    let (nonce, body) = rest.split_first_chunk::<NONCE>()?;
    (*format == FORMAT).then_some((*check, *nonce, body))
}

fn decrypt(key: &Key, nonce: [u8; NONCE], bound: &[u8], body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(body.to_vec());
    key.cipher
        .decrypt_in_place(&nonce.into(), bound, &mut *plain)
        .ok()?;
    Some(plain)
}

/// The associated data: each part with its length before it, so that no two rows have the same.
fn associated(key_id: &str, bound: &[&str]) -> Vec<u8> {
    let mut data = Vec::with_capacity(512);
    for part in ["dcr-store 1", key_id].iter().chain(bound) {
        data.extend((part.len() as u64).to_be_bytes());
        data.extend(part.as_bytes());
    }
    data
}

fn write(content: &Content) -> Option<Zeroizing<Vec<u8>>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the registration token goes into what is sealed"
    )]
    let token = content
        .registration_token
        .as_ref()
        .map(ExposeSecret::expose_secret);
    let registrations: Vec<_> = content
        .registrations
        .iter()
        .map(|r| Registrations::attribute(&r))
        .collect();
    let written = Written {
        token,
        uri: content.client_uri.as_deref(),
        metadata: content.metadata.as_str(),
        registrations,
    };
    // Reserved whole: a buffer that grows would leave copies of the token behind. Escapes at most double JSON text.
    let token_and_uri = token.map_or(0, str::len) + written.uri.map_or(0, str::len);
    let room =
        1024 + 2 * (token_and_uri + content.metadata.len()) + 1024 * written.registrations.len();
    let mut plain = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *plain, &written).ok()?;
    Some(plain)
}

fn read(plain: &[u8]) -> Option<Content> {
    let written: Written<String> = serde_json::from_slice(plain).ok()?;
    let attributes = written.registrations.iter();
    let attributes = attributes.map(|(name, value)| (name.as_str(), value.as_str()));
    Some(Content {
        registrations: Registrations::from_attributes(attributes),
        registration_token: written.token.map(SecretString::from),
        client_uri: written.uri,
        metadata: written.metadata,
    })
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests look into what they planted"
)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::keyring::new_key;
    use super::*;

    const BOUND: [&str; 3] = ["production", "partners", "client"];

    fn keyring(current: &str, keys: &[(&str, &SecretString)]) -> Keyring {
        let keys = keys.iter();
        let keys = keys.map(|(id, key)| ((*id).to_owned(), Key::parse(key).unwrap()));
        Keyring::new(current, keys.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn content() -> Content {
        Content {
            registration_token: Some("planted-token".to_owned().into()),
            client_uri: Some("https://idp.example/register/client".to_owned()),
            metadata: r#"{"client_name":"\"x\""}"#.to_owned(),
            registrations: Registrations::default(),
        }
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_binding_alone() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        let both = keyring("b", &[("a", &one), ("b", &other)]);
        let first = keyring("a", &[("a", &one)]);
        let sealed = seal(&first, &BOUND, &content()).unwrap();
        let opened = open(&both, "a", &BOUND, &sealed).unwrap();
        assert_eq!(opened.metadata, content().metadata);
        assert_eq!(opened.client_uri, content().client_uri);
        assert_eq!(
            opened.registration_token.unwrap().expose_secret(),
            "planted-token"
        );
        let closed = |ring: &Keyring, id: &str, bound: &[&str], sealed: &[u8]| {
            open(ring, id, bound, sealed).err().unwrap()
        };
        let gone = Closed::UnknownKey("a".to_owned());
        assert_eq!(
            closed(&keyring("b", &[("b", &other)]), "a", &BOUND, &sealed),
            gone
        );
        let wrong = Closed::WrongKey("a".to_owned());
        assert_eq!(
            closed(&keyring("a", &[("a", &other)]), "a", &BOUND, &sealed),
            wrong
        );
        for bound in [
            &["production", "partners", "other"] as &[&str],
            &["productionpartners", "", "client"],
            &["production", "partners"],
        ] {
            assert_eq!(closed(&first, "a", bound, &sealed), Closed::Damaged);
        }
    }

    #[test]
    fn no_bit_can_be_flipped_and_no_byte_cut() {
        let keyring = keyring("a", &[("a", &new_key().unwrap())]);
        let sealed = seal(&keyring, &BOUND, &content()).unwrap();
        for at in 0..sealed.len() {
            assert!(
                open(&keyring, "a", &BOUND, &sealed[..at]).is_err(),
                "cut at {at}"
            );
            if (1..=CHECK).contains(&at) {
                // Tells only which key it was.
                continue;
            }
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                assert!(
                    open(&keyring, "a", &BOUND, &flipped).is_err(),
                    "bit {bit} of byte {at}"
                );
            }
        }
    }

    #[test]
    fn the_same_content_is_never_sealed_to_the_same_bytes() {
        let keyring = keyring("a", &[("a", &new_key().unwrap())]);
        let sealed = || seal(&keyring, &BOUND, &content()).unwrap();
        assert_ne!(sealed(), sealed());
    }
}
