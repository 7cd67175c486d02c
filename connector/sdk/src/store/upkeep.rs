//! What operators do: look, count, move rows to the current key, and mend.

use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};

use super::database::Failed;
use super::held::{LEASE, milliseconds};
use super::metrics::{self, Counts};
use super::row::{BURIED, LIVE, Stored as Columns, moment};
use super::seal::Content;
use super::witness::Standing;
use super::{Store, read_all, select, unsealed};
use crate::fault::{Fault, FaultKind};
use crate::model::{Deadline, Finding, Severity};

/// Rows read at one time.
const PAGE: i64 = 500;

/// A row as an operator sees it: nothing of what is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The client's id.
    pub client_id: String,
    /// The provider of its mark.
    pub provider_id: String,
    /// The operation that made it.
    pub operation_id: String,
    /// When the row was made.
    pub created_at: Option<Timestamp>,
    /// The key it is sealed with.
    pub key_id: String,
    /// How it is.
    pub state: State,
}

/// How a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In use.
    Live,
    /// A call works on it, since then.
    Held(Timestamp),
    /// A call that may have rotated its token did not end; since then.
    Doubtful(Timestamp),
    /// Deleted; kept so that a second delete finds it.
    Buried,
    /// It does not open, and why.
    Closed(String),
}

/// A registration that began and whose end is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The operation.
    pub operation_id: String,
    /// The provider it was for.
    pub provider_id: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
}

/// What came of moving rows to the current key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reencrypted {
    /// Rows that are sealed with the current key now and were not before.
    pub moved: u64,
    /// Clients that were held or changed meanwhile: another run moves them.
    pub left: Vec<String>,
    /// Clients whose row does not open, and why.
    pub closed: Vec<(String, String)>,
}

fn silent(fault: &Fault) -> Finding {
    let sentence = format!("The store does not answer: {fault}");
    Finding::new(Severity::Error, "STORE_UNAVAILABLE", &sentence)
}

/// Whether a hold has ended by itself.
fn is_over(since: Timestamp) -> bool {
    Timestamp::now().duration_since(since).unsigned_abs() > LEASE
}

