//! Secrets: rotate, list, add, remove.

use std::time::Duration;

use dcr_proto::v1;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Response};

use super::{Answer, Faulty, InFlight, WHILE, new_operation, with_deadline};
use crate::edit::{recoded, refusal};
use crate::fault::Fault;

/// So often is a client read by one check alone.
const OFTEN: usize = 8;
const FEW: usize = 8;

/// A rotation that is done somewhat later, where its caller has gone.
struct Lost(
    Option<(
        ConnectorServiceClient<Channel>,
        v1::RotateClientSecretRequest,
    )>,
);

impl Drop for Lost {
    fn drop(&mut self) {
        if let Some((mut inner, request)) = self.0.take() {
            tokio::spawn(async move {
                tokio::time::sleep(2 * WHILE).await;
                inner.rotate_client_secret(request).await
            });
        }
    }
}

impl Faulty {
    pub(super) async fn rotate_client_secret(
        &self,
        metadata: MetadataMap,
        mut message: v1::RotateClientSecretRequest,
    ) -> Answer<v1::RotateClientSecretResponse> {
        self.caller(&mut message.caller);
        self.operation(
            &mut message.operation,
            self.is(Fault::RepeatedRotationRotates),
        );
        let (caller, id) = (message.caller.clone(), message.client_id.clone());
        match self.fault {
            Fault::UnknownIsInternal if id.starts_with("dcr-conformance-") => {
                return Err(refusal(Code::Internal, "INTERNAL"));
            }
            Fault::RotatesTwice if self.state().time(&id) > 2 => {
                return Err(refusal(Code::Internal, "INTERNAL"));
            }
            Fault::LostRotationKeepsItsLock => {
                if self.state().locked.contains(&id) {
                    return Err(refusal(Code::Unavailable, "IDP_UNAVAILABLE"));
                }
                self.state().locked.insert(id.clone());
                tokio::time::sleep(WHILE).await;
                let answer = self.inner().rotate_client_secret(message).await;
                // Its caller waits: had it gone, this were not reached.
                self.state().locked.remove(&id);
                return answer;
            }
            Fault::LostRotationOvertakes => {
                let again = v1::RotateClientSecretRequest {
                    operation: new_operation(),
                    ..message.clone()
                };
                let mut is_lost = Lost(Some((self.inner(), again)));
                tokio::time::sleep(WHILE).await;
                let answer = self.inner().rotate_client_secret(message).await;
                is_lost.0 = None;
                return answer;
            }
            Fault::RotationKeepsTheOldSecret => {
                let v1::RotateClientSecretRequest {
                    caller,
                    operation,
                    client_id,
                } = message;
                let add = v1::AddClientSecretRequest {
                    caller,
                    operation,
                    client_id,
                };
                let added = self.inner().add_client_secret(add).await?.into_inner();
                return Ok(Response::new(v1::RotateClientSecretResponse {
                    secret: added.secret,
                    secret_id: added.secret_id,
                    expires_at: None,
                }));
            }
            _ => {}
        }
        let before = self.secret_ids(caller.as_ref(), &id).await.len();
        let mut answer = self
            .inner()
            .rotate_client_secret(with_deadline(metadata, message))
            .await?;
        match self.fault {
            Fault::RotationGivesTheOldSecret => {
                let first = self
                    .state()
                    .made_client(&id)
                    .and_then(|made| made.secret.clone());
                answer.get_mut().secret = first;
            }
            Fault::RotationLeavesTwoOfMany if before > 1 => {
                let add = v1::AddClientSecretRequest {
                    caller,
                    operation: new_operation(),
                    client_id: id,
                };
                self.inner().add_client_secret(add).await?;
            }
            _ => {}
        }
        Ok(answer)
    }

    pub(super) async fn list_client_secrets(
        &self,
        metadata: MetadataMap,
        mut message: v1::ListClientSecretsRequest,
    ) -> Answer<v1::ListClientSecretsResponse> {
        self.caller(&mut message.caller);
        let (_in_flight, many) = InFlight::new(&self.in_flight);
        match self.fault {
            Fault::ReadingRotates if self.state().time(&message.client_id) > OFTEN => {
                self.rotates(message.caller.as_ref(), &message.client_id)
                    .await;
            }
            Fault::AnswersFewAtOnce if many > FEW => {
                return Err(refusal(Code::Unavailable, "IDP_UNAVAILABLE"));
            }
            Fault::AnswersFewAtOnce => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => {}
        }
        let mut answer = self
            .inner()
            .list_client_secrets(with_deadline(metadata, message))
            .await?;
        if self.is(Fault::ListsOtherIds) {
            for secret in &mut answer.get_mut().secrets {
                secret.secret_id = uuid::Uuid::now_v7().to_string();
            }
        }
        Ok(answer)
    }

    pub(super) async fn add_client_secret(
        &self,
        metadata: MetadataMap,
        mut message: v1::AddClientSecretRequest,
    ) -> Answer<v1::AddClientSecretResponse> {
        self.caller(&mut message.caller);
        self.operation(&mut message.operation, self.is(Fault::RepeatedAdditionAdds));
        let mut inner = self.inner();
        match self.fault {
            Fault::AdditionRotates => {
                let v1::AddClientSecretRequest {
                    caller,
                    operation,
                    client_id,
                } = message;
                let rotate = v1::RotateClientSecretRequest {
                    caller,
                    operation,
                    client_id,
                };
                let rotated = inner.rotate_client_secret(rotate).await?.into_inner();
                return Ok(Response::new(v1::AddClientSecretResponse {
                    secret: rotated.secret,
                    secret_id: rotated.secret_id,
                    ..v1::AddClientSecretResponse::default()
                }));
            }
            Fault::LostAdditionIsLeft => {
                let id = message.operation.clone().unwrap_or_default().operation_id;
                self.state().lost.insert(id.clone());
                let added = tokio::spawn(async move { inner.add_client_secret(message).await });
                tokio::time::sleep(WHILE).await;
                let added = added.await.unwrap();
                self.state().lost.remove(&id);
                return added;
            }
            _ => {}
        }
        let answer = inner
            .add_client_secret(with_deadline(metadata, message))
            .await;
        answer.map_err(|status| match (self.fault, status.code()) {
            (Fault::SecretLimitIsInternal, Code::FailedPrecondition) => {
                recoded(&status, Code::Internal)
            }
            _ => status,
        })
    }

    pub(super) async fn remove_client_secret(
        &self,
        metadata: MetadataMap,
        mut message: v1::RemoveClientSecretRequest,
    ) -> Answer<v1::RemoveClientSecretResponse> {
        self.caller(&mut message.caller);
        let live = self
            .secret_ids(message.caller.as_ref(), &message.client_id)
            .await;
        let is_there = live.contains(&message.secret_id);
        match self.fault {
            Fault::RemovalLeavesTheSecret if is_there => {
                let removal = v1::Removal::Removed.into();
                return Ok(Response::new(v1::RemoveClientSecretResponse { removal }));
            }
            Fault::LastSecretIsInternal if is_there && live.len() == 1 => {
                return Err(refusal(Code::Internal, "INTERNAL"));
            }
            _ => {}
        }
        let answer = self
            .inner()
            .remove_client_secret(with_deadline(metadata, message))
            .await?;
        match (self.fault, answer.get_ref().removal()) {
            (Fault::RemovalOfTheUnknownIsNotFound, v1::Removal::Absent) => {
                Err(refusal(Code::NotFound, "CLIENT_NOT_FOUND"))
            }
            _ => Ok(answer),
        }
    }
}
