//! What is known of the store outside it, so that a store that was restored from a backup is noticed.
//!
//! Every change counts `dcr_store.sequence` up, in its own transaction. The witness is the store's id and the highest
//! sequence ever seen: in memory, and in a file if one is configured, written before a change is answered. A store with
//! another id, or with a lower sequence, was lost or restored: it may lack clients that are live at the IdP, so what it
//! does not know is not absent. That is noted in the store, for later changes catch up with the witness, and stays
//! until an operator has run `store repair --accept-restore`.
//!
//! A write of the file costs two syncs of the disk; concurrent changes share one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::metrics;

/// How long a change that is done waits for its witness.
const TIME_TO_WRITE: Duration = Duration::from_secs(1);

/// How a store stands to its witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It knows all that was ever written.
    Trusted,
    /// It is older than its witness, or another store.
    Restored,
}

/// What the witness knows; `None`: nothing yet.
pub(super) type Known = Option<(String, i64)>;

/// What is known of the store outside it.
#[derive(Debug, Clone)]
pub(super) struct Witness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    known: Mutex<Known>,
    /// What the file holds.
    written: Mutex<i64>,
}

impl Witness {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            file,
            known: Mutex::default(),
            written: Mutex::new(-1),
        }))
    }

    pub(super) fn known(&self) -> Known {
        let known = self.0.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How a store stands to what is known.
    pub(super) fn judge(known: Known, store: &str, sequence: i64) -> Standing {
        match known {
            Some((id, highest)) if id != store || sequence < highest => Standing::Restored,
            Some(_) | None => Standing::Trusted,
        }
    }

    /// Reads the file, and judges a store that is opened. A store that nothing is known of is believed.
    pub(super) async fn hear(&self, store: &str, sequence: i64) -> Standing {
        let inner = Arc::clone(&self.0);
        let read = spawn_blocking(move || inner.file.as_deref().map_or(Ok(None), read));
        let known = match read.await {
            Ok(Ok(known)) => known,
            Ok(Err(error)) => {
                tracing::error!("the store's witness cannot be read: {error}");
                metrics::failed();
                None
            }
            Err(_) => None,
        };
        let standing = Self::judge(known.clone(), store, sequence);
        let known = known.unwrap_or_else(|| (store.to_owned(), sequence));
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        standing
    }

    /// Takes note of a sequence. That it cannot be written down fails no call: what it is about is done.
    pub(super) async fn saw(&self, sequence: i64) {
        {
            let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, highest)) = &mut *known {
                *highest = sequence.max(*highest);
            }
        }
        let inner = Arc::clone(&self.0);
        if inner.file.is_none() {
            return;
        }
        // It goes on when nobody waits for it any more.
        let written = timeout(TIME_TO_WRITE, spawn_blocking(move || inner.write()));
        let why = match written.await {
            Ok(Ok(Err(error))) => error.to_string(),
            Err(_) => "its disk does not answer".to_owned(),
            Ok(Ok(Ok(())) | Err(_)) => return,
        };
        tracing::error!(
            "the store's witness cannot be written ({why}): a restore of the store may go unnoticed"
        );
        metrics::failed();
    }
}

impl Inner {
    fn write(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some((store, highest)) = known.filter(|(_, highest)| *highest > *written) else {
            return Ok(());
        };
        write(file, &format!("{store} {highest}\n"))?;
        *written = highest;
        Ok(())
    }
}

/// What a file knows; `None` when there is none.
pub(super) fn read(file: &Path) -> io::Result<Known> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let known = text.trim_end().split_once(' ');
    let known = known.and_then(|(store, highest)| Some((store.to_owned(), highest.parse().ok()?)));
    known.map(Some).ok_or_else(|| {
        let what = format!(
            "{} holds no witness: remove it, or correct the path",
            file.display()
        );
        io::Error::new(ErrorKind::InvalidData, what)
    })
}

/// The file is the old or the new one at any moment.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    // A command may run beside the process that serves.
    beside.push(format!(".{}.new", std::process::id()));
    let mut new = File::create(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
