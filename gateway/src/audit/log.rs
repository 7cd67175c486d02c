//! The writer: one thread, so that no call waits for a disk on a thread that others need.
//!
//! Whatever calls wait when it looks are written with one write. A line that is acknowledged is with the operating
//! system: it survives a kill of the process, and not a loss of power.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::chain::Chain;
use super::end::End;
use super::entry::Entry;
use super::{Sink, Unwritten};

/// Calls that wait for the writer; more wait before it.
const QUEUE: usize = 1024;
/// Lines of one write.
const BATCH: usize = 256;

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
    /// Lines that were not written, or of which nobody knows.
    pub(super) lost: Counter,
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
        let writer = Self {
            requests,
            broken: Arc::default(),
            lost: Counter::default(),
        };
        let (broken, lost) = (Arc::clone(&writer.broken), writer.lost.clone());
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(log, asked, &broken, &lost))?;
        Ok(writer)
    }
}

fn write(mut log: Log, mut asked: mpsc::Receiver<Request>, broken: &AtomicBool, lost: &Counter) {
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
            let lines = batch.iter().filter(|request| request.entry.is_some());
            let lines = u64::try_from(lines.count()).unwrap_or(u64::MAX);
            lost.inc_by(lines);
            tracing::error!(%error, sink = %log.sink, lines, "the audit log cannot be written");
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
        /// What stands between this line and the one that it follows was never finished.
        after_cut: bool,
    }
    let (mut output, end) = match sink {
        Sink::Stdout => (Output::Stdout, End::default()),
        Sink::File(path) => {
            let file = open(path)?;
            let end = End::of(&file)?;
            (Output::File(file), end)
        }
    };
    let mut chain = Chain::following(end.last);
    // What a process left halfway is closed off; nothing that was ever written is taken away.
    let mut lines = if end.open { vec![b'\n'] } else { Vec::new() };
    let start = Start {
        event: "start",
        version: env!("CARGO_PKG_VERSION"),
        after_cut: end.cut,
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
