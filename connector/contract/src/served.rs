//! A connector offered over gRPC.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dcr_proto::v1;
use dcr_proto::v1::connector_service_server::{ConnectorService, ConnectorServiceServer};
use tokio::time::timeout_at;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, async_trait};
use tracing::Instrument;

use crate::connector::Connector;
use crate::fault::{Fault, FaultKind, Reason};
use crate::model::{Deadline, OperationId, ProviderId, Reference};
use crate::observe::{Observer, Rpc, Watch};
use crate::wire::{self, Envelope, client, describe, managed, registration, secret};

/// Requests and answers beyond this are refused unread.
pub(crate) const LARGEST_MESSAGE: usize = 1024 * 1024;
/// What a caller that names no deadline gets.
const USUAL_TIME: Duration = Duration::from_secs(8);
/// What the connector keeps of the caller's time to bring its own answer home.
const MARGIN: Duration = Duration::from_millis(200);

/// Offers a [`Connector`] as the service of `connector.proto`.
#[derive(Debug)]
pub struct Served<C> {
    connector: Arc<C>,
    observer: Option<Arc<dyn Observer>>,
}

impl<C: Connector> Served<C> {
    /// The service, ready to be added to a gRPC server. Its calls are told to `observer`.
    #[must_use]
    pub fn routes(connector: Arc<C>, observer: Option<Arc<dyn Observer>>) -> Routes {
        let service = ConnectorServiceServer::new(Self {
            connector,
            observer,
        })
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
        Routes::new(service)
    }

    /// The name under which gRPC health reports the service.
    pub const SERVICE_NAME: &'static str = "dcr.connector.v1.ConnectorService";

    async fn answer<Q, A, Fut>(
        &self,
        mut request: Request<Q>,
        act: impl FnOnce(Arc<C>, Envelope, Q) -> Fut + Send,
    ) -> Result<Response<A>, Status>
    where
        Q: Rpc + Send,
        Fut: Future<Output = Result<A, Fault>> + Send,
    {
        let envelope = envelope(request.metadata());
        let observer = self.observer.clone();
        let mut line = Line {
            watch: Watch::server(observer, &mut request, envelope.reference.as_str()),
            operation: Q::NAME,
            provider: request.get_ref().provider(),
            operation_id: request.get_ref().operation_id(),
            end: None,
        };
        let span = line.watch.span();
        let deadline = envelope.deadline;
        let in_time = !deadline.remaining().is_zero();
        let answer = act(Arc::clone(&self.connector), envelope, request.into_inner());
        async move {
            let too_late = || {
                let message = "the call came too late to be begun";
                Fault::new(FaultKind::Unavailable { after: None }, message).reason(Reason::TimedOut)
            };
            let late = || Fault::new(FaultKind::TimedOut, "the call's time is over");
            let answer = if in_time {
                timeout_at(deadline.instant(), answer)
                    .await
                    .unwrap_or_else(|_| Err(late()))
            } else {
                Err(too_late())
            };
            match answer {
                Ok(answer) => {
                    line.ended(Ok(()));
                    Ok(Response::new(answer))
                }
                Err(fault) => {
                    let status = wire::fault::to_status(&fault);
                    line.ended(Err((fault, status.code())));
                    Err(status)
                }
            }
        }
        .instrument(span)
        .await
    }
}

/// The call's line in the log, written when dropped: also when the caller has gone. Its reference is the span's.
struct Line {
    watch: Watch,
    operation: &'static str,
    provider: Option<ProviderId>,
    operation_id: Option<OperationId>,
    end: Option<Result<(), (Fault, Code)>>,
}

impl Line {
    fn ended(&mut self, end: Result<(), (Fault, Code)>) {
        self.watch.end(match &end {
            Ok(()) => Code::Ok,
            Err((_, code)) => *code,
        });
        self.end = Some(end);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let operation = self.operation;
        let provider = self.provider.as_ref().map(ProviderId::as_str);
        let operation_id = self.operation_id.map(tracing::field::display);
        let duration_ms = u64::try_from(self.watch.took().as_millis()).unwrap_or(u64::MAX);
        let fault = match self.end.take() {
            Some(Ok(())) if provider.is_none() => {
                // Asked every minute.
                return tracing::debug!(operation, outcome = "ok", duration_ms, "call answered");
            }
            Some(Ok(())) => {
                let outcome = "ok";
                return tracing::info!(
                    operation,
                    provider,
                    operation_id,
                    outcome,
                    duration_ms,
                    "call answered"
                );
            }
            Some(Err((fault, _))) => fault,
            None => {
                let outcome = "caller_gone";
                return tracing::warn!(
                    operation,
                    provider,
                    operation_id,
                    outcome,
                    duration_ms,
                    "call abandoned by its caller"
                );
            }
        };
        let outcome = fault.kind().name();
        let done = tracing::field::debug(fault.done());
        let reason = fault.why().as_str();
        let idp_correlation_id = fault.correlation();
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    operation,
                    provider,
                    operation_id,
                    outcome,
                    done,
                    duration_ms,
                    reason,
                    idp_correlation_id,
                    $text,
                    fault
                )
            };
        }
        match fault.kind() {
            FaultKind::Internal => line!(error, "call failed: {}"),
            FaultKind::Refused | FaultKind::TimedOut | FaultKind::Unavailable { .. } => {
                line!(warn, "call failed: {}");
            }
            FaultKind::Invalid(_)
            | FaultKind::NotFound
            | FaultKind::Conflict
            | FaultKind::Limit
            | FaultKind::Unsupported
            | FaultKind::Throttled { .. } => line!(info, "call refused: {}"),
        }
    }
}

