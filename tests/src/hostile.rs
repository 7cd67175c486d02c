//! A connector that answers what it is told to, whatever the contract says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dcr_proto::v1;
use dcr_proto::v1::connector_service_server::{ConnectorService, ConnectorServiceServer};
use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status, async_trait};

use crate::http::PATIENCE;
use crate::loopback;

/// What an RPC answers.
#[derive(Debug, Clone)]
pub enum Answer<T> {
    /// OK, with this message.
    Message(T),
    /// Another status.
    Status(Status),
    /// Nothing, ever.
    Silence,
}

impl<T: Default> Default for Answer<T> {
    fn default() -> Self {
        Self::Message(T::default())
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The RPC, in snake case.
    pub rpc: &'static str,
    /// The message.
    pub message: Vec<u8>,
}

impl Seen {
    /// The message.
    #[must_use]
    pub fn read<M: Message + Default>(&self) -> M {
        M::decode(&*self.message).expect("it was written by the same code")
    }
}

/// A running connector. Ends when dropped.
#[derive(Debug)]
pub struct Hostile {
    /// Where it is.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    answers: Mutex<Answers>,
    seen: watch::Sender<Vec<Seen>>,
}

impl Hostile {
    /// Starts one whose answers hold nothing at all.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            seen: watch::Sender::new(Vec::new()),
        });
        let service = ConnectorServiceServer::from_arc(Arc::clone(&shared))
            .max_encoding_message_size(usize::MAX);
        let (address, server) = listening(service).await;
        Self {
            address,
            shared,
            _server: server,
        }
    }

    /// What it answers from now on.
    pub fn answers(&self) -> MutexGuard<'_, Answers> {
        lock(&self.shared.answers)
    }

    /// How many requests of an RPC arrived so far.
    #[must_use]
    pub fn count(&self, rpc: &str) -> usize {
        let seen = self.shared.seen.borrow();
        seen.iter().filter(|seen| seen.rpc == rpc).count()
    }

    /// Waits for the request of that number (from 0) of an RPC.
    #[track_caller]
    pub fn seen(&self, rpc: &'static str, number: usize) -> impl Future<Output = Seen> + use<> {
        let place = std::panic::Location::caller();
        let mut all = self.shared.seen.subscribe();
        async move {
            let find = |all: &Vec<Seen>| {
                let mut of_rpc = all.iter().filter(|seen| seen.rpc == rpc);
                of_rpc.nth(number).cloned()
            };
            let arrived = all.wait_for(|all| find(all).is_some());
            let found = match tokio::time::timeout(PATIENCE, arrived).await {
                Ok(Ok(all)) => find(&all),
                Ok(Err(_)) | Err(_) => None,
            };
            found.unwrap_or_else(|| panic!("{place}: no {rpc} of number {number} arrived"))
        }
    }
}

/// Serves a gRPC service on loopback until the task is dropped.
pub async fn listening<S>(service: S) -> (SocketAddr, JoinSet<()>)
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let (listener, address) = loopback::listener().await;
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let mut task = JoinSet::new();
    task.spawn(async move {
        let _ = server.await;
    });
    (address, task)
}

impl Shared {
    async fn answer<T>(
        &self,
        rpc: &'static str,
        message: &impl Message,
        answer: impl FnOnce(&Answers) -> Answer<T>,
    ) -> Result<Response<T>, Status> {
        let message = message.encode_to_vec();
        self.seen.send_modify(|all| all.push(Seen { rpc, message }));
        let answer = answer(&lock(&self.answers));
        match answer {
            Answer::Message(message) => Ok(Response::new(message)),
            Answer::Status(status) => Err(status),
            Answer::Silence => loop {
                tokio::time::sleep(Duration::from_hours(1)).await;
            },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! rpcs {
    ($($rpc:ident($request:ident) -> $response:ident,)*) => {
        /// What each RPC answers.
        #[derive(Debug, Clone, Default)]
        #[expect(missing_docs, reason = "named as in connector.proto")]
        pub struct Answers {
            $(pub $rpc: Answer<v1::$response>,)*
        }

        impl Answers {
            /// The same status for all.
            pub fn all(&mut self, status: &Status) {
                $(self.$rpc = Answer::Status(status.clone());)*
            }

            /// No answer for all but `AbortOperation`.
            pub fn none(&mut self) {
                let abort_operation = self.abort_operation.clone();
                *self = Self { $($rpc: Answer::Silence,)* };
                self.abort_operation = abort_operation;
            }
        }

        #[async_trait]
        impl ConnectorService for Shared {
            $(async fn $rpc(&self, request: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                self.answer(stringify!($rpc), request.get_ref(), |answers| answers.$rpc.clone()).await
            })*
        }
    };
}

rpcs! {
    describe_connector(DescribeConnectorRequest) -> DescribeConnectorResponse,
    check_identity_provider(CheckIdentityProviderRequest) -> CheckIdentityProviderResponse,
    create_client(CreateClientRequest) -> CreateClientResponse,
    delete_client(DeleteClientRequest) -> DeleteClientResponse,
    rotate_client_secret(RotateClientSecretRequest) -> RotateClientSecretResponse,
    list_client_secrets(ListClientSecretsRequest) -> ListClientSecretsResponse,
    add_client_secret(AddClientSecretRequest) -> AddClientSecretResponse,
    remove_client_secret(RemoveClientSecretRequest) -> RemoveClientSecretResponse,
    update_client(UpdateClientRequest) -> UpdateClientResponse,
    add_registration(AddRegistrationRequest) -> AddRegistrationResponse,
    remove_registration(RemoveRegistrationRequest) -> RemoveRegistrationResponse,
    abort_operation(AbortOperationRequest) -> AbortOperationResponse,
    list_managed_clients(ListManagedClientsRequest) -> ListManagedClientsResponse,
}
