//! The end: nothing that the run made is left.

use dcr_proto::v1;
use dcr_proto::v1::Capability;

use crate::bridge::Bridge;
use crate::check::{Stop, Verdict, broken, group};

group! {
    "clean_up",
    everything_that_the_run_made_is_gone [Core]
        "What the run made is deleted at its end, and nothing of it is listed any more" =>
        "Look for the clients at the IdP and delete them there; then find out why DeleteClient did not.";
}

async fn everything_that_the_run_made_is_gone(bridge: &Bridge) -> Verdict {
    let left = bridge.clean_up().await;
    if left.is_empty() {
        Ok(())
    } else {
        Err(broken(left.join("\n")))
    }
}

impl Bridge {
    /// Deletes all that the run made and aborts what it may have made; what is left then.
    pub(crate) async fn clean_up(&self) -> Vec<String> {
        let made = self.all_made();
        let mut left = Vec::new();
        for (caller, operation_id) in &made.operations {
            let abort = v1::AbortOperationRequest {
                caller: Some(caller.clone()),
                ..self.abort_create(operation_id)
            };
            // Some of them never were operations: the list below tells what matters.
            let _ = self.ask(abort).await;
        }
        for (caller, client_id) in &made.clients {
            let caller = Some(caller.clone());
            let delete = v1::DeleteClientRequest {
                caller,
                ..self.delete(client_id)
            };
            if let Err(refusal) = self.ask(delete).await {
                left.push(format!("client {client_id}: {refusal}"));
            }
        }
        if self.can(Capability::ListManaged) {
            left.extend(self.still_listed(&made.clients, &made.operations).await);
        }
        left
    }

    async fn still_listed(
        &self,
        clients: &[(v1::Caller, String)],
        operations: &[(v1::Caller, String)],
    ) -> Option<String> {
        let is_ours = |listed: &v1::ManagedClient| {
            clients.iter().any(|(_, id)| *id == listed.client_id)
                || operations.iter().any(|(_, id)| *id == listed.operation_id)
        };
        let time = self.settle_after() + self.options().patience;
        let gone = self.within(time, || async {
            let listed = self.listed(self.caller()).await?;
            let left = listed.iter().filter(|listed| is_ours(listed));
            let left: Vec<_> = left
                .map(|listed| format!("client {} is listed", listed.client_id))
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(broken(left.join("\n")))
            }
        });
        match gone.await {
            Ok(()) => None,
            Err(Stop::Broken(seen) | Stop::Skipped(seen)) => Some(seen),
        }
    }
}
