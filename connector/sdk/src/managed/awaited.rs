//! Whether anybody still waits for an operation, asked before it does anything.
//!
//! It may have waited for a client's lock, or for another replica's hold on the client, while its caller went and began
//! anew. What the caller did then, such as another rotation, must not be overtaken. Asked within the operation's task; a
//! task that nobody ever waits for, as an undo, may always go on.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::fault::{Fault, FaultKind, Reason};

tokio::task_local! {
    static OPERATION: Operation;
}

struct Operation {
    caller: Weak<Caller>,
    has_begun: AtomicBool,
}

/// Kept by who waits for an operation.
#[derive(Debug)]
pub(super) struct Caller;

/// An operation that this caller waits for.
pub(super) fn by<F: Future>(
    caller: &Arc<Caller>,
    operation: F,
) -> impl Future<Output = F::Output> + use<F> {
    let known = Operation {
        caller: Arc::downgrade(caller),
        has_begun: AtomicBool::new(false),
    };
    OPERATION.scope(known, operation)
}

/// What was done must be finished, whoever waits.
pub(super) fn has_begun() {
    let _ = OPERATION.try_with(|operation| operation.has_begun.store(true, Ordering::Relaxed));
}

/// That the operation may do something.
///
/// # Errors
/// `Unavailable` when its caller has gone; nothing was done, and nobody will hear of it.
pub(crate) fn still() -> Result<(), Fault> {
    let is_in_vain = |operation: &Operation| {
        !operation.has_begun.load(Ordering::Relaxed) && operation.caller.strong_count() == 0
    };
    if OPERATION.try_with(is_in_vain).unwrap_or_default() {
        let message = "the caller has gone before anything was begun; nothing was done";
        let gone = Fault::new(FaultKind::Unavailable { after: None }, message);
        return Err(gone.reason(Reason::TimedOut));
    }
    Ok(())
}
