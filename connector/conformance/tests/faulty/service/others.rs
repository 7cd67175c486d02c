//! What is about no one client: description, examination, aborts, the list.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dcr_proto::v1;
use dcr_proto::v1::abort_operation_request::Target;
use tonic::metadata::MetadataMap;
use tonic::{Code, Response};

use super::{Answer, Faulty, USUAL, new_operation, with_deadline};
use crate::edit::{recoded, refusal};
use crate::fault::Fault;

const SETTLE_AFTER: Duration = Duration::from_secs(1);

fn told(abort: v1::Abort) -> Answer<v1::AbortOperationResponse> {
    Ok(Response::new(v1::AbortOperationResponse {
        abort: abort.into(),
    }))
}

/// Whether an operation was begun in the last minute.
fn is_young(operation_id: &str) -> bool {
    let begun = uuid::Uuid::parse_str(operation_id)
        .ok()
        .and_then(|id| id.get_timestamp());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    begun.is_some_and(|begun| begun.to_unix().0 + 60 > now)
}

impl Faulty {
    pub(super) async fn describe_connector(
        &self,
        metadata: MetadataMap,
        message: v1::DescribeConnectorRequest,
    ) -> Answer<v1::DescribeConnectorResponse> {
        let mut answer = self
            .inner()
            .describe_connector(with_deadline(metadata, message))
            .await?;
        let described = answer.get_mut();
        // So that what is never undone is not waited for long.
        described.settle_after = SETTLE_AFTER.try_into().ok();
        let update = v1::Capability::Update as i32;
        match self.fault {
            Fault::NameIsNoLabel => "Memory!".clone_into(&mut described.name),
            Fault::CapabilityTwice => described.capabilities.push(update),
            Fault::DoesMoreThanItClaims | Fault::UnclaimedMayBeApplied => {
                described.capabilities.retain(|known| *known != update);
            }
            Fault::DescribesItselfAnew => {
                let mut state = self.state();
                state.descriptions += 1;
                described.version = state.descriptions.to_string();
            }
            _ => {}
        }
        Ok(answer)
    }

    pub(super) async fn check_identity_provider(
        &self,
        metadata: MetadataMap,
        message: v1::CheckIdentityProviderRequest,
    ) -> Answer<v1::CheckIdentityProviderResponse> {
        let mut answer = self
            .inner()
            .check_identity_provider(with_deadline(metadata, message))
            .await?;
        let finding = |severity: v1::Severity| v1::Finding {
            severity: severity.into(),
            code: "FAULTY".to_owned(),
            sentence: "This is wrong.".to_owned(),
            expires_at: None,
        };
        let findings = &mut answer.get_mut().findings;
        match self.fault {
            Fault::FindingsUnsorted => findings.push(finding(v1::Severity::Warning)),
            Fault::FindsAnError => findings.insert(0, finding(v1::Severity::Error)),
            _ => {}
        }
        Ok(answer)
    }

