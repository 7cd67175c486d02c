//! The end of a process: one signal for all, and a wait for what must not be lost.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The end of the process, shared by all its parts. Clones are the same end.
///
/// It has two moments: the process *stops* when it is told to (no new work is taken), and is *over* once
/// [`drain`](Self::drain) has waited for the tasks that must not be lost.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    stopping: CancellationToken,
    over: CancellationToken,
    tracker: TaskTracker,
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

    /// Waits for the tracked tasks, at most for `limit`, then declares the process over. Tells how many tasks were
    /// left behind; they are in the log as well.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.stop();
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait()).await;
        let left = if ended.is_ok() { 0 } else { self.tracker.len() };
        if left > 0 {
            tracing::error!(
                left,
                limit_seconds = limit.as_secs_f64(),
                "tasks did not end in time and are given up"
            );
        }
        self.over.cancel();
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
