//! One client, held for a call that may rotate its registration token.
//!
//! A hold is a lease in the client's row: who, and since when. It is durable, so neither a killed connector nor a
//! killed database lets a second call loose on a client whose first may still be answered. It ends after [`LEASE`],
//! which is longer than the longest call with all that follows it. Whoever takes over what was never ended finds
//! [`Row::doubtful_since`] set: the IdP may have rotated the token in that instant.

use std::time::Duration;

use sqlx::Row as _;
use tokio::time::sleep;

use super::database::{Failed, one_attempt};
use super::row::{BURIED, LIVE};
use super::{Change, Columns, Row, Store, refused, unsealed};
use crate::fault::{Fault, FaultKind, Outcome};
use crate::managed::awaited;
use crate::model::Deadline;
use crate::store::seal::Content;

/// [`TIME_TO_CALL`](super::TIME_TO_CALL) of 30 s, the last call's answer read for 30 s more, 30 s to write it down
/// ([`TIME_TO_WRITE`](super::TIME_TO_WRITE)), and 30 s for which the process may stand still.
pub(super) const LEASE: Duration = Duration::from_mins(2);
/// Between two looks at a client that somebody else holds.
const PAUSE: Duration = Duration::from_millis(100);

/// A client that no other call works on, here or in another replica. Dropped without an end (a panic, a kill), it stays
/// held until the lease ends.
#[derive(Debug)]
#[must_use = "what is held must be ended: `replace`, `bury`, `release` or `doubt`"]
pub struct Held {
    store: Store,
    columns: Columns,
    row: Row,
    by: String,
    /// What was to be written when the database did not answer: it may be there.
    unconfirmed: Option<Columns>,
}

/// What came of one try.
enum Tried {
    Held(Box<Columns>),
    /// By somebody else; for so long at most.
    Busy(Duration),
    /// No such live client.
    Absent,
}

impl Store {
    /// Holds a client, and notes in its row that a call which may rotate its token is about to leave. Waits for others.
    ///
    /// # Errors
    /// `NotFound` for an unknown or buried client; `Unavailable` when others held it until the deadline, and as
    /// [`find`](Self::find): nothing was sent.
    pub async fn hold(&self, deadline: Deadline, client_id: &str) -> Result<Held, Fault> {
        let by = self.database.next_name();
        loop {
            let tried = self
                .database
                .tried(one_attempt(), self.try_hold(client_id, &by))
                .await;
            let tried = match tried {
                Ok(tried) => tried,
                Err(failed) => {
                    if failed.may_be_done() {
                        // No call will leave: nobody else is to wait for the end of the lease.
                        let soon = one_attempt();
                        self.let_go(soon, client_id, &by, false).await;
                    }
                    return Err(self.database.unavailable(&failed));
                }
            };
            let wait = match tried {
                Tried::Held(columns) => match columns.opened(&self.keyring) {
                    Ok(_) if deadline.remaining().is_zero() || awaited::still().is_err() => {
                        let soon = one_attempt();
                        self.let_go(soon, client_id, &by, false).await;
                        return Err(self.database.unavailable(&Failed::Silent));
                    }
                    Ok(row) => {
                        return Ok(Held {
                            store: self.clone(),
                            columns: *columns,
                            row,
                            by,
                            unconfirmed: None,
                        });
                    }
                    Err(why) => {
                        self.let_go(deadline, client_id, &by, false).await;
                        return Err(refused(&columns, &why));
                    }
                },
                Tried::Absent => {
                    self.believed(deadline).await?;
                    return Err(Fault::no_such_client());
                }
                Tried::Busy(wait) => wait,
            };
            awaited::still()?;
            if deadline.remaining() <= PAUSE {
                let after = Some(wait.min(Duration::from_mins(1)));
                let message = format!(
                    "client {client_id} is held by another call, of this or another replica, for at most {} s more",
                    wait.as_secs()
                );
                return Err(Fault::new(FaultKind::Unavailable { after }, message)
                    .saying("Another call on this client has not ended yet."));
            }
            sleep(dcr_runtime::jittered(PAUSE)).await;
        }
    }

