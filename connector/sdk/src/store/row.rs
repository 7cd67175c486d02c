//! A row as it is stored, and as it is used.

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::any::AnyRow;
use sqlx::{Error, Row as _};

use super::keyring::Keyring;
use super::seal::{self, Closed, Content};
use super::{Change, NewRow};
use crate::grants::Registrations;
use crate::mark::{Made, Mark};
use crate::model::{Caller, Installation, ManagedClient, OperationId, ProviderId};

/// A client that the store knows: its mark, and what it is managed with.
pub struct Row {
    /// The client's id as the IdP gave it.
    pub client_id: String,
    /// The mark it bears.
    pub mark: Mark,
    /// When the row was made.
    pub created_at: Timestamp,
    /// The registration access token (RFC 7592 section 3); `None` where the IdP gave none.
    pub registration_token: Option<SecretString>,
    /// The client configuration endpoint (RFC 7592 section 3); `None` where the IdP gave none.
    pub client_uri: Option<String>,
    /// What the connector keeps of the client's metadata.
    pub metadata: String,
    /// The registrations of the client.
    pub registrations: Registrations,
    /// Since when it is not known whether the token is still the right one: a call that may have rotated it began and
    /// did not end.
    pub doubtful_since: Option<Timestamp>,
}

/// The columns of a row. None is trusted before the sealed part has opened.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) client_id: String,
    pub(super) operation_id: String,
    pub(super) installation: String,
    pub(super) provider_id: String,
    pub(super) made: String,
    pub(super) probe: i64,
    pub(super) created_at: i64,
    pub(super) state: String,
    pub(super) version: i64,
    pub(super) key_id: String,
    pub(super) sealed: Vec<u8>,
    pub(super) held_since: i64,
    pub(super) doubtful_since: i64,
}

/// The states of a row.
pub(super) const LIVE: &str = "live";
pub(super) const BURIED: &str = "buried";

impl Stored {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            client_id: row.try_get("client_id")?,
            operation_id: row.try_get("operation_id")?,
            installation: row.try_get("installation")?,
            provider_id: row.try_get("provider_id")?,
            made: row.try_get("made")?,
            probe: row.try_get("probe")?,
            created_at: row.try_get("created_at")?,
            state: row.try_get("state")?,
            version: row.try_get("version")?,
            key_id: row.try_get("key_id")?,
            sealed: row.try_get("sealed")?,
            held_since: row.try_get("held_since")?,
            doubtful_since: row.try_get("doubtful_since")?,
        })
    }

    /// A new row; `None` when it cannot be sealed.
    pub(super) fn new(keyring: &Keyring, mark: &Mark, new: &NewRow) -> Option<Self> {
        let content = Content {
            registration_token: new.registration_token.clone(),
            client_uri: new.client_uri.clone(),
            metadata: new.metadata.clone(),
            registrations: Registrations::default(),
        };
        let columns = Self {
            client_id: new.client_id.clone(),
            operation_id: mark.operation_id.to_string(),
            installation: mark.caller.installation.to_string(),
            provider_id: mark.caller.provider_id.to_string(),
            made: made(mark.made).to_owned(),
            probe: mark.probe.into(),
            created_at: Timestamp::now().as_millisecond(),
            state: LIVE.to_owned(),
            version: 0,
            key_id: String::new(),
            sealed: Vec::new(),
            held_since: 0,
            doubtful_since: 0,
        };
        columns.sealed_anew(keyring, LIVE, &content)
    }

    /// The next version of this row; `None` when it cannot be sealed.
    pub(super) fn sealed_anew(
        &self,
        keyring: &Keyring,
        state: &str,
        content: &Content,
    ) -> Option<Self> {
        let mut next = Self {
            state: state.to_owned(),
            version: self.version + 1,
            key_id: keyring.current_id().to_owned(),
            held_since: 0,
            doubtful_since: 0,
            ..self.clone()
        };
        next.sealed = next.bound(|bound| seal::seal(keyring, bound, content))?;
        Some(next)
    }

    pub(super) fn open(&self, keyring: &Keyring) -> Result<Content, Closed> {
        self.bound(|bound| seal::open(keyring, &self.key_id, bound, &self.sealed))
    }

    /// The row of a live client.
    pub(super) fn opened(&self, keyring: &Keyring) -> Result<Row, Closed> {
        let content = self.open(keyring)?;
        Ok(Row {
            client_id: self.client_id.clone(),
            mark: self.mark().ok_or(Closed::Damaged)?,
            created_at: moment(self.created_at).ok_or(Closed::Damaged)?,
            registration_token: content.registration_token,
            client_uri: content.client_uri,
            metadata: content.metadata,
            registrations: content.registrations,
            doubtful_since: moment(self.doubtful_since).filter(|_| self.doubtful_since != 0),
        })
    }

    /// All that is not sealed and must not be changed. What is held and doubtful is left out: it changes without a new
    /// version, and nothing is refused because of it for longer than a lease.
    fn bound<T>(&self, with: impl FnOnce(&[&str]) -> T) -> T {
        let numbers = [self.probe, self.created_at, self.version].map(|number| number.to_string());
        let [probe, created_at, version] = &numbers;
        with(&[
            &self.client_id,
            &self.operation_id,
            &self.installation,
            &self.provider_id,
            &self.made,
            probe,
            created_at,
            &self.state,
            version,
        ])
    }

    fn mark(&self) -> Option<Mark> {
        Some(Mark {
            caller: Caller {
                installation: Installation::parse(&self.installation).ok()?,
                provider_id: ProviderId::parse(&self.provider_id).ok()?,
            },
            operation_id: OperationId::parse(&self.operation_id).ok()?,
            made: match self.made.as_str() {
                "by_us" => Made::ByUs,
                "adopted" => Made::Adopted,
                "adopted_as_owned" => Made::AdoptedAsOwned,
                _ => return None,
            },
            probe: self.probe != 0,
        })
    }

    /// As a list has it; `None` for a client whose id was never delivered.
    pub(super) fn listed(&self) -> Option<ManagedClient> {
        let mark = self.mark()?;
        Some(ManagedClient {
            client_id: self.client_id.parse().ok()?,
            provider_id: mark.caller.provider_id,
            operation_id: mark.operation_id,
            created_at: moment(self.created_at),
            probe: mark.probe,
        })
    }
}

/// What is sealed in the database is in no log either.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("client_id", &self.client_id)
            .field("mark", &self.mark)
            .field("doubtful_since", &self.doubtful_since)
            .finish_non_exhaustive()
    }
}

/// The sealed part is of no use to a reader.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("client_id", &self.client_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Row {
    /// What is sealed after a change.
    pub(super) fn after(&self, change: Change) -> Content {
        let token = change.registration_token;
        Content {
            registration_token: token.or_else(|| self.registration_token.clone()),
            client_uri: change.client_uri.or_else(|| self.client_uri.clone()),
            metadata: change.metadata.unwrap_or_else(|| self.metadata.clone()),
            registrations: change
                .registrations
                .unwrap_or_else(|| self.registrations.clone()),
        }
    }
}

fn made(made: Made) -> &'static str {
    match made {
        Made::ByUs => "by_us",
        Made::Adopted => "adopted",
        Made::AdoptedAsOwned => "adopted_as_owned",
    }
}

/// A moment from its milliseconds.
pub(super) fn moment(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}
