//! The signing key, and access tokens as JWTs (RFC 9068) signed with ES256 (RFC 7518).

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What an access token says.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) client_id: String,
    pub(crate) azp: String,
    pub(crate) aud: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
}

/// One key pair, made when the server starts and gone with it.
pub(crate) struct Keys {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    jwk: Value,
    header: String,
}

impl Keys {
    pub(crate) fn generate() -> io::Result<Self> {
        let failed = |_| io::Error::other("no signing key could be made");
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .map_err(|_| failed(Unspecified))?;
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let (x, y) = point
            .get(1..)
            .and_then(|xy| xy.split_at_checked(32))
            .ok_or(Unspecified)
            .map_err(failed)?;
        let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
        // The key id is the key's thumbprint (RFC 7638).
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = BASE64URL.encode(digest(&SHA256, members.as_bytes()));
        let header = json!({ "alg": "ES256", "kid": kid, "typ": "at+jwt" }).to_string();
        let jwk = json!({
            "alg": "ES256", "crv": "P-256", "kid": kid, "kty": "EC", "use": "sig", "x": x, "y": y,
        });
        Ok(Self {
            pair,
            random,
            jwk,
            header: BASE64URL.encode(header),
        })
    }

    /// The public keys (RFC 7517).
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, Unspecified> {
        let claims = serde_json::to_vec(claims).map_err(|_| Unspecified)?;
        let signed = format!("{}.{}", self.header, BASE64URL.encode(claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64URL.encode(signature)))
    }

    /// The claims of a token that this key signed. Whether they hold now is the caller's question.
    pub(crate) fn verify(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        // Every header of ours is the same; nothing in another's is worth reading.
        if header != self.header {
            return None;
        }
        let signature = BASE64URL.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()
    }
}

/// `N` random bytes as base64url without padding.
pub(crate) fn random_text<const N: usize>() -> Result<String, Unspecified> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(BASE64URL.encode(bytes))
}
