//! Secrets of clients, for IdPs that take the one that they are given.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use secrecy::zeroize::Zeroize as _;

use crate::fault::Fault;

/// A new secret: 256 random bits as 43 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`, which no form and no header has to
/// escape.
///
/// # Errors
/// `Internal` when the machine has no randomness.
pub fn new_secret() -> Result<SecretString, Fault> {
    let mut bits = [0_u8; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    let secret = match random.fill(&mut bits) {
        Ok(()) => Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bits))),
        Err(_) => Err(Fault::internal("the machine has no randomness")),
    };
    bits.zeroize();
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn secrets_are_long_differ_and_need_no_escaping() {
        let [one, other] = [new_secret().unwrap(), new_secret().unwrap()];
        #[expect(clippy::disallowed_methods, reason = "the test looks at it")]
        let (one, other) = (one.expose_secret(), other.expose_secret());
        assert_ne!(one, other);
        assert_eq!(one.len(), 43);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(one.chars().all(plain), "{one}");
    }
}
