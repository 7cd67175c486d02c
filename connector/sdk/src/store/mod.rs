//! An encrypted store for IdPs that cannot hold our mark (RFC 7591 alone, RFC 7592 with its registration tokens).
//!
//! A row is a client: its mark, its registrations, and what it is managed with. What is secret or identifying is
//! sealed with AES-256-GCM-SIV; what is searched stays readable and is bound to the sealed part. SQLite is for one
//! replica, PostgreSQL for several. `STORE.md` beside this crate is the operator's manual.
//!
//! # How an [`Idp`](crate::Idp) uses it
//!
//! - **open**: [`StoreConfig`] is a member of the section `idp`; [`Store::open`] shares what is open already.
//! - **create**: [`Store::intend`] before the registration call leaves; then [`Store::insert`] with a fresh deadline
//!   ([`TIME_TO_WRITE`]), before the answer is returned. It tries until then. If it fails, undo at the IdP with the
//!   token that is still in memory, then [`Store::removed`]. If the IdP refused and made nothing: [`Store::drop_intent`].
//! - **find**: [`Store::find`]: [`Lookup::Row`] is `Found`, the other two are `None`.
//! - **update, rotate, register**: [`Store::hold`] first. It notes in the row that a call is on its way and keeps every
//!   other replica from making one for this client: a compare-and-swap alone would lose the race at the IdP, which has
//!   rotated the token by then. Give its calls at most [`TIME_TO_CALL`].
//!   Take token and URI from [`Held::row`], not from what `find` gave. Every successful call
//!   ends with [`Held::replace`], also when nothing has changed, for it clears a doubt about the token; one that has not
//!   left or was refused with [`Held::release`], after [`Held::replace_and_hold`] if there is something to write. A fault of which nobody knows what was done: [`Held::doubt`].
//! - **delete**: the same with [`Held::bury`]; the tombstone makes the second delete ABSENT.
//! - **check**: add the findings of [`Store::check`], which also counts for the metrics.
//!
//! # What is lost when
//!
//! Nothing that was answered: a change is on the disk before the call that made it returns. A process killed between
//! the IdP's answer to a registration and [`Store::insert`] leaves an intent without a row, and one killed between the
//! IdP's answer and [`Held::replace`] a row that is held by nobody: both are counted, and `store list` shows them with
//! what to do. What a backup of the whole database brings back is noticed by the witness (`witness`); an old copy of one
//! row, put back by somebody who may write the database, is not.

mod command;
mod config;
mod database;
mod held;
mod keyring;
mod metrics;
mod row;
mod seal;
mod transfer;
mod upkeep;
mod witness;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::any::AnyRow;

pub use self::command::{Stored, run};
pub(crate) use self::config::Opened;
pub use self::config::{KeyringConfig, StoreConfig};
use self::database::{Database, Failed, one_attempt};
pub use self::held::Held;
use self::keyring::Keyring;
pub use self::metrics::Counts;
pub(crate) use self::metrics::register;
pub use self::row::Row;
use self::row::{BURIED, LIVE, Stored as Columns};
use self::seal::{Closed, Content};
pub use self::transfer::{Exported, Imported};
pub use self::upkeep::{Entry, Intent, Reencrypted, State};
use self::witness::Standing;
use crate::fault::{Fault, FaultKind, Outcome, Reason, Violation};
use crate::grants::Registrations;
use crate::mark::Mark;
use crate::model::{
    ClientId, Deadline, Field, Installation, Malformed, ManagedClients, OperationId, Page,
};

/// How long to try to write down what the IdP has answered: as long as an answer itself is waited for.
pub const TIME_TO_WRITE: Duration = Duration::from_secs(30);

/// How long after a hold the last call of it may end: a caller who waits longer is not waited for, or the hold would be
/// over before its answer is written.
pub const TIME_TO_CALL: Duration = Duration::from_secs(30);

/// What the token of a page begins with; the client before the page follows.
const PAGE_AFTER: &str = "after:";

/// The store. Clones are the same one.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    keyring: Arc<Keyring>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.database.place)
            .field("keyring", &self.keyring)
            .finish()
    }
}

