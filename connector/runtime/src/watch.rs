//! Files that are read again when they change.
//!
//! Files are hashed every 15 s, through symbolic links: Kubernetes changes a mounted ConfigMap or Secret by swapping
//! one link, which notifications of the file system tell late or not at all. SIGHUP makes every watch of the process
//! look at once. What is kept of a file is its hash, never its content.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use zeroize::Zeroizing;

use crate::Shutdown;

/// Kubernetes itself takes a minute or two to bring a change into a container, so more often would help nobody.
const INTERVAL: Duration = Duration::from_secs(15);
/// What is read of a file: more than any of our readers takes, so that a longer file is looked at as they do.
const LONGEST: u64 = 1024 * 1024 + 1;

/// A set of files and folders, and what they were like when they were last looked at.
///
/// A folder is its listing and the content of the files in it, not of its folders. A file that vanishes or can no
/// longer be read has changed.
#[derive(Debug)]
pub struct Watch {
    seen: BTreeMap<PathBuf, Print>,
    hangup: Signal,
}

/// What a path was like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Print {
    Hash([u8; 32]),
    Unreadable(ErrorKind),
}

impl Watch {
    /// Looks at files, before they are read: a change in between is then found at the next look. From here on SIGHUP
    /// no longer ends the process. Blocks while it reads; must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system cannot deliver SIGHUP.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let mut watch = Self {
            seen: BTreeMap::new(),
            hangup,
        };
        watch.follow(files);
        Ok(watch)
    }

    /// Watches these files from now on and no others; whether one of them is new. Then it may have changed since it
    /// was read, so whoever learned of it by reading reads once more. Blocks.
    pub fn follow(&mut self, files: impl IntoIterator<Item = PathBuf>) -> bool {
        follow(&mut self.seen, files)
    }

    /// Calls `reload` when something has changed, until the process stops; it returns the files to watch from then on.
    /// It runs where it may block, never twice at once, and must keep the last good version when what it finds is bad.
    /// The task is one of `shutdown`'s.
    pub fn spawn(self, shutdown: &Shutdown, reload: impl FnMut() -> Vec<PathBuf> + Send + 'static) {
        let Self { seen, hangup } = self;
        // A look that hangs on a dead disk holds up no end.
        shutdown.spawn_until_stopping(watch(seen, hangup, reload));
    }
}

async fn watch(
    mut seen: BTreeMap<PathBuf, Print>,
    mut hangup: Signal,
    mut reload: impl FnMut() -> Vec<PathBuf> + Send + 'static,
) {
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            _ = hangup.recv() => true,
        };
        let looked = tokio::task::spawn_blocking(move || {
            let changed = look(&mut seen, &mut reload);
            (seen, reload, changed)
        });
        let changed;
        (seen, reload, changed) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "files are no longer watched: restart the process to have changes read");
                return;
            }
        };
        if asked && !changed {
            tracing::info!(files = ?seen.keys(), "SIGHUP: nothing has changed");
        }
    }
}

/// Looks once, and has read again what has changed; whether something has.
fn look(seen: &mut BTreeMap<PathBuf, Print>, reload: &mut impl FnMut() -> Vec<PathBuf>) -> bool {
    let now: BTreeMap<_, _> = seen
        .keys()
        .map(|path| (path.clone(), Print::of(path)))
        .collect();
    if now == *seen {
        return false;
    }
    *seen = now;
    while follow(seen, reload()) {}
    true
}

fn follow(seen: &mut BTreeMap<PathBuf, Print>, files: impl IntoIterator<Item = PathBuf>) -> bool {
    let before = std::mem::take(seen);
    let mut new = false;
    for path in files {
        seen.entry(path).or_insert_with_key(|path| {
            before.get(path).cloned().unwrap_or_else(|| {
                new = true;
                Print::of(path)
            })
        });
    }
    new
}

impl Print {
    fn of(path: &Path) -> Self {
        match hash(path) {
            Ok(hash) => Self::Hash(hash),
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let kind = fs::metadata(path)?;
    let mut context = Context::new(&SHA256);
    if kind.is_dir() {
        listing(path, &mut context)?;
    } else if kind.is_file() {
        content(path, &mut context)?;
    } else {
        // A pipe would be waited for, a device has no end.
        return Err(ErrorKind::Unsupported.into());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

fn content(file: &Path, context: &mut Context) -> io::Result<()> {
    let mut file = File::open(file)?.take(LONGEST);
    let mut buffer = Zeroizing::new([0; 8 * 1024]);
    loop {
        match file.read(buffer.as_mut()) {
            Ok(0) => return Ok(()),
            Ok(read) => context.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn listing(folder: &Path, context: &mut Context) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries: Vec<_> = entries.collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let print = match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => Print::Unreadable(ErrorKind::IsADirectory),
            Ok(_) => Print::of(&path),
            Err(error) => Print::Unreadable(error.kind()),
        };
        // No name holds a slash or a zero byte: what one entry gives cannot pass for two.
        let name = path.file_name().unwrap_or_default();
        context.update(name.as_encoded_bytes());
        match print {
            Print::Hash(hash) => {
                context.update(b"\0=");
                context.update(&hash);
            }
            Print::Unreadable(kind) => context.update(format!("\0!{kind:?}\0").as_bytes()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_found_within_fifteen_seconds_without_a_signal() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "one").unwrap();
        let shutdown = Shutdown::new();
        let (tell, told) = mpsc::channel();
        let read = file.clone();
        let began = Instant::now();
        Watch::new([file.clone()])
            .unwrap()
            .spawn(&shutdown, move || {
                let _ = tell.send(fs::read_to_string(&read).unwrap());
                vec![read.clone()]
            });
        for text in ["two", "three"] {
            fs::write(&file, text).unwrap();
            tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
            assert_eq!(told.try_recv().as_deref(), Ok(text));
        }
        tokio::time::sleep(INTERVAL * 3).await;
        assert!(told.try_recv().is_err(), "read again though unchanged");
        assert!(began.elapsed() < INTERVAL * 6);
    }

    #[test]
    fn one_entry_does_not_pass_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let print = || Print::of(folder.path());
        let mut prints = vec![print()];
        let file = folder.path().join("a");
        let mut changed = |what| {
            let print = print();
            assert!(!prints.contains(&print), "{what}");
            prints.push(print);
        };
        fs::write(&file, "").unwrap();
        changed("an empty file came");
        fs::write(&file, "b").unwrap();
        changed("it was filled");
        fs::rename(&file, folder.path().join("b")).unwrap();
        changed("it was renamed");
        fs::create_dir(&file).unwrap();
        changed("a folder came");
        fs::remove_dir(&file).unwrap();
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        changed("a link that leads nowhere came");
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        assert_eq!(
            Print::of(Path::new("/dev/zero")),
            Print::Unreadable(ErrorKind::Unsupported)
        );
    }
}
