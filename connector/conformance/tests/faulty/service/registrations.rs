//! Registrations: add and remove.

use dcr_proto::v1;
use dcr_proto::v1::RegistrationChange::{Changed, NotMapped, Unchanged};
use tonic::Response;
use tonic::metadata::MetadataMap;

use super::{Answer, Faulty, new_operation, with_deadline};
use crate::fault::Fault;
use crate::memory::AUDIENCE;

impl Faulty {
    /// What it answers in the place of what is true.
    fn change(&self, told: v1::RegistrationChange) -> v1::RegistrationChange {
        match (self.fault, told) {
            (Fault::UnmappedIsUnchanged, NotMapped) => Unchanged,
            (Fault::RegistrationAlwaysChanges, Unchanged) => Changed,
            _ => told,
        }
    }

    /// Ends the registrations of a client for all but one entity.
    async fn end_others(&self, request: &v1::RemoveRegistrationRequest) {
        let others = self
            .state()
            .registered
            .get(&request.client_id)
            .cloned()
            .unwrap_or_default();
        for other in others
            .into_iter()
            .filter(|other| Some(other) != request.entity.as_ref())
        {
            let request = v1::RemoveRegistrationRequest {
                operation: new_operation(),
                entity: Some(other),
                ..request.clone()
            };
            let _ = self.inner().remove_registration(request).await;
        }
    }

    pub(super) async fn add_registration(
        &self,
        metadata: MetadataMap,
        mut message: v1::AddRegistrationRequest,
    ) -> Answer<v1::AddRegistrationResponse> {
        self.caller(&mut message.caller);
        let asked = message.clone();
        let entity = asked.entity.clone().unwrap_or_default();
        let is_known = entity.kind() != v1::EntityKind::Unspecified;
        if self.is(Fault::GuessesTheKind) && !is_known {
            message.entity = Some(v1::Entity {
                kind: v1::EntityKind::Api.into(),
                ..entity.clone()
            });
        }
        if self.is(Fault::GrantsNothing) && is_known && message.audience == AUDIENCE {
            let mut state = self.state();
            let registered = state.registered.entry(message.client_id).or_default();
            let change = if registered.contains(&entity) {
                Unchanged
            } else {
                Changed
            };
            if change == Changed {
                registered.push(entity);
            }
            return Ok(Response::new(v1::AddRegistrationResponse {
                change: change.into(),
            }));
        }
        let mut answer = self
            .inner()
            .add_registration(with_deadline(metadata, message))
            .await?;
        let told = answer.get_ref().change();
        if self.is(Fault::SecondRegistrationEndsTheFirst) && told == Changed {
            self.end_others(&removal(asked.clone())).await;
        }
        if self.is(Fault::RegistrationRotates) {
            self.rotates(asked.caller.as_ref(), &asked.client_id).await;
        }
        self.state()
            .registered
            .entry(asked.client_id)
            .or_default()
            .push(entity);
        answer.get_mut().change = self.change(told).into();
        Ok(answer)
    }

    pub(super) async fn remove_registration(
        &self,
        metadata: MetadataMap,
        mut message: v1::RemoveRegistrationRequest,
    ) -> Answer<v1::RemoveRegistrationResponse> {
        self.caller(&mut message.caller);
        if self.is(Fault::RemovalEndsAllRegistrations) {
            self.end_others(&message).await;
        }
        let entity = message.entity.clone().unwrap_or_default();
        if self.is(Fault::GrantsNothing) && message.audience == AUDIENCE {
            let mut state = self.state();
            let registered = state.registered.entry(message.client_id).or_default();
            let before = registered.len();
            registered.retain(|registered| *registered != entity);
            let change = if registered.len() < before {
                Changed
            } else {
                Unchanged
            };
            return Ok(Response::new(v1::RemoveRegistrationResponse {
                change: change.into(),
            }));
        }
        let mut answer = self
            .inner()
            .remove_registration(with_deadline(metadata, message))
            .await?;
        answer.get_mut().change = self.change(answer.get_ref().change()).into();
        Ok(answer)
    }
}

fn removal(added: v1::AddRegistrationRequest) -> v1::RemoveRegistrationRequest {
    let v1::AddRegistrationRequest {
        caller,
        operation,
        client_id,
        origin,
        entity,
        audience,
    } = added;
    v1::RemoveRegistrationRequest {
        caller,
        operation,
        client_id,
        origin,
        entity,
        audience,
    }
}