    pub(super) async fn abort_operation(
        &self,
        metadata: MetadataMap,
        mut message: v1::AbortOperationRequest,
    ) -> Answer<v1::AbortOperationResponse> {
        let id = message.operation_id.clone();
        let is_create = matches!(message.target, Some(Target::Create(_)));
        let (made, is_begun, is_lost, first) = {
            let mut state = self.state();
            let by = message.caller.clone().unwrap_or_default();
            let key = format!("{}/{}/{id}", by.installation, by.provider_id);
            let made = state.made.get(&id).cloned();
            let (is_begun, is_lost) = (state.begun.contains(&id), state.lost.contains(&id));
            let first = state.aborted.get(&key).copied();
            state.aborted.entry(key).or_insert_with(Instant::now);
            (made, is_begun, is_lost, first)
        };
        match self.fault {
            Fault::NeverAnswersAborts => return std::future::pending().await,
            Fault::ForgetsAborts if !is_begun && is_young(&id) => return told(v1::Abort::Accepted),
            Fault::AbortLeavesTheClient if is_create && made.is_some() => {
                return told(v1::Abort::Undone);
            }
            Fault::AbortLeavesTheSecret if !is_create && is_begun => {
                return told(v1::Abort::Undone);
            }
            Fault::LostCreateIsLeft | Fault::LostAdditionIsLeft if is_lost => {
                return told(v1::Abort::Undone);
            }
            Fault::ForgetsSettledAborts
                if first.is_some_and(|first| first.elapsed() >= SETTLE_AFTER) =>
            {
                return Err(refusal(Code::NotFound, "CLIENT_NOT_FOUND"));
            }
            Fault::RepeatedAbortIsInternal if first.is_some() => {
                return Err(refusal(Code::Internal, "INTERNAL"));
            }
            Fault::AbortRemovesWhatWasDelivered if is_create && made.is_some() => {
                let made = made.unwrap();
                let delete = v1::DeleteClientRequest {
                    caller: made.caller,
                    operation: new_operation(),
                    client_id: made.client_id,
                };
                self.inner().delete_client(delete).await?;
                return told(v1::Abort::Undone);
            }
            Fault::AbortIgnoresTheCaller if made.is_some() => message.caller = made.unwrap().caller,
            Fault::GuessesTheTarget if message.caller.is_some() && message.target.is_none() => {
                message.target = Some(Target::Create(v1::AbortCreate {}));
            }
            _ => {}
        }
        let answer = self
            .inner()
            .abort_operation(with_deadline(metadata, message))
            .await;
        let abort = answer.as_ref().map(|answer| answer.get_ref().abort());
        match (self.fault, abort) {
            (Fault::AbortOfTheUnknownIsNotFound, Ok(v1::Abort::Accepted)) if is_create => {
                Err(refusal(Code::NotFound, "CLIENT_NOT_FOUND"))
            }
            (Fault::AbortsOldOperations, Err(_)) => told(v1::Abort::Accepted),
            _ => answer,
        }
    }

    pub(super) async fn list_managed_clients(
        &self,
        metadata: MetadataMap,
        mut message: v1::ListManagedClientsRequest,
    ) -> Answer<v1::ListManagedClientsResponse> {
        self.caller(&mut message.caller);
        let size = message.page_size;
        let is_first = message.page_token.is_empty();
        match self.fault {
            Fault::IgnoresThePageSize if (1..=500).contains(&size) => message.page_size = 0,
            Fault::AnyPageSize if !(0..=500).contains(&size) => message.page_size = 0,
            Fault::IgnoresThePageToken => message.page_token.clear(),
            Fault::BrokenTokenIsTheFirstPage if message.page_token.parse::<u64>().is_err() => {
                message.page_token.clear();
            }
            Fault::ListsForeignClients => {
                if let Some(caller) = &mut message.caller {
                    USUAL.clone_into(&mut caller.installation);
                }
            }
            _ => {}
        }
        let caller = message.caller.clone();
        let answer = self
            .inner()
            .list_managed_clients(with_deadline(metadata, message))
            .await;
        let mut answer = answer.map_err(|status| match &caller {
            None if self.is(Fault::MissingCallerIsInternal) => recoded(&status, Code::Internal),
            _ => status,
        })?;
        let page = &mut answer.get_mut().clients;
        let mut state = self.state();
        if is_first {
            state.moved = false;
        }
        for client in page.iter_mut() {
            if let Some(repeated) = state.repeated.get(&client.client_id) {
                client.operation_id.clone_from(repeated);
            }
        }
        match self.fault {
            Fault::ListsAnotherOperation => {
                for client in page {
                    client.operation_id = uuid::Uuid::now_v7().to_string();
                }
            }
            Fault::ListsOneProvider => {
                let own = caller.unwrap_or_default().provider_id;
                page.retain(|client| client.provider_id == own);
            }
            Fault::ListsWhatWasDeleted if size == 500 => {
                page.extend(state.deleted.iter().map(|client_id| v1::ManagedClient {
                    client_id: client_id.clone(),
                    provider_id: USUAL.to_owned(),
                    ..v1::ManagedClient::default()
                }));
            }
            Fault::PagesByOffset if state.moved && !page.is_empty() => drop(page.remove(0)),
            _ => {}
        }
        drop(state);
        Ok(answer)
    }
}
