//! Detached operations: what has begun is finished or undone, whoever stops waiting for it.
//!
//! A handler only waits. When its caller goes, the task goes on, for it alone will see the IdP's answer; when nobody
//! takes the result, the result undoes itself. The undo is armed *inside* the value: a channel's successful send does
//! not prove that anybody received.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dcr_runtime::Shutdown;
use dcr_runtime::shutdown::Unfinished;
use dcr_runtime::telemetry::Cause;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use super::awaited;
use super::protections::{Protection, Protections};
use crate::fault::{Fault, FaultKind};
use crate::model::{Deadline, OperationId};

type Undo = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs mutating operations as tasks of their own, and keeps count of them for the drain.
#[derive(Debug, Clone)]
pub(super) struct Operations {
    shutdown: Shutdown,
    runtime: Handle,
    protections: Protections,
}

impl Operations {
    /// Must be called within a tokio runtime; the drain of `shutdown` waits for all of them.
    pub(super) fn new(shutdown: Shutdown, protections: Protections) -> Self {
        Self {
            shutdown,
            runtime: Handle::current(),
            protections,
        }
    }

    /// Runs an operation to its end and waits for it until the deadline.
    ///
    /// # Errors
    /// The operation's own, or `TimedOut` with UNKNOWN when the deadline passes first.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        id: OperationId,
        operation: impl Future<Output = Result<Armed<T>, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        if !self.protections.has(Protection::Detached) {
            return match timeout_at(deadline.instant(), operation).await {
                Ok(result) => result.map(Armed::take),
                Err(_) => Err(Fault::new(FaultKind::TimedOut, "given up at the deadline")),
            };
        }
        let (give, take) = oneshot::channel();
        let unfinished = self.shutdown.unfinished("operation", id);
        let caller = Arc::new(awaited::Caller);
        let operation = awaited::by(&caller, operation);
        let task = async move {
            // Not sent, or sent and not received: either way the value is dropped, and undoes itself.
            let _ = give.send(operation.await);
            drop(unfinished);
        };
        self.spawn(task);
        let taken = timeout_at(deadline.instant(), take).await;
        drop(caller);
        match taken {
            Ok(Ok(result)) => result.map(Armed::take),
            Ok(Err(_)) => Err(Fault::internal(
                "the operation's task ended without a result",
            )),
            Err(_) => {
                let message =
                    "the identity provider did not answer in time; its answer is still waited for";
                Err(Fault::new(FaultKind::TimedOut, message))
            }
        }
    }

    /// Runs a task that the drain waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.shutdown.tracker().track_future(task.in_current_span());
        drop(self.runtime.spawn(task));
    }

    /// Waits until the process is told to stop.
    pub(super) fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shutdown.stopping()
    }

    /// Notes an undo for as long as what this gives is kept.
    pub(super) fn undoing(&self, id: OperationId) -> Unfinished {
        self.shutdown.unfinished("undo", id)
    }

    /// Runs a task that goes on when the call that caused it is over. The log goes on with the call's reference; the
    /// trace is one of its own.
    pub(super) fn spawn_because_of(
        &self,
        cause: &Cause,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(task.instrument(cause.span(name)));
    }

    /// A result that needs no undo.
    pub(super) fn plain<T>(&self, value: T) -> Armed<T> {
        self.arm(value, None)
    }

    /// A result that is undone unless it is taken.
    pub(super) fn armed<T>(
        &self,
        value: T,
        undo: impl Future<Output = ()> + Send + 'static,
    ) -> Armed<T> {
        let undo: Option<Undo> = Some(Box::pin(undo));
        let armed = self.protections.has(Protection::ArmedUndo);
        self.arm(value, undo.filter(|_| armed))
    }

    fn arm<T>(&self, value: T, undo: Option<Undo>) -> Armed<T> {
        let token = self.shutdown.tracker().token();
        Armed {
            value,
            guard: Guard {
                undo,
                cause: Cause::current(),
                operations: self.clone(),
                _token: token,
            },
        }
    }
}

/// A result that undoes itself when it is dropped instead of taken.
#[derive(Debug)]
pub(super) struct Armed<T> {
    value: T,
    guard: Guard,
}

/// The token keeps the drain waiting from the result's birth to the end of its undoing.
struct Guard {
    undo: Option<Undo>,
    cause: Cause,
    operations: Operations,
    _token: TaskTrackerToken,
}

impl<T> Armed<T> {
    fn take(mut self) -> T {
        self.guard.undo = None;
        self.value
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            // May run outside the runtime: hence the stored handle.
            self.operations.spawn_because_of(&self.cause, "undo", undo);
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("armed", &self.undo.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    fn undoing(operations: &Operations) -> (Armed<u8>, Arc<AtomicBool>) {
        let undone = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&undone);
        (
            operations.armed(7, async move { flag.store(true, Ordering::SeqCst) }),
            undone,
        )
    }

    async fn settled(shutdown: &Shutdown) {
        shutdown.tracker().close();
        shutdown.tracker().wait().await;
    }

    #[tokio::test]
    async fn a_result_that_is_taken_is_not_undone() {
        let shutdown = Shutdown::new();
        let operations = Operations::new(shutdown.clone(), Protections::default());
        let (armed, undone) = undoing(&operations);
        let soon = Deadline::after(Duration::from_secs(5));
        assert_eq!(
            operations
                .run(soon, OperationId::generate(), async { Ok(armed) })
                .await
                .unwrap(),
            7
        );
        settled(&shutdown).await;
        assert!(!undone.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_comes_too_late_is_undone_and_the_drain_waits_for_that() {
        let shutdown = Shutdown::new();
        let operations = Operations::new(shutdown.clone(), Protections::default());
        let (armed, undone) = undoing(&operations);
        let late = async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok(armed)
        };
        let fault = operations
            .run(
                Deadline::after(Duration::from_secs(1)),
                OperationId::generate(),
                late,
            )
            .await
            .unwrap_err();
        assert_eq!(fault.kind(), &FaultKind::TimedOut);
        assert!(!undone.load(Ordering::SeqCst));
        settled(&shutdown).await;
        assert!(undone.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_whose_caller_has_gone_is_undone() {
        let shutdown = Shutdown::new();
        let operations = Operations::new(shutdown.clone(), Protections::default());
        let (armed, undone) = undoing(&operations);
        let (go, wait) = oneshot::channel::<()>();
        let slow = async move {
            let _ = wait.await;
            Ok(armed)
        };
        let waiting = operations.run(
            Deadline::after(Duration::from_mins(1)),
            OperationId::generate(),
            slow,
        );
        let gone = tokio::time::timeout(Duration::from_millis(1), waiting).await;
        assert!(gone.is_err());
        go.send(()).unwrap();
        settled(&shutdown).await;
        assert!(undone.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_outlives_the_drain_is_named() {
        let shutdown = Shutdown::new();
        let operations = Operations::new(shutdown.clone(), Protections::default());
        let (running, undoing) = (OperationId::generate(), OperationId::generate());
        let stuck = std::future::pending::<Result<Armed<()>, Fault>>();
        let soon = Deadline::after(Duration::from_secs(1));
        operations.run(soon, running, stuck).await.unwrap_err();
        let _undo = operations.undoing(undoing);
        let left = shutdown.drain(Duration::from_mins(1)).await;
        assert_eq!(left.operations, [running.to_string(), undoing.to_string()]);
    }
}
