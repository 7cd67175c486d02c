//! The database: one set of statements for SQLite and PostgreSQL, each attempt with a deadline.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _,
    SqlSafeStr, Transaction,
};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout, timeout_at};
use url::Url;

use super::metrics;
use super::witness::{Standing, Witness};
use crate::fault::{Fault, FaultKind, Outcome, Reason};
use crate::model::{Deadline, OperationId};

/// For one attempt; a database that does not answer for so long is asked anew.
const ATTEMPT: Duration = Duration::from_secs(5);
/// For a connection; as long as one to the IdP may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts to write what must not be lost.
const PAUSE: Duration = Duration::from_millis(200);
/// What a caller of an unavailable database is told to wait.
const COME_BACK: Duration = Duration::from_secs(5);
/// Connections to PostgreSQL. None is held while an IdP is asked.
const MOST_CONNECTIONS: u32 = 16;

/// FULL: what is committed is on the disk before the statement returns.
const OF_SQLITE: &[&str] = &["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"];
/// A replica that stands still or whose machine is gone must not keep its locks, for all writes of all replicas wait for
/// them: its transaction and its connection are ended. A statement ends before its attempt does.
const OF_POSTGRES: &[&str] = &[
    "SET statement_timeout = '4s'",
    "SET idle_in_transaction_session_timeout = '5s'",
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET synchronous_commit = 'on'",
    // A ROLLBACK of nothing is no matter for the log.
    "SET client_min_messages = 'error'",
];

/// Which database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of one process.
    Sqlite(PathBuf),
    /// A database that replicas share: host, port and name, and nothing of the credential.
    Postgres(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "SQLite {}", file.display()),
            Self::Postgres(at) => write!(f, "PostgreSQL {at}"),
        }
    }
}

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// What the driver says.
    #[error("{0}")]
    Sql(sqlx::Error),
    /// The driver waits out a refused connection, and then tells no more than that.
    #[error("no connection within {} s: is it running, reachable, and does it admit this connector?", CONNECT.as_secs())]
    Unconnected,
    /// The schema was made by a newer connector.
    #[error(
        "the store's schema is newer than this connector: run the version that made it, or a later one"
    )]
    Newer,
    /// The schema cannot be made.
    #[error("{0}")]
    Migration(MigrateError),
    /// It did not answer in time.
    #[error("it does not answer")]
    Silent,
    /// A hold whose lease was over was taken by another call, which has not ended.
    #[error("another call works on the client")]
    Held,
}

impl Failed {
    /// Whether it may have done what it was asked.
    pub(super) fn may_be_done(&self) -> bool {
        matches!(self, Self::Sql(_) | Self::Silent)
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Unconnected,
            other => Self::Sql(other),
        }
    }
}

