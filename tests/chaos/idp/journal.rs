//! The journal of the IdP: every request, every change and every answer, written before the caller can know of it.
//! It is the table that outlives a kill, and what the verdict goes by.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What every client secret and access token of this IdP begins with: whatever prints one, prints this.
pub(crate) const SECRET: &str = "plantedChaosSecret";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Microseconds since 1970.
    pub(crate) at: u64,
    /// Whose credential the request bore.
    pub(crate) by: String,
    /// What happened.
    pub(crate) event: Event,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// A request came.
    Arrived {
        /// What it asks for.
        call: Call,
        /// The client.
        client_id: String,
        /// Its name, or its id where there is no such client.
        name: String,
        /// What is going to become of it instead of what should.
        mishap: Option<String>,
    },
    /// A client changed: what it is now, or nothing when it was deleted.
    Committed {
        /// What did it.
        call: Call,
        /// The client.
        client_id: String,
        /// What it is now.
        client: Option<Box<Client>>,
    },
    /// An answer was given to the connection.
    Answered {
        /// To what.
        call: Call,
        /// The client.
        client_id: String,
        /// With this status.
        status: u16,
    },
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    /// One client.
    Get,
    /// A new client.
    Create,
    /// A change of a client.
    Patch,
    /// A client's end.
    Delete,
    /// One new secret in place of all others.
    Rotate,
    /// What is known of a client's secrets.
    Secrets,
    /// One more secret.
    Add,
    /// A secret's end.
    Remove,
    /// One page of all clients.
    List,
    /// An access token for a connector.
    Token,
    /// Nothing of ours: a stranger put a client into the table.
    Stranger,
}

/// A client with its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "named as in the API")]
pub(crate) struct Client {
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) grant_types: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) token_endpoint_auth_method: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) created_at: String,
    pub(crate) secrets: Vec<Secret>,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "named as in the API")]
pub(crate) struct Secret {
    pub(crate) secret_id: String,
    pub(crate) client_secret: String,
    pub(crate) created_at: String,
    pub(crate) label: Option<String>,
}

/// Microseconds since 1970.
#[must_use]
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

/// A journal to write on.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Opens one, or goes on with one that is there.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let journal = options.open(file)?;
        // Half a line that a kill has left would be the beginning of the next.
        let text = std::fs::read(file)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        journal.set_len(whole.map_or(0, |end| end as u64 + 1))?;
        Ok(Self(journal))
    }

    /// Writes a line. A process that is killed afterwards has written it.
    ///
    /// # Errors
    /// When the disk is full.
    pub(crate) fn write(&mut self, by: &str, event: Event) -> io::Result<()> {
        let line = Line {
            at: now(),
            by: by.to_owned(),
            event,
        };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.0.write_all(text.as_bytes())
    }
}

/// Reads a journal; half a line at its end, which a kill may leave, never happened.
///
/// # Errors
/// When the file cannot be read or holds what is no journal.
pub(crate) fn read(file: &Path) -> io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(file)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| serde_json::from_str(line).map_err(io::Error::from);
    whole.lines().map(line).collect()
}
