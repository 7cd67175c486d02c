//! A secret in the body of a request: the one place that writes it out.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize as _, Serializer};

/// Writes a secret that the IdP is to be told: for `#[serde(serialize_with = "in_clear")]` on a member of what
/// [`Request::json`](super::Request::json) sends, and on nothing else.
///
/// # Errors
/// Those of the serializer.
pub fn in_clear<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the socket's body carries the secret"
    )]
    secret.expose_secret().serialize(serializer)
}
