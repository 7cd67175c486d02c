//! What Konnect knows of a client, and what must therefore be true of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::journal::now;

/// How long after it was sent a rotation may still be made: its way to the IdP, and the longest that one is late
/// (microseconds).
pub(crate) const LATE: u64 = 30_000_000;

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
    /// Until when a rotation may still be made that Konnect did not hear of: it would end every secret (microseconds
    /// since 1970).
    pub(crate) rotation_open: Option<u64>,
}

impl Known {
    /// A client that was just delivered.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            secrets: Vec::new(),
            descriptions: vec![String::new()],
            registered: Some(BTreeMap::new()),
            delete: Life::Lives,
            rotation_open: None,
        }
    }

    pub(crate) fn rotated(&mut self) {
        for secret in &mut self.secrets {
            secret.life = Life::Dead;
        }
    }

    pub(crate) fn maybe_rotated(&mut self) {
        self.rotation_open = Some(now() + LATE);
        for secret in &mut self.secrets {
            if secret.life == Life::Lives {
                secret.life = Life::Open;
            }
        }
    }

    pub(crate) fn got(&mut self, answer: &Value) {
        let text = |member: &str| answer.get(member).and_then(Value::as_str);
        let may_be_rotated = self.rotation_open.is_some_and(|until| now() < until);
        self.secrets.push(Secret {
            id: text("secret_id").map(str::to_owned),
            value: text("client_secret").unwrap_or_default().to_owned(),
            life: if may_be_rotated {
                Life::Open
            } else {
                Life::Lives
            },
        });
    }
}