/// A pool, and what is known of the database behind it.
pub(super) struct Database {
    pub(super) place: Place,
    pub(super) witness: Witness,
    /// Names this process in what it holds.
    pub(super) process: String,
    pool: AnyPool,
    ready: OnceCell<()>,
    /// Keeps a second process from serving from the same file.
    lock: Option<File>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Opens nothing yet: the first statement connects.
    pub(super) fn new(
        place: Place,
        connect: AnyConnectOptions,
        witness: Witness,
        lock: Option<File>,
    ) -> Self {
        install_default_drivers();
        let sqlite = matches!(place, Place::Sqlite(_));
        let options = AnyPoolOptions::new()
            // SQLite has one writer; a second connection would only wait for the first.
            .max_connections(if sqlite { 1 } else { MOST_CONNECTIONS })
            .acquire_timeout(CONNECT)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    let settings = if sqlite { OF_SQLITE } else { OF_POSTGRES };
                    set(settings, connection).await
                })
            })
            // The pool waits without end for one that does not answer any more, and then has one less.
            .after_release(move |connection, _| {
                Box::pin(async move {
                    if sqlite {
                        return Ok(true);
                    }
                    // Whoever was cut off while PostgreSQL was told to begin has left a transaction of which the driver
                    // does not know: what the next one changes would not be committed.
                    let ended = sqlx::query("ROLLBACK").execute(connection);
                    let ended = timeout(CONNECT, ended).await;
                    ended.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    Ok(true)
                })
            });
        Self {
            place,
            witness,
            process: OperationId::generate().simple(),
            pool: options.connect_lazy_with(connect),
            ready: OnceCell::new(),
            lock,
        }
    }

    /// Connects with these credentials from now on.
    pub(super) fn credentials(&self, connect: AnyConnectOptions) {
        self.pool.set_connect_options(connect);
    }

    /// Whether a lease of another process is that of a dead one: this is the process that serves from a SQLite file. One
    /// that runs a command beside it is not.
    pub(super) fn is_exclusive(&self) -> bool {
        self.lock.is_some()
    }

    /// Names one hold or intent of this process, whose own name comes first in 32 characters.
    pub(super) fn next_name(&self) -> String {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        format!("{}/{number}", self.process)
    }

    /// The SQL of now in milliseconds: of PostgreSQL's clock, which all replicas share.
    pub(super) fn now(&self) -> &'static str {
        match self.place {
            Place::Sqlite(_) => "CAST(unixepoch('subsec') * 1000 AS BIGINT)",
            Place::Postgres(_) => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// A statement in which `{now}` stands for this moment.
    pub(super) fn at_this_moment(&self, sql: &str) -> impl SqlSafeStr + use<> {
        AssertSqlSafe(sql.replace("{now}", self.now()))
    }

    /// The pool, once the schema is there and the witness has been heard.
    pub(super) async fn pool(&self) -> Result<&AnyPool, Failed> {
        self.ready.get_or_try_init(|| self.prepare()).await?;
        Ok(&self.pool)
    }

    /// A transaction that may write.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, Failed> {
        let pool = self.pool().await?;
        Ok(match self.place {
            // Without it two processes that read first and write then would refuse each other.
            Place::Sqlite(_) => pool.begin_with("BEGIN IMMEDIATE").await?,
            Place::Postgres(_) => pool.begin().await?,
        })
    }

    /// Counts a change and commits it; the witness hears of it before anybody else does.
    pub(super) async fn commit(&self, mut change: Transaction<'static, Any>) -> Result<(), Failed> {
        // The last statement: from here to the commit, other writers wait.
        let sql = "UPDATE dcr_store SET sequence = sequence + 1, restored_at = CASE WHEN restored_at = 0 \
                   AND $1 <> '' AND (store_id <> $1 OR sequence < $2) THEN {now} ELSE restored_at END RETURNING sequence";
        // Once the sequence has caught up with the witness, nothing would tell of a restore any more. What is known was
        // committed before this statement began.
        let (store, highest) = self.witness.known().unwrap_or_default();
        let counted = sqlx::query(self.at_this_moment(sql))
            .bind(store)
            .bind(highest)
            .fetch_all(&mut *change)
            .await?;
        let sequence = counted.first().map(|row| row.try_get(0)).transpose()?;
        change.commit().await?;
        if let Some(sequence) = sequence {
            self.witness.saw(sequence).await;
        }
        Ok(())
    }

    /// How the store stands to its witness.
    pub(super) async fn standing(&self) -> Result<Standing, Failed> {
        // What other calls write while this one reads must not look like a step back.
        let known = self.witness.known();
        let sql = "SELECT store_id, sequence, restored_at FROM dcr_store";
        let row = sqlx::query(sql).fetch_one(self.pool().await?).await?;
        let (store, sequence): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let restored_at: i64 = row.try_get(2)?;
        let standing = if restored_at == 0 {
            Witness::judge(known, &store, sequence)
        } else {
            Standing::Restored
        };
        if restored_at == 0 && standing != Standing::Trusted {
            note_restored(self.now(), self.pool().await?).await?;
        }
        Ok(standing)
    }

    /// Believes the store as it is from now on: it becomes the store that the witness knows. The leap takes it past the
    /// witnesses of all replicas, which may have seen more than this one's.
    pub(super) async fn believe(&self) -> Result<(), Failed> {
        let sql = "UPDATE dcr_store SET restored_at = 0, \
                   store_id = CASE WHEN $1 = '' THEN store_id ELSE $1 END, \
                   sequence = CASE WHEN sequence < $2 THEN $2 ELSE sequence END + 1000000 RETURNING sequence";
        let pool = self.pool().await?;
        let (store, highest) = self.witness.known().unwrap_or_default();
        let rows = sqlx::query(sql)
            .bind(store)
            .bind(highest)
            .fetch_all(pool)
            .await?;
        if let Some(row) = rows.first() {
            self.witness.saw(row.try_get(0)?).await;
        }
        Ok(())
    }

    /// Does something once.
    ///
    /// # Errors
    /// `Unavailable`: nothing was sent to the IdP.
    pub(super) async fn once<T>(
        &self,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Fault> {
        let tried = self.tried(deadline, attempt).await;
        tried.map_err(|failed| self.unavailable(&failed))
    }

    /// Does something once, for those who must know how it failed.
    pub(super) async fn tried<T>(
        &self,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let tried = bounded(deadline, attempt).await;
        tried.inspect_err(|_| metrics::failed())
    }

    pub(super) fn unavailable(&self, failed: &Failed) -> Fault {
        let after = Some(COME_BACK);
        let message = format!("the store ({}) is unavailable: {failed}", self.place);
        Fault::new(FaultKind::Unavailable { after }, message)
            .saying("The connector's own database is unavailable.")
    }

    /// Does something until it is done or the deadline has passed: for what must not be lost. An attempt must find out
    /// itself whether the one before it was committed after all.
    ///
    /// # Errors
    /// `TimedOut` with UNKNOWN.
    pub(super) async fn until_done<T, F>(
        &self,
        deadline: Deadline,
        what: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut warned = false;
        loop {
            let failed = match bounded(deadline, attempt()).await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            metrics::failed();
            if deadline.remaining() <= PAUSE {
                let message = format!("the store ({}) could not {what}: {failed}", self.place);
                return Err(Fault::new(FaultKind::TimedOut, message)
                    .reason(Reason::TimedOut)
                    .outcome(Outcome::Unknown)
                    .saying("The connector's own database is unavailable."));
            }
            if !warned {
                tracing::warn!(place = %self.place, "the store does not {what} ({failed}); it is tried again");
                warned = true;
            }
            sleep(dcr_runtime::jittered(PAUSE)).await;
        }
    }

    async fn prepare(&self) -> Result<(), Failed> {
        self.migrate().await?;
        let store = OperationId::generate().simple();
        let sql = "INSERT INTO dcr_store (one, store_id, sequence, restored_at) VALUES (1, $1, 0, 0) ON CONFLICT (one) DO NOTHING";
        sqlx::query(sql).bind(store).execute(&self.pool).await?;
        let sql = "SELECT store_id, sequence FROM dcr_store";
        let row = sqlx::query(sql).fetch_one(&self.pool).await?;
        let (store, sequence): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        match self.witness.hear(&store, sequence).await {
            Standing::Trusted => self.witness.saw(sequence).await,
            Standing::Restored => note_restored(self.now(), &self.pool).await?,
        }
        Ok(())
    }

    /// On a connection of its own: one that is given up takes its lock with it.
    async fn migrate(&self) -> Result<(), Failed> {
        let mut connection: AnyConnection = self.pool.connect_options().connect().await?;
        if let Place::Postgres(_) = self.place {
            set(OF_POSTGRES, &mut connection).await?;
        }
        let first = match self.place {
            Place::Sqlite(_) => include_str!("migrations/0001_sqlite.sql"),
            Place::Postgres(_) => include_str!("migrations/0001_postgres.sql"),
        };
        let simple = MigrationType::Simple;
        let first = Migration::new(
            1,
            "clients and intents".into(),
            simple,
            first.into_sql_str(),
            false,
        );
        let migrator = Migrator::with_migrations(vec![first]);
        let migrated = match self.place {
            Place::Sqlite(_) => {
                // The driver has no lock of its own for SQLite.
                let mut alone = connection.begin_with("BEGIN IMMEDIATE").await?;
                match migrator.run_direct(None, &mut *alone, false).await {
                    Ok(()) => alone.commit().await.map_err(MigrateError::Execute),
                    failed => failed,
                }
            }
            Place::Postgres(_) => migrator.run_direct(None, &mut connection, false).await,
        };
        migrated.map_err(|error| match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Failed::Newer,
            MigrateError::Execute(error) => error.into(),
            other => Failed::Migration(other),
        })
    }
}

