//! The faulty connector: passes every call on to the one that keeps the rules, and does its one thing wrong.

mod clients;
mod others;
mod registrations;
mod secrets;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request as HttpRequest;
use axum::middleware::{Next, from_fn};
use axum::response::Response as HttpResponse;
use dcr_connector::Shutdown;
use dcr_proto::v1;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use dcr_proto::v1::connector_service_server::{ConnectorService, ConnectorServiceServer};
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, async_trait};

use crate::edit::{edited, refusal, throttled, with_first_violation, with_long_sentence, without};
use crate::end::{End, bare};
use crate::fault::Fault;
use crate::pings::cut_on_pings;
use crate::stand_in::StandIn;
use crate::state::State;

/// What the suite calls itself, which is the one caller that a careless connector knows.
const USUAL: &str = "dcr-conformance";
const SERVICE: &str = "dcr.connector.v1.ConnectorService";
const LARGEST_MESSAGE: usize = 1024 * 1024;
/// Long enough to be cancelled in.
const WHILE: Duration = Duration::from_millis(20);

type Answer<T> = Result<Response<T>, Status>;

/// A connector with this fault before the one at an address. It is told to end by way of its stand-in.
pub(crate) async fn start(fault: Fault, behind: &str, stand_in: StandIn) -> SocketAddr {
    let channel = Channel::from_shared(behind.to_owned()).unwrap();
    let inner = ConnectorServiceClient::new(channel.connect_lazy());
    let faulty = Faulty {
        inner: inner.max_encoding_message_size(4 * LARGEST_MESSAGE),
        fault,
        state: Arc::default(),
        in_flight: Arc::default(),
    };
    let largest = if fault == Fault::AnyMessage {
        4 * LARGEST_MESSAGE
    } else {
        LARGEST_MESSAGE
    };
    let service = ConnectorServiceServer::new(faulty).max_decoding_message_size(largest);
    let mut routes = Routes::new(service);
    if fault == Fault::RefusesUnknownFields {
        routes = Routes::from(routes.into_axum_router().layer(from_fn(knows_every_field)));
    }
    let end = End::new(fault);
    let at_its_end = {
        let end = end.clone();
        from_fn(move |request, next| end.clone().answered(request, next))
    };
    let routes = Routes::from(routes.into_axum_router().layer(at_its_end));
    let name = if fault == Fault::HealthKnowsNoService {
        "another.Service"
    } else {
        SERVICE
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = dcr_runtime::grpc::limits();
    let shutdown = Shutdown::new();
    tokio::spawn(end.come(stand_in, shutdown.clone()));
    tokio::spawn(async move {
        dcr_runtime::grpc::serve(listener, routes, name, limits, None, &shutdown).await;
        shutdown.drain(Duration::ZERO).await;
    });
    if fault == Fault::HangsUpOnPings {
        cut_on_pings(address).await
    } else {
        address
    }
}

/// Refuses what the suite sends in a field of a later contract.
async fn knows_every_field(request: HttpRequest, next: Next) -> HttpResponse {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 4 * LARGEST_MESSAGE).await.unwrap();
    let addition = b"an addition of a later contract";
    if body
        .windows(addition.len())
        .any(|window| window == addition)
    {
        return bare(Code::Internal);
    }
    next.run(HttpRequest::from_parts(head, Body::from(body)))
        .await
}

/// A connector that does one thing wrong.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: ConnectorServiceClient<Channel>,
    fault: Fault,
    state: Arc<Mutex<State>>,
    in_flight: Arc<AtomicUsize>,
}

