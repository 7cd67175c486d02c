//! What files of certificates hold, read again when they change.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::expiry::NotAfter;
use super::files::{Content, Files};
use crate::Shutdown;
use crate::config::Problems;
use crate::reloads::Reloads;
use crate::watch::Watch;

/// The certificate that a process shows, and what it asks of the other side. Read anew, it holds for the connections
/// from then on.
pub struct Identity<T> {
    files: Files,
    make: Make<T>,
    current: ArcSwap<T>,
    not_after: NotAfter,
}

/// Makes TLS's own configuration of what the files hold.
pub(super) type Make<T> = Box<dyn Fn(&Content) -> Result<T, rustls::Error> + Send + Sync>;

impl<T: Send + Sync + 'static> Identity<T> {
    /// Reads the files; their mistakes go to `problems`.
    pub(super) fn open(files: Files, make: Make<T>, problems: &mut Problems) -> Option<Arc<Self>> {
        match read(&files, &make) {
            Ok((content, current)) => Some(Arc::new(Self {
                files,
                make,
                current: ArcSwap::from_pointee(current),
                not_after: NotAfter::new(content.certificate.not_after()),
            })),
            Err(found) => {
                problems.append(found);
                None
            }
        }
    }

    /// The files that [`reload`](Self::reload) reads.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.paths()
    }

    /// Reads all files again and puts what they hold in place, for the connections from then on.
    ///
    /// # Errors
    /// Every mistake in the files; then all stays as it was.
    pub fn reload(&self) -> Result<(), Problems> {
        let (content, current) = read(&self.files, &self.make)?;
        self.current.store(Arc::new(current));
        self.not_after.set(content.certificate.not_after());
        let file = self.files.certificate.display();
        tracing::info!(%file, certificate = %content.certificate, "certificate in use");
        Ok(())
    }

    /// Reloads whenever a file changes, until the process stops. A bad version is told in the log, and the last good
    /// one stays; each is counted in `reloads` as a change of `part`, the name of this section of the configuration.
    /// Blocks while it reads; must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system cannot deliver SIGHUP.
    pub fn watch(
        self: &Arc<Self>,
        part: &'static str,
        reloads: &Reloads,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        let watch = Watch::new(self.files())?;
        // What changed between the first reading and the first look.
        self.reload_or_tell();
        let (identity, reloads) = (Arc::clone(self), reloads.clone());
        watch.spawn(shutdown, move || {
            reloads.count(part, identity.reload_or_tell());
            identity.files()
        });
        Ok(())
    }

    /// The outcome.
    fn reload_or_tell(&self) -> &'static str {
        let Err(problems) = self.reload() else {
            return "ok";
        };
        for problem in &problems {
            tracing::error!("the certificate in use stays: {problem}");
        }
        "refused"
    }

    /// When the certificate in use expires.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after.get()
    }

    pub(super) fn expiry(&self) -> NotAfter {
        self.not_after.clone()
    }

    pub(crate) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }
}

impl<T> Debug for Identity<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn read<T>(files: &Files, make: &Make<T>) -> Result<(Content, T), Problems> {
    let content = files.read()?;
    match make(&content) {
        Ok(current) => Ok((content, current)),
        Err(error) => {
            let mut problems = Problems::in_file(&files.certificate);
            problems.anywhere("", format!("cannot be used for TLS ({error})"));
            Err(problems)
        }
    }
}
