//! Clients: create, delete, update.

use dcr_proto::v1;
use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};

use super::{Answer, Faulty, WHILE, with_deadline};
use crate::edit::refusal;
use crate::fault::Fault;
use crate::memory::OWN;
use crate::state::Made;

fn invalid() -> Status {
    refusal(Code::InvalidArgument, "INVALID_REQUEST")
}

impl Faulty {
    /// What it makes of a create before it looks at it.
    fn reads(&self, message: &mut v1::CreateClientRequest) -> Result<(), Status> {
        let printable = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let name = message.name.clone();
        match self.fault {
            Fault::NeedsAnOrigin if message.origin.is_none() => return Err(invalid()),
            Fault::CountsBytes if name.len() > 255 && name.chars().count() <= 255 => {
                return Err(invalid());
            }
            Fault::RefusesMarkup if name.contains('<') => return Err(invalid()),
            Fault::FailsAtLongUris if message.redirect_uris.iter().any(|uri| uri.len() == 2048) => {
                return Err(refusal(Code::Internal, "INTERNAL"));
            }
            Fault::CutsScopes => message.scopes.truncate(50),
            Fault::DropsUnsafeUris => message
                .redirect_uris
                .retain(|uri| !uri.starts_with("data:")),
            Fault::StripsControlCharacters => {
                message.name = printable(&name);
                message.description = printable(&message.description);
            }
            Fault::DropsUnknownGrants => message
                .grant_types
                .retain(|grant| grant != "dcr_conformance_grant"),
            Fault::ForgetsProbe => message.probe = false,
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn create_client(
        &self,
        metadata: MetadataMap,
        mut message: v1::CreateClientRequest,
    ) -> Answer<v1::CreateClientResponse> {
        self.caller(&mut message.caller);
        let asked = message.operation.clone().unwrap_or_default();
        let makes_another = matches!(
            self.fault,
            Fault::RepeatedCreateMakesAnother | Fault::RefusesTheSecondAndKeepsIt
        );
        self.operation(&mut message.operation, makes_another);
        self.reads(&mut message)?;
        let (caller, operation) = (message.caller.clone(), message.operation.clone());
        let mut inner = self.inner();
        let is_another = operation.clone().unwrap_or_default() != asked;
        if self.is(Fault::RefusesTheSecondAndKeepsIt) && is_another {
            let made = inner.create_client(message).await?.into_inner();
            let mut state = self.state();
            state.repeated.insert(made.client_id, asked.operation_id);
            return Err(refusal(Code::AlreadyExists, "OPERATION_REPEATED"));
        }
        if matches!(
            self.fault,
            Fault::NeverAnswersCreates | Fault::NeverAnswersAborts
        ) {
            drop(inner.create_client(message).await?);
            return std::future::pending().await;
        }
        let mut answer = if self.is(Fault::LostCreateIsLeft) {
            let id = operation.clone().unwrap_or_default().operation_id;
            self.state().lost.insert(id.clone());
            let created = tokio::spawn(async move { inner.create_client(message).await });
            tokio::time::sleep(WHILE).await;
            let created = created.await.unwrap()?;
            // Its caller waits: had it gone, this were not reached.
            self.state().lost.remove(&id);
            created
        } else {
            inner
                .create_client(with_deadline(metadata, message))
                .await?
        };
        let created = answer.get_mut();
        let made = Made {
            caller,
            client_id: created.client_id.clone(),
            secret: created.secret.clone(),
        };
        let mut state = self.state();
        state.last_secret = created.secret.clone().unwrap_or_default().value;
        state
            .made
            .insert(operation.unwrap_or_default().operation_id, made);
        match self.fault {
            Fault::DeliversAnotherSecret => {
                created.secret = Some(v1::Secret {
                    value: "another".to_owned(),
                });
            }
            Fault::CreateNamesAnotherSecretId => "another".clone_into(&mut created.secret_id),
            Fault::SecretIdIsNoSegment => "a/b".clone_into(&mut created.secret_id),
            _ => {}
        }
        Ok(answer)
    }

    pub(super) async fn delete_client(
        &self,
        metadata: MetadataMap,
        mut message: v1::DeleteClientRequest,
    ) -> Answer<v1::DeleteClientResponse> {
        let told = |deletion: v1::Deletion| {
            Ok(Response::new(v1::DeleteClientResponse {
                deletion: deletion.into(),
            }))
        };
        self.caller(&mut message.caller);
        self.operation(&mut message.operation, false);
        let id = message.client_id.clone();
        let is_ours = self.state().made_client(&id).is_some();
        if self.is(Fault::DeleteLeavesTheClient) && is_ours {
            return told(v1::Deletion::Deleted);
        }
        let is_asked_for = message.caller.is_some();
        let answer = self
            .inner()
            .delete_client(with_deadline(metadata, message))
            .await;
        let deletion = answer.as_ref().map(|answer| answer.get_ref().deletion());
        if let Ok(v1::Deletion::Deleted) = deletion {
            let mut state = self.state();
            state.deleted.push(id.clone());
            state.moved = true;
        }
        match (self.fault, deletion) {
            (Fault::DeleteOfTheUnknownIsNotFound, Ok(v1::Deletion::Absent)) => {
                Err(refusal(Code::NotFound, "CLIENT_NOT_FOUND"))
            }
            (Fault::SaysLeftInPlace, Ok(v1::Deletion::Deleted)) => told(v1::Deletion::LeftInPlace),
            (Fault::DeletesWhatIsNotOurs, Ok(v1::Deletion::LeftInPlace)) => {
                told(v1::Deletion::Deleted)
            }
            (Fault::OwnCredentialIsAbsent, Err(_)) if id == OWN => told(v1::Deletion::Absent),
            (Fault::AnyClientId, Err(_)) if is_asked_for => told(v1::Deletion::Absent),
            _ => answer,
        }
    }

    pub(super) async fn update_client(
        &self,
        metadata: MetadataMap,
        mut message: v1::UpdateClientRequest,
    ) -> Answer<v1::UpdateClientResponse> {
        self.caller(&mut message.caller);
        let (caller, client_id) = (message.caller.clone(), message.client_id.clone());
        match self.fault {
            Fault::ClaimsUpdateAndRefusesIt | Fault::UnclaimedMayBeApplied => {
                return Err(refusal(Code::Unimplemented, "NOT_SUPPORTED"));
            }
            Fault::UpdateNeedsAName
                if message.name.is_none() && message.redirect_uris.is_none() =>
            {
                return Err(invalid());
            }
            Fault::RefusesAnEmptyDescription if message.description.as_deref() == Some("") => {
                return Err(invalid());
            }
            Fault::UpdateCuts => {
                message.name = message.name.map(|name| name.chars().take(255).collect());
            }
            _ => {}
        }
        let answer = self
            .inner()
            .update_client(with_deadline(metadata, message))
            .await?;
        if self.is(Fault::UpdateRotates) {
            self.rotates(caller.as_ref(), &client_id).await;
        }
        Ok(answer)
    }
}