impl Faulty {
    fn inner(&self) -> ConnectorServiceClient<Channel> {
        self.inner.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// A request as it goes on, with the deadline that it came with.
    async fn opened<T>(&self, request: Request<T>) -> Result<(MetadataMap, T), Status> {
        let too_many = self.is(Fault::Throttles).then(|| self.state().too_many());
        if let Some(left) = too_many.flatten() {
            return Err(throttled(left));
        }
        let (mut kept, mut message) = (MetadataMap::new(), request);
        let text = message.metadata().get("grpc-timeout").cloned();
        let time = text
            .as_ref()
            .and_then(|text| text.to_str().ok())
            .unwrap_or_default();
        if self.is(Fault::KnowsNoHours) && time.ends_with('H') {
            return Err(refusal(Code::InvalidArgument, "INVALID_REQUEST"));
        }
        let microseconds = time
            .strip_suffix('u')
            .and_then(|digits| digits.parse::<u64>().ok());
        if self.is(Fault::IgnoresDeadlines) && microseconds.is_some_and(|time| time <= 1_500_000) {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        if let Some(text) = text {
            kept.insert("grpc-timeout", text);
        }
        message.metadata_mut().clear();
        Ok((kept, message.into_inner()))
    }

    /// Takes other callers for one that it knows.
    fn caller(&self, caller: &mut Option<v1::Caller>) {
        let Some(caller) = caller else { return };
        let is_none = |label: &str| {
            let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            label.is_empty() || label.len() > 64 || !label.bytes().all(legal)
        };
        let is_ill_formed = is_none(&caller.installation) || is_none(&caller.provider_id);
        let any = self.is(Fault::AnyCaller) && is_ill_formed;
        if any || self.is(Fault::IgnoresTheProvider) {
            USUAL.clone_into(&mut caller.provider_id);
        }
        if any || self.is(Fault::IgnoresTheInstallation) {
            USUAL.clone_into(&mut caller.installation);
        }
    }

    /// Takes an operation for another one, where `again` and it was begun, or where it is none.
    fn operation(&self, operation: &mut Option<v1::Operation>, again: bool) {
        let Some(operation) = operation else { return };
        let is_new = self.state().begun.insert(operation.operation_id.clone());
        let is_none = uuid::Uuid::parse_str(&operation.operation_id).map_or(true, |id| {
            id.get_version_num() != 7 || id.to_string() != operation.operation_id
        });
        if (again && !is_new) || (self.is(Fault::AnyOperationId) && is_none) {
            operation.operation_id = uuid::Uuid::now_v7().to_string();
        }
    }

    /// What holds for the failures of every call.
    fn ended<T>(&self, answer: Answer<T>) -> Answer<T> {
        answer.map_err(|status| match (self.fault, status.code()) {
            (Fault::OmitsErrorInfo, Code::NotFound) => without(&status, "google.rpc.ErrorInfo"),
            (Fault::OmitsOutcome, Code::NotFound) => without(&status, "OutcomeDetail"),
            (Fault::OmitsBadRequest, Code::InvalidArgument) => {
                without(&status, "google.rpc.BadRequest")
            }
            (Fault::TellsTheFirstViolation, Code::InvalidArgument) => with_first_violation(&status),
            (Fault::LongSentences, Code::NotFound) => with_long_sentence(&status),
            (Fault::TellsSecrets, Code::AlreadyExists) => {
                let told = format!("repeated, with the secret {}", self.state().last_secret);
                let kept = edited(&status, status.code(), |_| {});
                Status::with_details(kept.code(), told, kept.details().to_vec().into())
            }
            _ => status,
        })
    }

    /// The ids of a client's secrets.
    async fn secret_ids(&self, caller: Option<&v1::Caller>, client_id: &str) -> Vec<String> {
        let request = v1::ListClientSecretsRequest {
            caller: caller.cloned(),
            client_id: client_id.to_owned(),
        };
        let listed = self.inner().list_client_secrets(request).await;
        let secrets = listed
            .map(|listed| listed.into_inner().secrets)
            .unwrap_or_default();
        secrets.into_iter().map(|secret| secret.secret_id).collect()
    }

    async fn rotates(&self, caller: Option<&v1::Caller>, client_id: &str) {
        let request = v1::RotateClientSecretRequest {
            caller: caller.cloned(),
            operation: new_operation(),
            client_id: client_id.to_owned(),
        };
        let _ = self.inner().rotate_client_secret(request).await;
    }
}

fn new_operation() -> Option<v1::Operation> {
    Some(v1::Operation {
        operation_id: uuid::Uuid::now_v7().to_string(),
    })
}

fn with_deadline<T>(metadata: MetadataMap, message: T) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata;
    request
}

/// Each call is a function of the same name in the module of its subject.
macro_rules! calls {
    ($($name:ident: $request:ident -> $answer:ident;)+) => {
        #[async_trait]
        impl ConnectorService for Faulty {
            $(async fn $name(&self, request: Request<v1::$request>) -> Answer<v1::$answer> {
                let (metadata, message) = self.opened(request).await?;
                self.ended(self.$name(metadata, message).await)
            })+
        }
    };
}

calls! {
    describe_connector: DescribeConnectorRequest -> DescribeConnectorResponse;
    check_identity_provider: CheckIdentityProviderRequest -> CheckIdentityProviderResponse;
    create_client: CreateClientRequest -> CreateClientResponse;
    delete_client: DeleteClientRequest -> DeleteClientResponse;
    rotate_client_secret: RotateClientSecretRequest -> RotateClientSecretResponse;
    list_client_secrets: ListClientSecretsRequest -> ListClientSecretsResponse;
    add_client_secret: AddClientSecretRequest -> AddClientSecretResponse;
    remove_client_secret: RemoveClientSecretRequest -> RemoveClientSecretResponse;
    update_client: UpdateClientRequest -> UpdateClientResponse;
    add_registration: AddRegistrationRequest -> AddRegistrationResponse;
    remove_registration: RemoveRegistrationRequest -> RemoveRegistrationResponse;
    abort_operation: AbortOperationRequest -> AbortOperationResponse;
    list_managed_clients: ListManagedClientsRequest -> ListManagedClientsResponse;
}

/// Counts a call for as long as it is kept.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn new(count: &Arc<AtomicUsize>) -> (Self, usize) {
        let many = count.fetch_add(1, Ordering::SeqCst) + 1;
        (Self(Arc::clone(count)), many)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
