//! The writer: one thread, so that no call waits for a disk on a thread that others need.
//!
//! Whatever calls wait when it looks are written with one write. A line that is acknowledged is with the operating
//! system: it survives a kill of the process, and not a loss of power.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::chain::{Chain, Hash};
use super::verify::is_line;
use super::{Entry, Sink, Unwritten};

/// Calls that wait for the writer; more wait before it.
const QUEUE: usize = 1024;
/// Lines of one write.
const BATCH: usize = 256;
/// How much of a file's end is read at first to find its last line.
const TAIL: u64 = 16 * 1024;

/// What the writer is asked: a line, or (none) whether it can write at all.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) entry: Option<Box<Entry>>,
    pub(super) written: oneshot::Sender<Result<(), Unwritten>>,
}

/// The way to the writer. It ends when the last of these is dropped.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) requests: mpsc::Sender<Request>,
    /// Whether the last write failed.
    pub(super) broken: Arc<AtomicBool>,
}

impl Writer {
    /// Begins a chain and starts to write.
    pub(super) fn start(sink: Sink) -> io::Result<Self> {
        let mut log = Log {
            chain: None,
            lines: Vec::new(),
            sink,
        };
        log.append([].into_iter())?;
        let (requests, asked) = mpsc::channel(QUEUE);
        let broken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&broken);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(log, asked, &flag))?;
        Ok(Self { requests, broken })
    }
}

fn write(mut log: Log, mut asked: mpsc::Receiver<Request>, broken: &AtomicBool) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = asked.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(next) = asked.try_recv()
        {
            batch.push(next);
        }
        let appended = log.append(batch.iter().filter_map(|request| request.entry.as_deref()));
        if let Err(error) = &appended {
            log.chain = None;
            tracing::error!(%error, sink = %log.sink, "the audit log cannot be written");
        }
        broken.store(appended.is_err(), Ordering::Release);
        for request in batch.drain(..) {
            // Who does not wait any more was told by its own end.
            let _ = request
                .written
                .send(appended.as_ref().copied().map_err(|_| Unwritten));
        }
    }
}

struct Log {
    sink: Sink,
    /// `None` before the first line, and after a failure: then nobody knows what was written of the last ones.
    chain: Option<(Output, Chain)>,
    lines: Vec<u8>,
}

impl Log {
    fn append<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>) -> io::Result<()> {
        let (output, chain) = match &mut self.chain {
            Some(chain) => chain,
            None => self.chain.insert(begin(&self.sink)?),
        };
        self.lines.clear();
        for entry in entries {
            chain.append(entry, &mut self.lines)?;
        }
        output.write(&self.lines)
    }
}

enum Output {
    File(File),
    Stdout,
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(lines),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines).and_then(|()| stdout.flush())
            }
        }
    }
}

/// Begins a chain with its first line, linked to the last line of a file that has any.
fn begin(sink: &Sink) -> io::Result<(Output, Chain)> {
    #[derive(Serialize)]
    struct Start {
        event: &'static str,
        version: &'static str,
        /// The line before this one was never finished.
        after_cut: bool,
    }
    let (mut output, last, cut) = match sink {
        Sink::Stdout => (Output::Stdout, None, false),
        Sink::File(path) => {
            let file = open(path)?;
            let (last, cut) = last_line(&file)?;
            if let Some(last) = &last
                && !cut
                && !is_line(last)
            {
                let sentence = "the file's last line is no line of an audit log: name another file";
                return Err(io::Error::other(sentence));
            }
            let hash = last.as_deref().map(Hash::of);
            (Output::File(file), hash, cut)
        }
    };
    let mut chain = Chain::following(last);
    // What a process left halfway is closed off; nothing that was ever written is taken away.
    let mut lines = if cut { vec![b'\n'] } else { Vec::new() };
    let start = Start {
        event: "start",
        version: env!("CARGO_PKG_VERSION"),
        after_cut: cut,
    };
    chain.append(&start, &mut lines)?;
    output.write(&lines)?;
    Ok((output, chain))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create(true).mode(0o600);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        // Two chains in one file would tear each other.
        Err(TryLockError::WouldBlock) => Err(io::Error::other(
            "another process writes it: each needs its own",
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The last line of a file, without its newline, and whether that was missing. `None`: the file is empty.
fn last_line(file: &File) -> io::Result<(Option<Vec<u8>>, bool)> {
    let length = file.metadata()?.len();
    let mut tail = TAIL;
    loop {
        let begin = length.saturating_sub(tail);
        let mut bytes = vec![0; usize::try_from(length - begin).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, begin)?;
        let cut = match bytes.pop() {
            None => return Ok((None, false)),
            Some(b'\n') => false,
            Some(byte) => {
                bytes.push(byte);
                true
            }
        };
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) => return Ok((Some(bytes.split_off(newline + 1)), cut)),
            None if begin == 0 => return Ok((Some(bytes), cut)),
            None => tail *= 2,
        }
    }
}
