//! Client secrets: their values, which nothing prints, and what is known about them.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{Malformed, SecretId};

/// The value of a client secret, 1 to 255 printable ASCII characters: what Konnect can take.
///
/// Prints nothing and is wiped when dropped.
#[derive(Debug, Clone)]
pub struct ClientSecret(SecretString);

impl ClientSecret {
    /// Checks the value.
    ///
    /// # Errors
    /// `Malformed` when Konnect could not take it; the value is not repeated.
    #[expect(
        clippy::disallowed_methods,
        reason = "to know its length and characters"
    )]
    pub fn parse(value: SecretString) -> Result<Self, Malformed> {
        let text = value.expose_secret();
        if text.is_empty() || text.len() > 255 {
            return Err(Malformed::new("must have 1 to 255 characters"));
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(Malformed::new("must hold only printable ASCII"));
        }
        Ok(Self(value))
    }

    /// The value, still wrapped.
    #[must_use]
    pub fn value(&self) -> &SecretString {
        &self.0
    }
}

/// What is known about one secret of a client, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMetadata {
    /// Its id, stable between calls.
    pub secret_id: SecretId,
    /// Whether it works.
    pub status: SecretStatus,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it stops working by itself; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Whether a secret works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretStatus {
    /// It works.
    Active,
    /// It exists and does not work.
    Inactive,
}

/// The only secret that works after a rotation.
#[derive(Debug)]
pub struct RotatedSecret {
    /// The value.
    pub secret: ClientSecret,
    /// Its id where the IdP has one.
    pub secret_id: Option<SecretId>,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// A secret that was added beside the existing ones.
#[derive(Debug)]
pub struct AddedSecret {
    /// Its id.
    pub secret_id: SecretId,
    /// The value.
    pub secret: ClientSecret,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// What the removal of a secret did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The secret is gone.
    Removed,
    /// It was not there.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_konnect_cannot_take_is_refused_and_never_printed() {
        for bad in ["", "a\nb", "ä", &*"s".repeat(256)] {
            let error = ClientSecret::parse(bad.to_owned().into()).unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
        let secret = ClientSecret::parse("planted-value".to_owned().into()).unwrap();
        assert!(!format!("{secret:?}").contains("planted"));
    }
}
