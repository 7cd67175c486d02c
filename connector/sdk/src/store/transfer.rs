//! A backup of the store that is as sealed as the store: one JSON object a line.
//!
//! The first line tells the format, each other one a row with its columns. Nothing in it depends on the database it came
//! from, so it also moves a store from SQLite to PostgreSQL.

use std::io::{self, BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::row::Stored as Columns;
use super::{Store, upkeep};
use crate::fault::{Fault, FaultKind};
use crate::model::Deadline;

const FORMAT: u32 = 1;

/// How many rows were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported(pub u64);

/// What came of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows that are there now and were not before.
    pub added: u64,
    /// Rows of clients or operations that were there already: left as they were.
    pub there: u64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    dcr_store_export: u32,
}

#[derive(Serialize, Deserialize)]
struct Line {
    client_id: String,
    operation_id: String,
    installation: String,
    provider_id: String,
    made: String,
    probe: i64,
    created_at: i64,
    state: String,
    version: i64,
    key_id: String,
    sealed: String,
    doubtful_since: i64,
}

impl Line {
    fn of(row: &Columns) -> Self {
        // A call that is under way may have rotated the token by the time this is restored.
        let doubtful_since = match row.doubtful_since {
            0 => row.held_since,
            since => since,
        };
        let row = row.clone();
        Self {
            client_id: row.client_id,
            operation_id: row.operation_id,
            installation: row.installation,
            provider_id: row.provider_id,
            made: row.made,
            probe: row.probe,
            created_at: row.created_at,
            state: row.state,
            version: row.version,
            key_id: row.key_id,
            sealed: STANDARD.encode(row.sealed),
            doubtful_since,
        }
    }

    fn columns(self) -> Option<Columns> {
        Some(Columns {
            sealed: STANDARD.decode(self.sealed).ok()?,
            client_id: self.client_id,
            operation_id: self.operation_id,
            installation: self.installation,
            provider_id: self.provider_id,
            made: self.made,
            probe: self.probe,
            created_at: self.created_at,
            state: self.state,
            version: self.version,
            key_id: self.key_id,
            held_since: 0,
            doubtful_since: self.doubtful_since,
        })
    }
}

impl Store {
    /// Writes all rows. Each is as it was at some moment of the export; open intents are left out.
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer, `Internal` when nothing can be written.
    pub async fn export(
        &self,
        deadline: impl Fn() -> Deadline,
        mut to: impl Write,
    ) -> Result<Exported, Fault> {
        let head = Head {
            dcr_store_export: FORMAT,
        };
        line(&mut to, &head)?;
        let (mut exported, mut after) = (0, String::new());
        loop {
            let rows = self.database.once(deadline(), self.page(&after)).await?;
            let Some(last) = rows.last() else {
                to.flush().map_err(unwritten)?;
                return Ok(Exported(exported));
            };
            after.clone_from(&last.client_id);
            for row in &rows {
                line(&mut to, &Line::of(row))?;
                exported += 1;
            }
        }
    }

    /// Reads what [`export`](Self::export) wrote into this store; what is there already stays as it is.
    ///
    /// # Errors
    /// `Conflict` when the text is no export or a row does not open; rows before it are there. `Unavailable` when the
    /// database does not answer.
    pub async fn import(
        &self,
        deadline: impl Fn() -> Deadline,
        from: impl BufRead,
    ) -> Result<Imported, Fault> {
        let mut lines = from.lines();
        let head = lines.next().transpose().ok().flatten();
        let head = head.and_then(|text| serde_json::from_str::<Head>(&text).ok());
        if head.is_none_or(|head| head.dcr_store_export != FORMAT) {
            return Err(unread(1, "it does not begin as an export does"));
        }
        let mut imported = Imported::default();
        for (number, text) in (2..).zip(lines) {
            let text = text.map_err(|error| unread(number, &error.to_string()))?;
            let row = serde_json::from_str::<Line>(&text).ok();
            let row = row.and_then(Line::columns);
            let row = row.ok_or_else(|| unread(number, "it is no row"))?;
            row.open(&self.keyring).map_err(|why| {
                unread(
                    number,
                    &format!("the row of client {} {why}", row.client_id),
                )
            })?;
            let attempt = async {
                let mut change = self.database.begin().await?;
                let added = upkeep::insert(&row, &mut change).await?;
                self.database.commit(change).await?;
                Ok(added)
            };
            if self.database.once(deadline(), attempt).await? {
                imported.added += 1;
            } else {
                imported.there += 1;
            }
        }
        Ok(imported)
    }
}

fn line(to: &mut impl Write, value: &impl Serialize) -> Result<(), Fault> {
    let text = serde_json::to_string(value).map_err(|error| unwritten(error.into()))?;
    writeln!(to, "{text}").map_err(unwritten)
}

fn unwritten(error: io::Error) -> Fault {
    Fault::internal("the export cannot be written").because(error)
}

fn unread(line: u64, why: &str) -> Fault {
    Fault::new(
        FaultKind::Conflict,
        format!("line {line} of the export cannot be used: {why}"),
    )
}