    async fn try_hold(&self, client_id: &str, by: &str) -> Result<Tried, Failed> {
        let sql = "UPDATE dcr_clients SET \
                   doubtful_since = CASE WHEN held_since <> 0 AND doubtful_since = 0 THEN held_since ELSE doubtful_since END, \
                   held_since = {now}, held_by = $2 \
                   WHERE client_id = $1 AND state = 'live' AND (held_since = 0 OR held_since < {now} - $3 \
                   OR ($4 <> '' AND substr(held_by, 1, 32) <> $4)) \
                   RETURNING client_id, operation_id, installation, provider_id, made, probe, created_at, state, version, \
                   key_id, sealed, held_since, doubtful_since";
        let alone = self.database.is_exclusive();
        let dead_unless = if alone {
            self.database.process.as_str()
        } else {
            ""
        };
        let held = sqlx::query(self.database.at_this_moment(sql))
            .bind(client_id)
            .bind(by)
            .bind(milliseconds(LEASE))
            .bind(dead_unless)
            .fetch_all(self.database.pool().await?)
            .await?;
        if let Some(row) = held.first() {
            return Ok(Tried::Held(Box::new(Columns::read(row)?)));
        }
        let sql = "SELECT held_since + $2 - {now} FROM dcr_clients WHERE client_id = $1 AND state = 'live'";
        let busy = sqlx::query(self.database.at_this_moment(sql))
            .bind(client_id)
            .bind(milliseconds(LEASE))
            .fetch_optional(self.database.pool().await?)
            .await?;
        let Some(busy) = busy else {
            return Ok(Tried::Absent);
        };
        let left = u64::try_from(busy.try_get::<i64, _>(0)?).unwrap_or_default();
        Ok(Tried::Busy(Duration::from_millis(left)))
    }

    /// Ends a hold without a change. One that cannot be ended ends by itself.
    async fn let_go(&self, deadline: Deadline, client_id: &str, by: &str, in_doubt: bool) {
        let sql = "UPDATE dcr_clients SET \
                   doubtful_since = CASE WHEN $3 = 1 AND doubtful_since = 0 THEN held_since ELSE doubtful_since END, \
                   held_since = 0, held_by = '' WHERE client_id = $1 AND held_by = $2";
        let attempt = async {
            let pool = self.database.pool().await?;
            let query = sqlx::query(sql).bind(client_id).bind(by);
            query.bind(i64::from(in_doubt)).execute(pool).await?;
            Ok(())
        };
        if let Err(fault) = self.database.once(deadline, attempt).await {
            tracing::warn!(%client_id, "the client stays held for at most {} s: {fault}", LEASE.as_secs());
        }
    }
}

impl Held {
    /// The client as it is now: with the token to use.
    #[must_use]
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Writes what the IdP's answer changed, and ends the hold. The answer proves the token good, so this clears a doubt,
    /// and is also the end of a call that changed nothing; never of one that was not made. Tries until the deadline: give
    /// it [`TIME_TO_WRITE`](super::TIME_TO_WRITE).
    ///
    /// # Errors
    /// `TimedOut` when the database was away for too long: a new token is lost with the process. `Internal` when the
    /// hold was over before.
    pub async fn replace(mut self, deadline: Deadline, change: Change) -> Result<(), Fault> {
        let content = self.row.after(change);
        self.write(deadline, LIVE, &content, false).await
    }

    /// Writes something, and holds on: for what is noted before a call, and between several. It proves nothing, so a
    /// doubt stays. What changes without any call at all: this, and then [`release`](Self::release).
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    pub async fn replace_and_hold(
        &mut self,
        deadline: Deadline,
        change: Change,
    ) -> Result<(), Fault> {
        let content = self.row.after(change);
        self.write(deadline, LIVE, &content, true).await
    }

    /// Writes that the client is gone, wipes what it was managed with, and ends the hold.
    ///
    /// # Errors
    /// As [`replace`](Self::replace); the next delete then finds the client gone at the IdP.
    pub async fn bury(mut self, deadline: Deadline) -> Result<(), Fault> {
        self.write(deadline, BURIED, &Content::default(), false)
            .await
    }

    /// Ends the hold: no call has left, or the IdP refused it without doing anything. As all that ends a hold it wants a
    /// deadline of its own: that of the call may have passed.
    ///
    /// What [`replace_and_hold`](Self::replace_and_hold) was to write and could not is taken back.
    pub async fn release(self, deadline: Deadline) {
        self.end(deadline, false).await;
    }