/// What connects to a URL; its statements are not logged, for their text tells nothing that our own log does not.
pub(super) fn connect_options(url: &Url) -> Result<AnyConnectOptions, String> {
    let options = AnyConnectOptions::from_url(url).map_err(|error| error.to_string())?;
    Ok(options.disable_statement_logging())
}

/// Notes a restore, so that it stays known when later changes have caught up, and to every replica.
async fn note_restored(now: &str, pool: &AnyPool) -> Result<(), Failed> {
    let sql = format!("UPDATE dcr_store SET restored_at = {now} WHERE restored_at = 0");
    sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

async fn set(settings: &[&'static str], connection: &mut AnyConnection) -> sqlx::Result<()> {
    for setting in settings {
        sqlx::query(*setting).fetch_all(&mut *connection).await?;
    }
    Ok(())
}

/// The deadline of one attempt that is not to be cut short: one that was would have to be taken back.
pub(super) fn one_attempt() -> Deadline {
    Deadline::after(ATTEMPT)
}

async fn bounded<T>(
    deadline: Deadline,
    attempt: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    match timeout_at(deadline.at_most(ATTEMPT).instant(), attempt).await {
        Ok(done) => done,
        Err(_) => Err(Failed::Silent),
    }
}

/// The lock of a SQLite file, for the process that serves from it.
///
/// # Errors
/// When another process has it, or it cannot be made.
pub(super) fn lock(file: &Path) -> Result<File, String> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|error| {
            format!(
                "{} cannot be made ({error}): let the process write there",
                beside.display()
            )
        })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(format!(
            "another process serves from {}: SQLite is for one replica; stop the other, or use PostgreSQL",
            file.display()
        )),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(format!("{} cannot be locked ({error})", beside.display()))
        }
    }
}