fn envelope(metadata: &MetadataMap) -> Envelope {
    let text = |key| metadata.get(key).and_then(|v| v.to_str().ok());
    let time = text("grpc-timeout")
        .and_then(grpc_timeout)
        .unwrap_or(USUAL_TIME);
    Envelope {
        deadline: Deadline::after(time).earlier_by(MARGIN),
        reference: Reference::accept(text("x-request-id")),
    }
}

/// Reads a `grpc-timeout`: at most 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[async_trait]
impl<C: Connector> ConnectorService for Served<C> {
    async fn describe_connector(
        &self,
        request: Request<v1::DescribeConnectorRequest>,
    ) -> Result<Response<v1::DescribeConnectorResponse>, Status> {
        self.answer(request, |connector, envelope, _| async move {
            connector
                .describe(envelope.deadline)
                .await
                .map(describe::info_to_proto)
        })
        .await
    }

    async fn check_identity_provider(
        &self,
        request: Request<v1::CheckIdentityProviderRequest>,
    ) -> Result<Response<v1::CheckIdentityProviderResponse>, Status> {
        self.answer(request, |connector, envelope, _| async move {
            connector
                .check(envelope.deadline)
                .await
                .map(describe::findings_to_proto)
        })
        .await
    }

    async fn create_client(
        &self,
        request: Request<v1::CreateClientRequest>,
    ) -> Result<Response<v1::CreateClientResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, new) = client::create_from_proto(message, envelope)?;
            connector
                .create_client(&call, operation, new)
                .await
                .map(client::created_to_proto)
        })
        .await
    }

    async fn delete_client(
        &self,
        request: Request<v1::DeleteClientRequest>,
    ) -> Result<Response<v1::DeleteClientResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id) = client::delete_from_proto(message, envelope)?;
            connector
                .delete_client(&call, operation, &id)
                .await
                .map(client::deletion_to_proto)
        })
        .await
    }

    async fn rotate_client_secret(
        &self,
        request: Request<v1::RotateClientSecretRequest>,
    ) -> Result<Response<v1::RotateClientSecretResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id) = secret::rotate_from_proto(message, envelope)?;
            connector
                .rotate_client_secret(&call, operation, &id)
                .await
                .map(secret::rotated_to_proto)
        })
        .await
    }

    async fn list_client_secrets(
        &self,
        request: Request<v1::ListClientSecretsRequest>,
    ) -> Result<Response<v1::ListClientSecretsResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, id) = secret::list_from_proto(message, envelope)?;
            connector
                .list_client_secrets(&call, &id)
                .await
                .map(secret::listed_to_proto)
        })
        .await
    }

    async fn add_client_secret(
        &self,
        request: Request<v1::AddClientSecretRequest>,
    ) -> Result<Response<v1::AddClientSecretResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id) = secret::add_from_proto(message, envelope)?;
            connector
                .add_client_secret(&call, operation, &id)
                .await
                .map(|added| secret::added_to_proto(&added))
        })
        .await
    }

    async fn remove_client_secret(
        &self,
        request: Request<v1::RemoveClientSecretRequest>,
    ) -> Result<Response<v1::RemoveClientSecretResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id, secret_id) = secret::remove_from_proto(message, envelope)?;
            connector
                .remove_client_secret(&call, operation, &id, &secret_id)
                .await
                .map(secret::removal_to_proto)
        })
        .await
    }

    async fn update_client(
        &self,
        request: Request<v1::UpdateClientRequest>,
    ) -> Result<Response<v1::UpdateClientResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id, update) = client::update_from_proto(message, envelope)?;
            connector
                .update_client(&call, operation, &id, update)
                .await
                .map(client::updated_to_proto)
        })
        .await
    }

    async fn add_registration(
        &self,
        request: Request<v1::AddRegistrationRequest>,
    ) -> Result<Response<v1::AddRegistrationResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id, registration, origin) =
                registration::add_from_proto(message, envelope)?;
            connector
                .add_registration(&call, operation, &id, registration, origin)
                .await
                .map(registration::added_to_proto)
        })
        .await
    }

    async fn remove_registration(
        &self,
        request: Request<v1::RemoveRegistrationRequest>,
    ) -> Result<Response<v1::RemoveRegistrationResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, id, registration, origin) =
                registration::remove_from_proto(message, envelope)?;
            connector
                .remove_registration(&call, operation, &id, registration, origin)
                .await
                .map(registration::removed_to_proto)
        })
        .await
    }

    async fn abort_operation(
        &self,
        request: Request<v1::AbortOperationRequest>,
    ) -> Result<Response<v1::AbortOperationResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, operation, target) = managed::abort_from_proto(message, envelope)?;
            connector
                .abort_operation(&call, operation, target)
                .await
                .map(managed::aborted_to_proto)
        })
        .await
    }

    async fn list_managed_clients(
        &self,
        request: Request<v1::ListManagedClientsRequest>,
    ) -> Result<Response<v1::ListManagedClientsResponse>, Status> {
        self.answer(request, |connector, envelope, message| async move {
            let (call, page) = managed::list_from_proto(message, envelope)?;
            connector
                .list_managed_clients(&call, page)
                .await
                .map(managed::listed_to_proto)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        assert_eq!(grpc_timeout("8500m"), Some(Duration::from_millis(8500)));
        assert_eq!(grpc_timeout("9S"), Some(Duration::from_secs(9)));
        assert_eq!(
            grpc_timeout("99999999n"),
            Some(Duration::from_nanos(99_999_999))
        );
        for bad in ["", "S", "9", "9x", "-1S", "999999999S", "1.5S", "é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad:?}");
        }
    }
}
