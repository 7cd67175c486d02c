//! What Konnect knows of a client, and what must therefore be true of it.

use std::collections::BTreeMap;

use serde_json::Value;

/// What must be true of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Lives,
    Dead,
    /// A call whose answer was lost may have ended it.
    Open,
}

#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) id: Option<String>,
    pub(crate) value: String,
    pub(crate) life: Life,
}

/// What Konnect knows of a client that it got.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) secrets: Vec<Secret>,
    /// What the description may be.
    pub(crate) descriptions: Vec<String>,
    /// The registered entities; nothing when an answer was lost.
    pub(crate) registered: Option<BTreeMap<String, &'static str>>,
    pub(crate) delete: Life,
    /// Whether a rotation may still be made: it would end every secret.
    pub(crate) rotation_open: bool,
}

impl Known {
    pub(crate) fn rotated(&mut self) {
        for secret in &mut self.secrets {
            secret.life = Life::Dead;
        }
    }

    pub(crate) fn maybe_rotated(&mut self) {
        self.rotation_open = true;
        for secret in &mut self.secrets {
            if secret.life == Life::Lives {
                secret.life = Life::Open;
            }
        }
    }

    pub(crate) fn got(&mut self, answer: &Value) {
        let text = |member: &str| answer.get(member).and_then(Value::as_str);
        self.secrets.push(Secret {
            id: text("secret_id").map(str::to_owned),
            value: text("client_secret").unwrap_or_default().to_owned(),
            life: if self.rotation_open {
                Life::Open
            } else {
                Life::Lives
            },
        });
    }
}
