//! The end of a process: one signal for all, and a wait for what must not be lost.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The end of the process, shared by all its parts. Clones are the same end.
///
/// It has two moments: the process *stops* when it is told to (no new work is taken), and is *over* once
/// [`drain`](Self::drain) has waited for the tasks that must not be lost.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    stopping: CancellationToken,
    over: CancellationToken,
    tracker: TaskTracker,
    operations: Arc<Operations>,
}

/// Operations that are not finished.
#[derive(Debug, Default)]
struct Operations(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    next: u64,
    all: BTreeMap<u64, Operation>,
}

#[derive(Debug)]
struct Operation {
    task: &'static str,
    id: String,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Shutdown::drain`] did not wait for any longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Tasks, those of the operations among them.
    pub tasks: usize,
    /// The ids of unfinished operations.
    pub operations: Vec<String>,
}

/// An operation that [`Shutdown::drain`] waits for until this is dropped, and names when it is given up.
#[derive(Debug)]
pub struct Unfinished {
    operations: Arc<Operations>,
    number: u64,
    _token: TaskTrackerToken,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.operations.lock().all.remove(&self.number);
    }
}

impl Shutdown {
    /// An end that nothing brings about but [`stop`](Self::stop).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells every part to stop taking work. Telling it twice changes nothing.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether the process has been told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits until the process is told to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stopping.clone().cancelled_owned()
    }

    /// Waits until the process is over: what had to be waited for has ended, or was given up.
    pub fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        self.over.clone().cancelled_owned()
    }

    /// The tasks that [`drain`](Self::drain) waits for. Spawn here, never with `tokio::spawn`.
    #[must_use]
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Runs what only a living process needs: a task that is dropped, wherever it is, once the process is told to stop.
    pub fn spawn_until_stopping(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stopping => {}
                () = task => {}
            }
        });
    }

    /// Notes an operation that must not be lost: `task` says what is being done (`"undo"`), `id` is its operation id.
    #[must_use = "the drain waits until it is dropped"]
    pub fn unfinished(&self, task: &'static str, id: impl fmt::Display) -> Unfinished {
        let operation = Operation {
            task,
            id: id.to_string(),
        };
        let mut noted = self.operations.lock();
        let number = noted.next;
        noted.next = number.wrapping_add(1);
        noted.all.insert(number, operation);
        drop(noted);
        Unfinished {
            operations: Arc::clone(&self.operations),
            number,
            _token: self.tracker.token(),
        }
    }

    /// Waits for the tracked tasks and the unfinished operations, at most for `limit`, then declares the process over.
    /// Tells what was left; it is in the log as well, each operation with its id.
    pub async fn drain(&self, limit: Duration) -> Left {
        self.stop();
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait()).await;
        let left = if ended.is_ok() {
            Left::default()
        } else {
            self.give_up(limit)
        };
        self.over.cancel();
        left
    }

    fn give_up(&self, limit: Duration) -> Left {
        let mut left = Left {
            tasks: self.tracker.len(),
            operations: Vec::new(),
        };
        tracing::error!(
            left = left.tasks,
            limit_seconds = limit.as_secs_f64(),
            "tasks did not end in time and are given up"
        );
        for Operation { task, id } in self.operations.lock().all.values() {
            tracing::error!(
                operation = id,
                task,
                "an operation is given up with the process; look at the identity provider for what bears it"
            );
            left.operations.push(id.clone());
        }
        left
    }
}

/// SIGTERM (an orchestrator's) and SIGINT (Ctrl-C).
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and tells its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
