//! The audit log: one JSON line for each mutating call whose key was right, written before its answer leaves.
//!
//! Lines hold ids and never values. They form a hash chain (`chain`), so that `dcr-gateway audit verify` finds what
//! was changed, removed, repeated or reordered (`verify`). Where the log cannot be written, no secret is handed out:
//! what was created for it is undone by the call's guard.

mod chain;
mod end;
mod entry;
mod log;
mod verify;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::response::Response;
use dcr_contract::model::{OperationId, Reference};
use dcr_runtime::telemetry::trace_id;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

pub(crate) use self::chain::Hash;
use self::entry::Entry;
use self::log::{Request, Writer};
pub(crate) use self::verify::verify;
use crate::metrics::ProviderLabel;
use crate::record::Record;
use crate::reply::Refusal;

/// How long a process that ends waits for its last lines.
const FLUSH: Duration = Duration::from_secs(5);

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Appended to a file, which is made with mode 0600 if it is not there. One process at a time.
    File(PathBuf),
    /// Standard output, where nothing else of the gateway's goes.
    Stdout,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

/// A line was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unwritten;

/// The audit log, or (by default) none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit(Option<Writer>);

impl Audit {
    /// Opens the log and writes the first line of this process's chain.
    pub(crate) fn open(sink: Option<&Sink>) -> io::Result<Self> {
        sink.cloned().map(Writer::start).transpose().map(Self)
    }

    /// Whether lines can be written, as far as the last one tells. A broken log is tried again.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        match &self.0 {
            Some(writer) if writer.broken.load(Ordering::Acquire) => {
                self.ask(None).await.map_err(|_| Refusal::Unaudited)
            }
            _ => Ok(()),
        }
    }

    /// Waits until all lines so far are written, at most 5 s: those of abandoned calls have nobody else who waits.
    pub(crate) async fn flush(&self) {
        if tokio::time::timeout(FLUSH, self.ask(None)).await.is_err() {
            tracing::error!(
                "the audit log was not written to its end within 5 s, and the last calls may have no line; is its disk dead?"
            );
        }
    }

    /// Registers what is told of the log.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let lost = self.0.as_ref().map(|writer| writer.lost.clone());
        registry.register(
            "dcr_audit_failures",
            "Lines that are not in the audit log, or of which that is not known, because it could not be written",
            lost.unwrap_or_default(),
        );
    }

    async fn ask(&self, entry: Option<Box<Entry>>) -> Result<(), Unwritten> {
        let Some(writer) = &self.0 else {
            return Ok(());
        };
        let place = writer.requests.reserve().await.map_err(|_| Unwritten)?;
        let (written, answer) = oneshot::channel();
        place.send(Request { entry, written });
        answer.await.unwrap_or(Err(Unwritten))
    }

    /// Writes a line that nobody waits for.
    fn note(&self, entry: Entry) {
        let Some(writer) = &self.0 else { return };
        let (written, _) = oneshot::channel();
        let entry = Some(Box::new(entry));
        let noted = writer.requests.try_send(Request { entry, written });
        if let Err(
            mpsc::error::TrySendError::Full(request) | mpsc::error::TrySendError::Closed(request),
        ) = noted
        {
            writer.lost.inc();
            let entry = request.entry.as_deref();
            tracing::error!(
                reference = entry.map(|entry| entry.reference.as_str()),
                "a call has no line in the audit log, whose writer does not keep up"
            );
        }
    }

    /// Notes what came of undoing an operation whose answer was lost.
    pub(crate) fn undone(
        &self,
        provider: &ProviderLabel,
        operation: OperationId,
        reference: &Reference,
        outcome: &'static str,
    ) {
        if self.0.is_some() {
            self.note(Entry {
                event: "undo",
                provider: Some(provider.clone()),
                key: None,
                operation: "abort_operation",
                operation_id: Some(operation),
                client_id: None,
                secret_id: None,
                origin: None,
                outcome,
                fault: None,
                reference: reference.clone(),
                trace_id: trace_id(&Span::current()),
                peer: None,
            });
        }
    }

    /// Begins a mutating call: from here on it gets its one line, also when its handler is dropped.
    pub(crate) fn call(&self, record: &Arc<Record>) -> Pending {
        let audited = self.0.is_some()
            && record
                .operation
                .get()
                .is_some_and(|operation| operation.is_mutating());
        Pending {
            audit: self.clone(),
            record: audited.then(|| Arc::clone(record)),
        }
    }
}

