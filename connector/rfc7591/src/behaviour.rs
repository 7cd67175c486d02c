//! What a server does beyond RFC 7592, as the operator has learned it by `check --probe`. Never found out on a client
//! that somebody uses.

use dcr_connector::http::StatusCode;
use serde::{Deserialize, Serialize};

/// The section `idp.behaviour`. What is left out is not known, and what depends on it is not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Behaviour {
    pub(crate) get: Option<Get>,
    pub(crate) put_secret: Option<PutSecret>,
    pub(crate) put_token: Option<PutToken>,
    pub(crate) delete: Option<Delete>,
}

/// What a GET of a client's registration does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Get {
    /// Nothing but answer; the only one that is ever used.
    Nothing,
    /// It replaces the registration access token.
    NewToken,
    /// It replaces the registration access token and the client's secret.
    NewTokenAndSecret,
    /// The server has none.
    Unsupported,
}

/// What a PUT does to the client's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PutSecret {
    /// Without `client_secret` it leaves the secret alone.
    Kept,
    /// With the current `client_secret` it leaves the secret alone, without it makes a new one.
    KeptIfSent,
    /// It is refused without the current `client_secret`, and leaves the secret alone.
    MustBeSent,
    /// It always makes a new one.
    New,
    /// The server has no PUT.
    Unsupported,
}

/// What a PUT does to the registration access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PutToken {
    /// Nothing.
    Kept,
    /// It replaces it.
    New,
}

/// What a DELETE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delete {
    /// It deletes and answers 204, as RFC 7592 section 2.3 has it.
    #[serde(rename = "answers_204")]
    Answers204,
    /// It deletes and answers 200.
    #[serde(rename = "answers_200")]
    Answers200,
    /// The server has none.
    Unsupported,
}

impl Behaviour {
    /// Whether a client's registration can be read without changing it.
    pub(crate) fn can_read(self) -> bool {
        self.get == Some(Get::Nothing)
    }

    /// How an update leaves the secret alone; `None` when none does, or none is known to.
    pub(crate) fn update(self) -> Option<Sends> {
        match self.put_secret? {
            PutSecret::Kept => Some(Sends::NoSecret),
            // The current secret is nowhere but at the server.
            PutSecret::KeptIfSent | PutSecret::MustBeSent if self.can_read() => {
                Some(Sends::CurrentSecret)
            }
            PutSecret::KeptIfSent
            | PutSecret::MustBeSent
            | PutSecret::New
            | PutSecret::Unsupported => None,
        }
    }

    /// Whether a PUT without a secret makes a new one.
    pub(crate) fn can_rotate(self) -> bool {
        matches!(
            self.put_secret,
            Some(PutSecret::New | PutSecret::KeptIfSent)
        )
    }

    pub(crate) fn can_delete(self) -> bool {
        self.delete != Some(Delete::Unsupported)
    }

    /// The statuses that say that a client was deleted.
    pub(crate) fn deleted(self) -> &'static [StatusCode] {
        match self.delete {
            Some(Delete::Answers200) => &[StatusCode::OK, StatusCode::NO_CONTENT],
            _ => &[StatusCode::NO_CONTENT],
        }
    }

    /// Whether the registration access token may be another after a PUT; so, unless it is known not to be.
    pub(crate) fn put_replaces_token(self) -> bool {
        self.put_token != Some(PutToken::Kept)
    }
}

/// What a PUT says of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sends {
    NoSecret,
    CurrentSecret,
}
