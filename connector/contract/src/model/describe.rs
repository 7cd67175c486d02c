//! What a connector says of itself and of its IdP.

use std::time::Duration;

use jiff::Timestamp;

use super::Sentence;

/// How many additions to the contract this version knows: `contract_minor` of `connector.proto` as it stands.
pub const CONTRACT_MINOR: u32 = 0;

/// What a connector is and can do; the same for all replicas of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorInfo {
    /// The kind of connector (`keycloak`).
    pub name: String,
    /// Its version.
    pub version: String,
    /// How many additions to the contract it knows.
    pub contract_minor: u32,
    /// What it can do beyond the core.
    pub capabilities: Vec<Capability>,
    /// The most live secrets of a client, where that is known.
    pub max_secrets: Option<u32>,
    /// How long after an abort a late commit may still show itself.
    pub settle_after: Duration,
}

/// What a connector can do beyond create, delete and list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Replace all secrets by a new one.
    RotateSecret,
    /// Add a secret beside the existing ones.
    AddSecret,
    /// Remove one secret.
    RemoveSecret,
    /// Change name, description and redirect URIs.
    Update,
    /// Turn registrations into grants.
    Registrations,
    /// List clients by their mark.
    ListManaged,
    /// Find a client by the operation that made it, also after a restart.
    AbortCreate,
    /// Find a secret by the operation that added it, also after a restart.
    AbortAddSecret,
}

/// One thing that an examination of the IdP found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for machines, UPPER_SNAKE.
    pub code: String,
    /// What was found, where, and what to do.
    pub sentence: Sentence,
    /// When the credential that it is about stops working.
    pub expires_at: Option<Timestamp>,
}

impl Finding {
    /// A finding of that severity.
    #[must_use]
    pub fn new(severity: Severity, code: &str, sentence: &str) -> Self {
        Self {
            severity,
            code: code.to_owned(),
            sentence: Sentence::new(sentence),
            expires_at: None,
        }
    }

    /// The same, about a credential that stops working then.
    #[must_use]
    pub fn expires_at(self, end: Timestamp) -> Self {
        Self {
            expires_at: Some(end),
            ..self
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but should be looked at.
    Warning,
    /// Some or all calls will fail.
    Error,
}