/// A mutating call that has no line yet.
#[derive(Debug)]
pub(crate) struct Pending {
    audit: Audit,
    /// `None` without a log, and once the line is the writer's affair.
    record: Option<Arc<Record>>,
}

impl Pending {
    /// Writes the line, then lets the answer go. An answer with a secret does not go without it; dropped, it is undone.
    pub(crate) async fn end(
        mut self,
        answer: Result<Response, Refusal>,
    ) -> Result<Response, Refusal> {
        let (Some(record), Some(writer)) = (&self.record, &self.audit.0) else {
            return answer;
        };
        let (outcome, fault) = match &answer {
            Ok(_) => (record.outcome.get().copied().unwrap_or("ok"), None),
            Err(refusal) => (refusal.error(), refusal.fault_kind()),
        };
        let entry = Some(Box::new(Entry::new(record, outcome, fault)));
        // Whoever is dropped while there is no place for the line leaves it to `drop`.
        let place = writer.requests.reserve().await;
        let Some(record) = self.record.take() else {
            return answer;
        };
        let (written, told) = oneshot::channel();
        match place {
            Ok(place) => place.send(Request { entry, written }),
            Err(_) => drop(written),
        }
        // Dropped unsent, or unanswered, it tells that there is no writer any more.
        match told.await {
            Ok(Ok(())) => return answer,
            // The writer has counted it.
            Ok(Err(Unwritten)) => {}
            Err(_) => drop(writer.lost.inc()),
        }
        let with_secret = record.operation.get().is_some_and(|o| o.gives_secret());
        if answer.is_ok() && with_secret {
            return Err(Refusal::Unaudited);
        }
        tracing::error!(reference = %record.reference, "a call has no line in the audit log");
        answer
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            // Its caller has gone, or its time was over.
            self.audit.note(Entry::new(&record, "unfinished", None));
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::time::Instant;

    use super::*;
    use crate::path::Operation;

    /// A log whose writer never looks, and has room for one line.
    fn stuck() -> (Audit, Counter, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(1);
        let lost = Counter::default();
        let writer = Writer {
            requests,
            broken: Arc::default(),
            lost: lost.clone(),
        };
        (Audit(Some(writer)), lost, asked)
    }

    fn deletion() -> Arc<Record> {
        let record = Record::new(Reference::generate(), None, None);
        record.operation.set(Operation::DeleteClient).unwrap();
        Arc::new(record)
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_ends_waits_five_seconds_for_its_last_lines() {
        let (audit, _, _asked) = stuck();
        let began = Instant::now();
        audit.flush().await;
        assert_eq!(began.elapsed(), FLUSH);
    }

    #[tokio::test(start_paused = true)]
    async fn every_line_that_is_not_written_is_counted() {
        let (audit, lost, asked) = stuck();
        // The first takes the only place, the second is dropped while it waits for one.
        for _ in 0..2 {
            let end = audit.call(&deletion()).end(Err(Refusal::Busy));
            let ended = tokio::time::timeout(Duration::from_secs(1), end).await;
            assert!(ended.is_err());
        }
        assert_eq!(lost.get(), 1);
        // One that is dropped before.
        drop(audit.call(&deletion()));
        assert_eq!(lost.get(), 2);
        drop(asked);
        let _refused = audit.call(&deletion()).end(Err(Refusal::Busy)).await;
        assert_eq!(lost.get(), 3);
        drop(audit.call(&deletion()));
        assert_eq!(lost.get(), 4);
    }
}