    /// Ends the hold of a call of which nobody knows what it did. The row is kept with a note that its token may have
    /// been rotated; the next [`replace`](Self::replace) takes it away.
    pub async fn doubt(self, deadline: Deadline) {
        self.end(deadline, true).await;
    }

    async fn end(mut self, deadline: Deadline, in_doubt: bool) {
        let client_id = self.columns.client_id.clone();
        if self.unconfirmed.is_some() {
            let before = self.row.after(Change::default());
            if let Err(fault) = self.write(deadline, LIVE, &before, true).await {
                tracing::warn!(%client_id, "what was noted for a call may stay noted: {fault}");
            }
        }
        self.store
            .let_go(deadline, &client_id, &self.by, in_doubt)
            .await;
    }

    /// Ends the hold as a fault wants it: [`release`](Self::release) when nothing was done, else
    /// [`doubt`](Self::doubt).
    pub async fn failed(self, deadline: Deadline, fault: &Fault) {
        match fault.done() {
            Outcome::NotApplied => self.release(deadline).await,
            Outcome::Applied | Outcome::Unknown => self.doubt(deadline).await,
        }
    }

    /// Writes the next version. A row that names this hold was changed by nobody else. After a lease that ended too soon
    /// somebody else may have tried and let go: what is still as it was takes the answer of this call, and keeps the doubt
    /// that theirs left.
    async fn write(
        &mut self,
        deadline: Deadline,
        state: &str,
        content: &Content,
        hold_on: bool,
    ) -> Result<(), Fault> {
        let (store, columns) = (&self.store, &self.columns);
        let last = self.unconfirmed.as_ref().unwrap_or(columns);
        let mut next = last
            .sealed_anew(&store.keyring, state, content)
            .ok_or_else(unsealed)?;
        if hold_on {
            next.doubtful_since = columns.doubtful_since;
        }
        let is_ours = |there: &Columns| {
            [columns, last]
                .iter()
                .any(|ours| there.sealed == ours.sealed)
        };
        let sql = "UPDATE dcr_clients SET state = $1, version = $2, key_id = $3, sealed = $4, \
                   doubtful_since = CASE WHEN $1 = 'live' AND ($5 = 1 OR held_by = '') THEN doubtful_since ELSE 0 END, \
                   held_since = CASE WHEN $5 = 1 THEN {now} ELSE 0 END, held_by = CASE WHEN $5 = 1 THEN held_by ELSE '' END \
                   WHERE client_id = $6 AND state = 'live' \
                   AND (held_by = $7 OR ($5 = 0 AND held_by = '' AND sealed IN ($8, $9)))";
        let attempt = || async {
            let mut change = store.database.begin().await?;
            let written = sqlx::query(store.database.at_this_moment(sql))
                .bind(&next.state)
                .bind(next.version)
                .bind(&next.key_id)
                .bind(next.sealed.clone())
                .bind(i64::from(hold_on))
                .bind(&next.client_id)
                .bind(&self.by)
                .bind(columns.sealed.clone())
                .bind(last.sealed.clone())
                .execute(&mut *change)
                .await?;
            if written.rows_affected() == 1 {
                store.database.commit(change).await?;
                return Ok(true);
            }
            change.rollback().await?;
            match store.stored(&next.client_id).await? {
                // An earlier attempt was committed and its answer lost.
                Some(there) if there.sealed == next.sealed => Ok(true),
                Some(there) if is_ours(&there) && !hold_on => Err(Failed::Held),
                _ => Ok(false),
            }
        };
        let what = format!("write the row of client {}", next.client_id);
        match store.database.until_done(deadline, &what, attempt).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(Fault::internal(format!(
                    "client {} was held for longer than {} s and others have changed its row since; its registration \
                     token may be lost",
                    next.client_id,
                    LEASE.as_secs()
                )));
            }
            Err(fault) => {
                self.unconfirmed = Some(next);
                return Err(fault);
            }
        }
        self.row = next
            .opened(&store.keyring)
            .map_err(|why| refused(&next, &why))?;
        self.columns = next;
        self.unconfirmed = None;
        Ok(())
    }
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
