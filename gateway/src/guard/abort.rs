//! Asks a connector to undo an operation until it has accepted that, and once more when all is settled.

use std::time::Duration;

use dcr_contract::model::{Abort, AbortTarget, Call, Deadline};
use dcr_contract::{Connector, Fault, FaultKind};

use super::Watched;
use crate::metrics::OperationLabels;

/// For one try.
const TRY: Duration = Duration::from_secs(5);
/// Between the first two tries; each pause is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Connectors refuse to abort what is older than 15 minutes.
const GIVE_UP_AFTER: Duration = Duration::from_mins(14);
/// How long a connector looks after what it has accepted, where it has not told.
const SETTLE_AFTER: Duration = Duration::from_secs(30);
/// Later than this a connector would refuse to be asked.
const LONGEST_SETTLING: Duration = Duration::from_mins(10);
/// What a connector may take beyond that.
const SETTLED: Duration = Duration::from_secs(5);

impl Watched {
    /// Asks the connector to undo the operation, and again when that should be done.
    pub(super) async fn abort(self) {
        let first = self.until_answered().await;
        let is_accepted = matches!(first, Ok(Abort::Accepted));
        self.note(first);
        if is_accepted {
            self.ask_again().await;
        }
    }

    /// Asks until the connector answers; the fault that makes asking again useless.
    async fn until_answered(&self) -> Result<Abort, Fault> {
        let mut pause = FIRST_PAUSE;
        loop {
            let slot = self.pending.slot().await;
            let call = Call {
                caller: self.caller.clone(),
                deadline: Deadline::after(TRY),
                reference: self.reference.clone(),
            };
            let target = self.target.clone();
            let answer = self
                .connector
                .abort_operation(&call, self.operation, target)
                .await;
            drop(slot);
            match answer {
                Ok(abort) => return Ok(abort),
                Err(fault) if is_final(&fault) || self.operation.age() > GIVE_UP_AFTER => {
                    return Err(fault);
                }
                // Whoever stops the process before the next try finds the operation here.
                Err(fault) => tracing::warn!(
                    operation = %self.operation, provider = self.provider.as_str(), reference = %self.reference,
                    cause = %fault, "an answer was lost, and its operation cannot be undone yet; trying again"
                ),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks once more when all is settled: the replica that accepted may have been killed before it was done.
    async fn ask_again(&self) {
        let described = self.connector.state().described;
        let settle_after = described.map_or(SETTLE_AFTER, |info| info.settle_after);
        let settle_after = settle_after.min(LONGEST_SETTLING);
        tokio::select! {
            // A process that stops waits for what nobody else sees to.
            () = self.shutdown.stopping() => return,
            () = tokio::time::sleep(settle_after + SETTLED) => {}
        }
        // It would be refused for its age, which says nothing of what became of it.
        if self.operation.age() > GIVE_UP_AFTER {
            return;
        }
        match self.until_answered().await {
            // Counted when it was accepted; this is how that usually ends.
            Ok(Abort::Undone | Abort::Accepted) => tracing::debug!(
                operation = %self.operation, provider = self.provider.as_str(), reference = %self.reference,
                "all is settled"
            ),
            answer => self.note(answer),
        }
    }

    /// Tells what the connector answered, or that it never did.
    fn note(&self, answer: Result<Abort, Fault>) {
        let (operation, reference) = (self.operation, &self.reference);
        let provider = self.provider.as_str();
        let outcome = match answer {
            Ok(Abort::Undone) => {
                tracing::info!(%operation, provider, %reference, "an answer was lost; its operation is undone");
                "undone"
            }
            Ok(Abort::Accepted) => {
                tracing::info!(
                    %operation, provider, %reference,
                    "an answer was lost; the connector sees to it that its operation is undone"
                );
                "accepted"
            }
            Ok(Abort::Cannot) => {
                tracing::error!(
                    %operation, provider, %reference,
                    "a client or secret may have been made that nobody knows of, and the connector cannot find it; look \
                     at the identity provider for what bears this operation"
                );
                "cannot"
            }
            Ok(Abort::Left) => {
                tracing::error!(
                    %operation, provider, %reference,
                    "an answer was taken for lost, but the connector says that what its operation made is in use or not \
                     the operation's, and left it alone; remove nothing, and look in the connector's log for what this \
                     operation found"
                );
                "left"
            }
            Err(fault) => {
                tracing::error!(
                    %operation, provider, %reference, cause = %fault,
                    "a client or secret may have been made that nobody knows of, and the connector does not answer for \
                     its undoing; look at the identity provider for what bears this operation"
                );
                "given_up"
            }
        };
        self.count(outcome);
    }

    fn count(&self, outcome: &'static str) {
        self.audit
            .undone(&self.provider, self.operation, &self.reference, outcome);
        self.metrics.abort(&OperationLabels {
            operation: match self.target {
                AbortTarget::Create => "create_client",
                AbortTarget::AddSecret(_) => "add_secret",
            },
            provider: self.provider.clone(),
            outcome,
        });
    }
}

/// Whether asking again cannot help.
fn is_final(fault: &Fault) -> bool {
    match fault.kind() {
        FaultKind::Invalid(_)
        | FaultKind::NotFound
        | FaultKind::Conflict
        | FaultKind::Limit
        | FaultKind::Unsupported => true,
        FaultKind::Refused
        | FaultKind::Throttled { .. }
        | FaultKind::Unavailable { .. }
        | FaultKind::TimedOut
        | FaultKind::Internal => false,
    }
}
