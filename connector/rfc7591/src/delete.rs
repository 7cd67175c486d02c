//! Deleting (RFC 7592 section 2.3), where the server's own word for a client that is gone is the one for a token that is
//! refused.

use dcr_connector::fault::{Fault, FaultKind, Outcome};
use dcr_connector::http::Method;
use dcr_connector::model::Deadline;
use dcr_connector::store::{self, Held, Row, TIME_TO_CALL, TIME_TO_WRITE};

use crate::Rfc7591;
use crate::api::Server;
use crate::change::place;
use crate::kept::Kept;

impl Rfc7591 {
    /// Deletes a client at the server, then in the store.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub(crate) async fn delete_client(&self, deadline: Deadline, row: &Row) -> Result<(), Fault> {
        if !self.can_delete() {
            return Err(Fault::unsupported(
                "This identity provider does not let the bridge delete clients: its administrator has to.",
            ));
        }
        let server = self.api.found(deadline).await?;
        let mut held = match self.store.hold(deadline, &row.client_id).await {
            // Another replica was faster.
            Err(fault) if *fault.kind() == FaultKind::NotFound => return Ok(()),
            held => held?,
        };
        let deadline = deadline.at_most(TIME_TO_CALL);
        match self.deleted(deadline, &server, &mut held).await {
            Ok(()) => held
                .bury(Deadline::after(TIME_TO_WRITE))
                .await
                .map_err(|fault| fault.outcome(Outcome::Unknown)),
            Err(fault) => {
                self.not_deleted(held, &fault).await;
                Err(fault)
            }
        }
    }

    /// Asks the server to delete. That it was asked is noted before, so that a client that has gone with a lost answer is
    /// known to be gone: the server then only says 401 (RFC 7592 section 2.1), or 404.
    async fn deleted(
        &self,
        deadline: Deadline,
        server: &Server,
        held: &mut Held,
    ) -> Result<(), Fault> {
        let mut kept = Kept::from_json(&held.row().metadata)?;
        let was_asked = kept.is_deleting;
        if !was_asked && held.row().doubtful_since.is_none() {
            kept.is_deleting = true;
            let noted = store::Change {
                metadata: Some(kept.to_json()?),
                ..store::Change::default()
            };
            held.replace_and_hold(deadline, noted)
                .await
                .map_err(|fault| fault.outcome(Outcome::NotApplied))?;
        }
        let row = held.row();
        let answer = self
            .api
            .manage(deadline, server, Method::DELETE, place(row)?, None)
            .await?;
        let status = answer.status();
        let is_gone = self.behaviour.deleted().contains(&status)
            || self.is_gone(row, &answer)
            || was_asked && self.may_be_gone(&answer);
        if is_gone {
            Ok(())
        } else {
            Err(self.fault(row, &answer))
        }
    }

    /// Ends the hold on a client that may still be there.
    async fn not_deleted(&self, held: Held, fault: &Fault) {
        let deadline = Deadline::after(TIME_TO_WRITE);
        if held.row().doubtful_since.is_some() {
            return held.doubt(deadline).await;
        }
        let kept = Kept::from_json(&held.row().metadata);
        let was_refused = fault.done() == Outcome::NotApplied;
        let undone = kept.ok().filter(|kept| was_refused && kept.is_deleting);
        let undone = undone.and_then(|kept| {
            let kept = Kept {
                is_deleting: false,
                ..kept
            };
            kept.to_json().ok()
        });
        let Some(metadata) = undone else {
            // No DELETE makes a new token.
            return held.release(deadline).await;
        };
        let change = store::Change {
            metadata: Some(metadata),
            ..store::Change::default()
        };
        if let Err(fault) = held.replace(deadline, change).await {
            tracing::warn!("a client that was not deleted stays noted as being deleted: {fault}");
        }
    }
}