/// What a registration gave.
pub struct NewRow {
    /// The client's id, which need not be one that can be delivered.
    pub client_id: String,
    /// `registration_access_token`.
    pub registration_token: Option<SecretString>,
    /// `registration_client_uri`.
    pub client_uri: Option<String>,
    /// What the connector keeps of the client's metadata: text of its own choice, usually JSON, and no secret.
    pub metadata: String,
}

/// What changes; `None` stays as it is.
#[derive(Default)]
pub struct Change {
    /// A new `registration_access_token`.
    pub registration_token: Option<SecretString>,
    /// A new `registration_client_uri`.
    pub client_uri: Option<String>,
    /// New metadata.
    pub metadata: Option<String>,
    /// All registrations.
    pub registrations: Option<Registrations>,
}

/// As a [`Row`]'s.
impl fmt::Debug for NewRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRow")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// As a [`Row`]'s.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").finish_non_exhaustive()
    }
}

/// What the store knows of a client id.
#[derive(Debug)]
pub enum Lookup {
    /// A live client.
    Row(Box<Row>),
    /// A client that was deleted.
    Tombstone,
    /// Nothing, and the store is one to be believed.
    Unknown,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT client_id, operation_id, installation, provider_id, made, probe, created_at, state, version, ",
            "key_id, sealed, held_since, doubtful_since FROM dcr_clients ",
            $rest
        )
    };
}
use select;