/// Writes a row; whether there was none of its client and operation before.
pub(super) async fn insert(
    row: &Columns,
    change: &mut Transaction<'static, Any>,
) -> Result<bool, Failed> {
    let sql = "INSERT INTO dcr_clients (client_id, operation_id, installation, provider_id, made, probe, created_at, \
               state, version, key_id, sealed, held_since, held_by, doubtful_since) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '', $12) ON CONFLICT DO NOTHING";
    let inserted = sqlx::query(sql)
        .bind(&row.client_id)
        .bind(&row.operation_id)
        .bind(&row.installation)
        .bind(&row.provider_id)
        .bind(&row.made)
        .bind(row.probe)
        .bind(row.created_at)
        .bind(&row.state)
        .bind(row.version)
        .bind(&row.key_id)
        .bind(row.sealed.clone())
        .bind(row.doubtful_since)
        .execute(&mut **change)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

impl Store {
    /// Rows after a client id, in the order of ids; empty after the last.
    pub(super) async fn page(&self, after: &str) -> Result<Vec<Columns>, Failed> {
        let find = sqlx::query(select!("WHERE client_id > $1 ORDER BY client_id LIMIT $2"));
        let find = find.bind(after).bind(PAGE);
        read_all(&find.fetch_all(self.database.pool().await?).await?)
    }

    /// Rows after a client id, as an operator sees them; empty after the last.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer.
    pub async fn entries(&self, deadline: Deadline, after: &str) -> Result<Vec<Entry>, Fault> {
        let rows = self.database.once(deadline, self.page(after)).await?;
        Ok(rows.iter().map(|row| self.entry(row)).collect())
    }

    fn entry(&self, row: &Columns) -> Entry {
        let since = |milliseconds: i64| moment(milliseconds).filter(|_| milliseconds != 0);
        let state = match row.opened(&self.keyring) {
            Err(why) => State::Closed(why.to_string()),
            Ok(_) if row.state == BURIED => State::Buried,
            Ok(_) => match (since(row.doubtful_since), since(row.held_since)) {
                (Some(doubtful), _) => State::Doubtful(doubtful),
                (None, Some(held)) if is_over(held) => State::Doubtful(held),
                (None, Some(held)) => State::Held(held),
                (None, None) => State::Live,
            },
        };
        Entry {
            client_id: row.client_id.clone(),
            provider_id: row.provider_id.clone(),
            operation_id: row.operation_id.clone(),
            created_at: moment(row.created_at),
            key_id: row.key_id.clone(),
            state,
        }
    }

    /// The open intents, oldest first, at most 500.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer.
    pub async fn intents(&self, deadline: Deadline) -> Result<Vec<Intent>, Fault> {
        let sql = "SELECT operation_id, provider_id, started_at FROM dcr_intents ORDER BY started_at LIMIT 500";
        let attempt = async {
            let rows = sqlx::query(sql)
                .fetch_all(self.database.pool().await?)
                .await?;
            let read = |row: &sqlx::any::AnyRow| {
                Ok(Intent {
                    operation_id: row.try_get(0)?,
                    provider_id: row.try_get(1)?,
                    started_at: moment(row.try_get(2)?),
                })
            };
            Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
        };
        self.database.once(deadline, attempt).await
    }

    /// Counts, for the metrics and for [`check`](Self::check).
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer.
    pub async fn counts(&self, deadline: Deadline) -> Result<Counts, Fault> {
        // An intent or a hold of a call that is still on its way is none that was left.
        let sql = "SELECT (SELECT COUNT(*) FROM dcr_clients WHERE state = 'live') AS live, \
                   (SELECT COUNT(*) FROM dcr_intents WHERE started_at < {now} - $2) AS intents, \
                   (SELECT COUNT(*) FROM dcr_clients WHERE state = 'live' \
                   AND (doubtful_since <> 0 OR (held_since <> 0 AND held_since < {now} - $2))) AS doubtful, \
                   (SELECT COUNT(*) FROM dcr_clients WHERE key_id <> $1) AS old_keys";
        let attempt = async {
            let row = sqlx::query(self.database.at_this_moment(sql))
                .bind(self.keyring.current_id())
                .bind(milliseconds(LEASE))
                .fetch_one(self.database.pool().await?)
                .await?;
            Ok(Counts {
                rows: row.try_get(0)?,
                intents: row.try_get(1)?,
                doubtful: row.try_get(2)?,
                old_keys: row.try_get(3)?,
            })
        };
        let counts = self.database.once(deadline, attempt).await?;
        metrics::counted(counts);
        Ok(counts)
    }

    /// Examines the store, and counts for the metrics: for [`Idp::check`](crate::Idp::check). Changes no client.
    pub async fn check(&self, deadline: Deadline) -> Vec<Finding> {
        let counts = match self.counts(deadline).await {
            Ok(counts) => counts,
            Err(fault) => return vec![silent(&fault)],
        };
        let mut findings = Vec::new();
        let standing = self.database.once(deadline, self.database.standing());
        match standing.await {
            Ok(Standing::Trusted) => {
                let sentence = format!("{}: {} clients.", self.database.place, counts.rows);
                findings.push(Finding::new(Severity::Ok, "STORE", &sentence));
            }
            Ok(Standing::Restored) => findings.push(Finding::new(
                Severity::Error,
                "STORE_RESTORED",
                "The store is older than its witness: it was restored. No client is made until `store repair \
                 --accept-restore` was run.",
            )),
            Err(fault) => findings.push(silent(&fault)),
        }
        let warnings = [
            (
                counts.intents,
                "STORE_OPEN_INTENTS",
                "registrations began and have no known end: see `store list`.",
            ),
            (
                counts.doubtful,
                "STORE_DOUBTFUL",
                "clients whose registration token may have been rotated unseen: see `store list`.",
            ),
            (
                counts.old_keys,
                "STORE_OLD_KEYS",
                "rows are sealed with a key that is not the current one: run `store reencrypt`.",
            ),
        ];
        for (count, code, sentence) in warnings {
            if count > 0 {
                let sentence = format!("{count} {sentence}");
                findings.push(Finding::new(Severity::Warning, code, &sentence));
            }
        }
        findings
    }

    /// Moves rows to the current key, each by a compare-and-swap, while others serve.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer; what was moved stays moved.
    pub async fn reencrypt(&self, deadline: impl Fn() -> Deadline) -> Result<Reencrypted, Fault> {
        let (mut done, mut after) = (Reencrypted::default(), String::new());
        loop {
            let rows = self.database.once(deadline(), self.page(&after)).await?;
            let Some(last) = rows.last() else {
                return Ok(done);
            };
            after.clone_from(&last.client_id);
            let current = self.keyring.current_id();
            for row in rows.iter().filter(|row| row.key_id != current) {
                let content = match row.open(&self.keyring) {
                    Ok(content) => content,
                    Err(why) => {
                        done.closed.push((row.client_id.clone(), why.to_string()));
                        continue;
                    }
                };
                let next = row
                    .sealed_anew(&self.keyring, &row.state, &content)
                    .ok_or_else(unsealed)?;
                let moved = self.database.once(deadline(), self.swap(row, &next));
                if moved.await? {
                    done.moved += 1;
                } else {
                    done.left.push(row.client_id.clone());
                }
            }
        }
    }

    /// Replaces a version of a row that nobody holds. A hold that has ended by itself leaves its doubt, but for a client
    /// that is buried: there is no token any more.
    pub(super) async fn swap(&self, old: &Columns, new: &Columns) -> Result<bool, Failed> {
        let sql = "UPDATE dcr_clients SET state = $1, version = $2, key_id = $3, sealed = $4, \
                   doubtful_since = CASE WHEN $1 = 'buried' THEN 0 WHEN doubtful_since = 0 THEN held_since \
                   ELSE doubtful_since END, held_since = 0, held_by = '' \
                   WHERE client_id = $5 AND version = $6 AND (held_since = 0 OR held_since < {now} - $7)";
        let mut change = self.database.begin().await?;
        let written = sqlx::query(self.database.at_this_moment(sql))
            .bind(&new.state)
            .bind(new.version)
            .bind(&new.key_id)
            .bind(new.sealed.clone())
            .bind(&old.client_id)
            .bind(old.version)
            .bind(milliseconds(LEASE))
            .execute(&mut *change)
            .await?;
        if written.rows_affected() == 0 {
            change.rollback().await?;
            return Ok(false);
        }
        self.database.commit(change).await?;
        Ok(true)
    }

    /// Believes a restored store from now on; whether it was not believed before.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer.
    pub async fn accept_restore(&self, deadline: Deadline) -> Result<bool, Fault> {
        let attempt = async {
            let standing = self.database.standing().await?;
            self.database.believe().await?;
            Ok(standing == Standing::Restored)
        };
        self.database.once(deadline, attempt).await
    }

    /// Forgets an intent that an operator has looked into; whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer.
    pub async fn forget_intent(&self, deadline: Deadline, operation: &str) -> Result<bool, Fault> {
        let attempt = async {
            let mut change = self.database.begin().await?;
            let gone = sqlx::query("DELETE FROM dcr_intents WHERE operation_id = $1")
                .bind(operation)
                .execute(&mut *change)
                .await?;
            self.database.commit(change).await?;
            Ok(gone.rows_affected() == 1)
        };
        self.database.once(deadline, attempt).await
    }

    /// Buries a client that is gone at the IdP, also one whose row does not open.
    ///
    /// # Errors
    /// `NotFound` when there is no live row of it, `Conflict` when a call works on it, `Unavailable` when the database
    /// does not answer.
    pub async fn bury(&self, deadline: Deadline, client_id: &str) -> Result<(), Fault> {
        let found = self.database.once(deadline, self.stored(client_id)).await?;
        let Some(row) = found.filter(|row| row.state == LIVE) else {
            return Err(Fault::no_such_client());
        };
        let next = row
            .sealed_anew(&self.keyring, BURIED, &Content::default())
            .ok_or_else(unsealed)?;
        if self.database.once(deadline, self.swap(&row, &next)).await? {
            return Ok(());
        }
        let message = format!(
            "a call works on client {client_id}: try again in {} s",
            LEASE.as_secs()
        );
        Err(Fault::new(FaultKind::Conflict, message))
    }
}
