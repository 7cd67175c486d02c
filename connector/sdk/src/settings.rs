//! What an [`Idp`](crate::Idp) is told of its process, and the files that its configuration names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dcr_runtime::config::read_secret_file;
use secrecy::SecretString;

use crate::config::{Located, Problem, Problems};
use crate::http::Tokens;
use crate::model::Installation;

/// What an [`Idp`](crate::Idp) is told of its process beside its own section of the configuration.
///
/// Every file that the section names is read through here: so it is known, and a change of it makes a new `Idp`
/// without a restart.
#[derive(Debug)]
pub struct Settings {
    /// The installation whose clients this connector owns.
    pub installation: Installation,
    /// The configuration file, for messages.
    pub file: PathBuf,
    kept: Kept,
    read: Mutex<BTreeSet<PathBuf>>,
}

/// What a process keeps of one [`Idp`](crate::Idp) for the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Its access tokens.
    pub(crate) tokens: Tokens,
    /// The store it has open.
    #[cfg(feature = "store")]
    pub(crate) store: crate::store::Opened,
}

impl Kept {
    /// That of a process that serves.
    pub(crate) fn serving() -> Self {
        Self {
            #[cfg(feature = "store")]
            store: crate::store::Opened::serving(),
            ..Self::default()
        }
    }
}

impl Settings {
    /// Settings of an installation that is configured in `file`. What has the same `kept` hands over what it keeps.
    pub(crate) fn new(installation: Installation, file: &Path, kept: &Kept) -> Self {
        Self {
            installation,
            file: file.to_owned(),
            kept: kept.clone(),
            read: Mutex::default(),
        }
    }

    /// Settings of a process of its own, of whose files nobody is told: for tests alone.
    #[doc(hidden)]
    #[must_use]
    pub fn of_a_process(installation: Installation, file: &Path, serves: bool) -> Self {
        let kept = if serves {
            Kept::serving()
        } else {
            Kept::default()
        };
        Self::new(installation, file, &kept)
    }

    /// The store that the process has open.
    #[cfg(feature = "store")]
    pub(crate) fn opened(&self) -> &crate::store::Opened {
        &self.kept.store
    }

    /// Where to collect the mistakes of the section `idp`; their paths begin with `idp.`.
    #[must_use]
    pub fn problems(&self) -> Problems {
        Problems::in_file(&self.file)
    }

    /// A secret in the file that the member at `path` (as `idp.client_secret_file`) names. `None` when it cannot be
    /// read, which is noted in `problems`.
    pub fn secret_file(
        &self,
        file: &Located<PathBuf>,
        path: &str,
        problems: &mut Problems,
    ) -> Option<SecretFile> {
        self.remember(&file.value);
        let secret = SecretFile {
            path: file.value.clone(),
            tokens: self.kept.tokens.clone(),
        };
        match secret.read() {
            Ok(_) => Some(secret),
            Err(problem) => {
                problems.at(file, path, problem.to_string());
                None
            }
        }
    }

    /// The content of the file that the member at `path` (as `idp.ca_file`) names; no secret. `None` when it cannot be
    /// read, which is noted in `problems`.
    pub fn read(
        &self,
        file: &Located<PathBuf>,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Vec<u8>> {
        self.remember(&file.value);
        let content = fs::read(&file.value).map_err(|error| {
            let sentence = format!(
                "{} cannot be read ({error}): correct the path, or make the file readable",
                file.value.display()
            );
            problems.at(file, path, sentence);
        });
        content.ok()
    }

    /// The files that were read through here.
    pub(crate) fn into_files(self) -> BTreeSet<PathBuf> {
        self.read
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, file: &Path) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(file.to_owned());
    }
}

/// A secret in a file of its own, read whenever it is needed; [`Settings::secret_file`] gives it.
#[derive(Debug, Clone)]
pub struct SecretFile {
    path: PathBuf,
    tokens: Tokens,
}

impl SecretFile {
    /// A file that nobody watches: of a connector without a configuration file, within another process.
    #[must_use]
    pub fn unwatched(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            tokens: Tokens::default(),
        }
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// When the file cannot be read or holds no secret; the problem says what to do, and nothing of the content.
    pub fn read(&self) -> Result<SecretString, Problem> {
        read_secret_file(&self.path)
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}