impl Store {
    /// Notes that a client is about to be registered. Before the call leaves.
    ///
    /// # Errors
    /// `Unavailable`, also when the store was restored and nobody has looked at it; `Conflict` when the operation was begun
    /// before, here or in another replica: nothing was sent.
    pub async fn intend(&self, deadline: Deadline, mark: &Mark) -> Result<(), Fault> {
        self.believed(deadline).await?;
        let by = self.database.next_name();
        let intended = self
            .database
            .tried(one_attempt(), self.try_intend(mark, &by));
        match intended.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(repeated(mark)),
            Err(failed) => {
                if failed.may_be_done() {
                    let soon = one_attempt();
                    self.forget(soon, mark.operation_id, Some(&by)).await;
                }
                Err(self.database.unavailable(&failed))
            }
        }
    }

    /// Whether the operation was not begun before.
    async fn try_intend(&self, mark: &Mark, by: &str) -> Result<bool, Failed> {
        let sql = "INSERT INTO dcr_intents (operation_id, installation, provider_id, probe, started_at, begun_by) \
                   VALUES ($1, $2, $3, $4, {now}, $5) ON CONFLICT (operation_id) DO NOTHING";
        let operation = mark.operation_id.to_string();
        let mut change = self.database.begin().await?;
        let intended = sqlx::query(self.database.at_this_moment(sql))
            .bind(&operation)
            .bind(mark.caller.installation.to_string())
            .bind(mark.caller.provider_id.to_string())
            .bind(i64::from(mark.probe))
            .bind(by)
            .execute(&mut *change)
            .await?;
        // Afterwards: an intent that another replica ended meanwhile has left its row.
        let made = sqlx::query("SELECT 1 FROM dcr_clients WHERE operation_id = $1")
            .bind(&operation)
            .fetch_optional(&mut *change)
            .await?;
        if intended.rows_affected() == 0 || made.is_some() {
            change.rollback().await?;
            return Ok(false);
        }
        self.database.commit(change).await?;
        Ok(true)
    }

    /// Takes an intent back: nothing was made. That it could not be taken back is told to the log alone.
    pub async fn drop_intent(&self, deadline: Deadline, operation: OperationId) {
        self.forget(deadline, operation, None).await;
    }

    /// Takes back an intent, of a certain attempt or of any.
    async fn forget(&self, deadline: Deadline, operation: OperationId, by: Option<&str>) {
        let attempt = async {
            let mut change = self.database.begin().await?;
            sqlx::query(
                "DELETE FROM dcr_intents WHERE operation_id = $1 AND ($2 = '' OR begun_by = $2)",
            )
            .bind(operation.to_string())
            .bind(by.unwrap_or_default())
            .execute(&mut *change)
            .await?;
            self.database.commit(change).await
        };
        if let Err(fault) = self.database.once(deadline, attempt).await {
            tracing::warn!(%operation, "an intent stays although nothing was made: {fault}");
        }
    }

    /// Takes back what [`insert`](Self::insert) did not confirm, once the client was removed at the IdP again: its row, if
    /// it was written after all, is buried, and the intent is forgotten. That it could not be done is told to the log
    /// alone.
    pub async fn removed(&self, deadline: Deadline, mark: &Mark, client_id: &str) {
        let operation = mark.operation_id;
        let attempt = || async {
            let there = self.stored(client_id).await?;
            let there = there.filter(|row| row.state == LIVE);
            if let Some(row) = there.filter(|row| row.operation_id == operation.to_string())
                && let Some(next) = row.sealed_anew(&self.keyring, BURIED, &Content::default())
            {
                self.swap(&row, &next).await?;
            }
            Ok(())
        };
        let what = format!("bury the row of client {client_id}");
        if let Err(fault) = self.database.until_done(deadline, &what, attempt).await {
            tracing::warn!(%operation, client_id, "a client that was removed may stay in the store: {fault}");
        }
        self.drop_intent(deadline, operation).await;
    }

    /// Writes the row of a client that was made, and takes its intent away. Tries until the deadline, for what it
    /// writes may be the only copy: give it [`TIME_TO_WRITE`].
    ///
    /// # Errors
    /// `Conflict` with `ClientExists` when there is a row of that client id already, live or buried: it is not this one's.
    /// `Conflict` with `OperationRepeated` when the operation has made another client; `TimedOut` when the database was
    /// away for too long: then undo at the IdP what was made, and tell [`removed`](Self::removed).
    pub async fn insert(&self, deadline: Deadline, mark: &Mark, new: &NewRow) -> Result<(), Fault> {
        let row = Columns::new(&self.keyring, mark, new).ok_or_else(unsealed)?;
        let attempt = || async {
            let mut change = self.database.begin().await?;
            sqlx::query("DELETE FROM dcr_intents WHERE operation_id = $1")
                .bind(&row.operation_id)
                .execute(&mut *change)
                .await?;
            let inserted = upkeep::insert(&row, &mut change).await?;
            if inserted {
                self.database.commit(change).await?;
                return Ok(Inserted::Ours);
            }
            change.rollback().await?;
            Ok(match self.stored(&row.client_id).await? {
                // An earlier attempt was committed and its answer lost.
                Some(there) if there.sealed == row.sealed => Inserted::Ours,
                Some(_) => Inserted::Known,
                None => Inserted::Repeated,
            })
        };
        let what = format!("write the row of client {}", new.client_id);
        match self.database.until_done(deadline, &what, attempt).await? {
            Inserted::Ours => return Ok(()),
            Inserted::Repeated => return Err(repeated(mark)),
            Inserted::Known => {}
        }
        let message = format!(
            "the store has a row of client {} already: the identity provider gave out an id twice, or the client was \
             deleted through the bridge before",
            new.client_id
        );
        Err(Fault::new(FaultKind::Conflict, message).reason(Reason::ClientExists))
    }

    /// Finds a client.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer, and for an unknown client when the store was restored and
    /// nobody has looked at it; `Internal` when the row was changed outside the connector or its key is missing.
    pub async fn find(&self, deadline: Deadline, client_id: &ClientId) -> Result<Lookup, Fault> {
        let stored = self
            .database
            .once(deadline, self.stored(client_id.as_str()))
            .await?;
        self.lookup(deadline, stored).await
    }

    /// Finds the client that an operation made.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn find_by_operation(
        &self,
        deadline: Deadline,
        operation: OperationId,
    ) -> Result<Lookup, Fault> {
        let sql = select!("WHERE operation_id = $1");
        let find = sqlx::query(sql).bind(operation.to_string());
        let attempt = async {
            let found = find.fetch_optional(self.database.pool().await?).await?;
            Ok(found.as_ref().map(Columns::read).transpose()?)
        };
        let stored = self.database.once(deadline, attempt).await?;
        self.lookup(deadline, stored).await
    }

    /// Lists the live clients of an installation.
    ///
    /// # Errors
    /// `Unavailable`, also when the store was restored and nobody has looked at it: the list would not be complete.
    /// `Invalid` for a page token that is not of a store.
    pub async fn list(
        &self,
        deadline: Deadline,
        installation: &Installation,
        page: &Page,
    ) -> Result<ManagedClients, Fault> {
        let after = page.token.as_deref().map(|token| {
            let after = token.strip_prefix(PAGE_AFTER);
            after.ok_or_else(|| {
                let rule = Malformed::new("must be one that this connector has given");
                Fault::invalid(vec![Violation::new(Field::Page, &rule)])
            })
        });
        let after = after.transpose()?.unwrap_or_default();
        self.believed(deadline).await?;
        let sql = select!(
            "WHERE installation = $1 AND state = 'live' AND client_id > $2 ORDER BY client_id LIMIT $3"
        );
        let find = sqlx::query(sql)
            .bind(installation.to_string())
            .bind(after.to_owned())
            .bind(i64::from(page.size));
        let attempt = async {
            let found = find.fetch_all(self.database.pool().await?).await?;
            read_all(&found)
        };
        let rows = self.database.once(deadline, attempt).await?;
        let is_full = rows.len() == usize::from(page.size);
        Ok(ManagedClients {
            next: rows
                .last()
                .filter(|_| is_full)
                .map(|row| format!("{PAGE_AFTER}{}", row.client_id)),
            clients: rows.iter().filter_map(Columns::listed).collect(),
            complete: !is_full,
        })
    }

    async fn lookup(&self, deadline: Deadline, stored: Option<Columns>) -> Result<Lookup, Fault> {
        let Some(stored) = stored else {
            self.believed(deadline).await?;
            return Ok(Lookup::Unknown);
        };
        let row = stored
            .opened(&self.keyring)
            .map_err(|why| refused(&stored, &why))?;
        Ok(match stored.state.as_str() {
            LIVE => Lookup::Row(Box::new(row)),
            _ => Lookup::Tombstone,
        })
    }

    async fn stored(&self, client_id: &str) -> Result<Option<Columns>, Failed> {
        let find = sqlx::query(select!("WHERE client_id = $1")).bind(client_id);
        let found = find.fetch_optional(self.database.pool().await?).await?;
        Ok(found.as_ref().map(Columns::read).transpose()?)
    }

    /// That the store knows all that it ever knew.
    async fn believed(&self, deadline: Deadline) -> Result<(), Fault> {
        let standing = self.database.once(deadline, self.database.standing());
        match standing.await? {
            Standing::Trusted => Ok(()),
            Standing::Restored => {
                let after = Some(Duration::from_mins(1));
                let message = format!(
                    "the store ({}) is older than its witness: it was restored or replaced, and what it does not know \
                     may live at the identity provider. Read \"After a restore\" in STORE.md, then run `store repair \
                     --accept-restore`",
                    self.database.place
                );
                Err(Fault::new(FaultKind::Unavailable { after }, message)
                    .saying("The connector's database was restored; its operator must look at it."))
            }
        }
    }
}

fn read_all(rows: &[AnyRow]) -> Result<Vec<Columns>, Failed> {
    Ok(rows.iter().map(Columns::read).collect::<Result<_, _>>()?)
}

/// What came of writing a new row.
enum Inserted {
    Ours,
    /// There is another row of the client.
    Known,
    /// There is a row of another client of the same operation.
    Repeated,
}

fn repeated(mark: &Mark) -> Fault {
    let message = format!(
        "operation {} was begun before, here or in another replica; this call did nothing",
        mark.operation_id
    );
    Fault::new(FaultKind::Conflict, message).reason(Reason::OperationRepeated)
}

fn unsealed() -> Fault {
    Fault::internal("a row of the store cannot be sealed: the system has no randomness to give")
}

/// A row that does not open is refused; the others are served.
fn refused(stored: &Columns, why: &Closed) -> Fault {
    metrics::refused();
    Fault::internal(format!(
        "the store's row of client {} {why}",
        stored.client_id
    ))
    .outcome(Outcome::NotApplied)
    .saying("The connector's record of this client cannot be read; its operator must look at it.")
}
