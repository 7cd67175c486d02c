//! What the store keeps of a client beside its mark and token: the server's last word about it.

use std::collections::BTreeSet;

use dcr_connector::fault::Fault;
use jiff::Timestamp;
use ring::digest::{self, SHA256_OUTPUT_LEN};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::metadata::{Information, Metadata, scopes};

/// It holds no secret, but what one is known by again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What an update sends back.
    pub(crate) metadata: Metadata,
    /// The SHA-256 of the current secret.
    pub(crate) secret_digest: Option<[u8; SHA256_OUTPUT_LEN]>,
    /// When the current secret stops working.
    pub(crate) secret_expires_at: Option<Timestamp>,
    /// The scopes that the client had before its first registration, which are never taken away.
    pub(crate) own_scopes: Option<BTreeSet<String>>,
    /// Whether the server was asked to delete it, and did not refuse.
    #[serde(default)]
    pub(crate) is_deleting: bool,
}

impl Kept {
    /// Of a new client.
    pub(crate) fn new(information: &Information) -> Self {
        Self {
            metadata: information.metadata(),
            secret_digest: information.client_secret.as_ref().and_then(digest),
            secret_expires_at: information.secret_expires_at(),
            own_scopes: None,
            is_deleting: false,
        }
    }

    /// The same after an answer about the client. What is not in the answer stays: servers leave out of a GET what a PUT
    /// must not.
    pub(crate) fn after(&self, information: &Information) -> Self {
        let mut metadata = self.metadata.clone();
        metadata.extend(information.metadata());
        let told = Self::new(information);
        let is_another = told.secret_digest.is_some() && told.secret_digest != self.secret_digest;
        Self {
            metadata,
            secret_digest: told.secret_digest.or(self.secret_digest),
            secret_expires_at: if is_another || information.tells_expiry() {
                told.secret_expires_at
            } else {
                self.secret_expires_at
            },
            own_scopes: self.own_scopes.clone(),
            is_deleting: false,
        }
    }

    /// Whether a secret is the current one; `None` when that is not known.
    pub(crate) fn knows(&self, secret: &SecretString) -> Option<bool> {
        self.secret_digest
            .map(|known| Some(known) == digest(secret))
    }

    /// Gives the client scopes; whether it lacked any.
    pub(crate) fn grant(&mut self, scopes: &BTreeSet<String>) -> bool {
        let mut has = self.scopes();
        if self.own_scopes.is_none() {
            self.own_scopes = Some(has.iter().cloned().collect());
        }
        let missing: Vec<_> = scopes
            .iter()
            .filter(|scope| !has.contains(scope))
            .cloned()
            .collect();
        let changes = !missing.is_empty();
        has.extend(missing);
        self.set_scopes(&has);
        changes
    }

    /// Takes scopes away, but for its own; whether it had any.
    pub(crate) fn withdraw(&mut self, scopes: &BTreeSet<String>) -> bool {
        let mut has = self.scopes();
        let before = has.len();
        let own = self.own_scopes.clone().unwrap_or_default();
        has.retain(|scope| own.contains(scope) || !scopes.contains(scope));
        let changes = has.len() != before;
        self.set_scopes(&has);
        changes
    }

    pub(crate) fn scopes(&self) -> Vec<String> {
        let scopes = scopes(&self.metadata);
        scopes.into_iter().map(str::to_owned).collect()
    }

    fn set_scopes(&mut self, scopes: &[String]) {
        if scopes.is_empty() {
            // RFC 7592 section 2.2: what is left out is removed.
            self.metadata.remove("scope");
        } else {
            let text = scopes.join(" ");
            self.metadata.insert("scope".to_owned(), text.into());
        }
    }

    /// # Errors
    /// `Internal`, which cannot be.
    pub(crate) fn to_json(&self) -> Result<String, Fault> {
        serde_json::to_string(self)
            .map_err(|error| Fault::internal("a client's metadata is no JSON").because(error))
    }

    /// # Errors
    /// `Internal` when it was written by something else.
    pub(crate) fn from_json(json: &str) -> Result<Self, Fault> {
        serde_json::from_str(json).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            Fault::internal(format!(
                "what the store keeps of a client cannot be read at {place}"
            ))
        })
    }
}

fn digest(secret: &SecretString) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    #[expect(clippy::disallowed_methods, reason = "its digest is made")]
    let digest = digest::digest(&digest::SHA256, secret.expose_secret().as_bytes());
    digest.as_ref().try_into().ok()
}
