//! A connector reached over gRPC: the other end of [`Served`](crate::Served).
//!
//! Chooses the channel and sets the deadline of every call, names the call in the connector's log, and reads what comes
//! back as distrustfully as what comes from Konnect. A call that the connector cannot have begun is made once more, on
//! another channel, and on each of them where connections end under it; nothing else is ever sent twice.

mod address;
mod channels;
mod connect;
mod described;
mod dial;
mod message;
mod never_sent;
mod tls;

use std::future::Future;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dcr_proto::v1;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use tokio::time::{sleep, timeout, timeout_at};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};
use tracing::Instrument;

pub use self::address::ConnectorAddress;
use self::channels::{Channels, InFlight};
use self::described::Described;
use self::message::{Message, OneCall};
use self::never_sent::{NeverSent, never_sent, timed_out};
pub use self::tls::ClientTls;
use crate::connector::Connector;
use crate::fault::{Fault, FaultKind, Reason, root_cause};
use crate::model::{
    Abort, AbortTarget, AddedSecret, Adjustment, Call, ClientId, ClientUpdate, ConnectorInfo,
    CreatedClient, Deadline, Deletion, Finding, Malformed, ManagedClients, NewClient, OperationId,
    Origin, Page, Reference, Registration, RegistrationChange, Removal, RotatedSecret, SecretId,
    SecretMetadata,
};
use crate::observe::{Observer, Rpc, Watch};
use crate::wire::{self, client, describe, managed, registration, secret};

/// What the caller keeps of its time to bring the answer home.
const MARGIN: Duration = Duration::from_millis(500);
/// How often a connector is asked what it is, beside each time that a connection was made.
const DESCRIBE_EVERY: Duration = Duration::from_mins(1);
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);
/// A connector that ends every connection at once is not asked more often than this.
const DESCRIBE_PAUSE: Duration = Duration::from_secs(1);

type Client = ConnectorServiceClient<OneCall>;

/// A connector at an address. Connects when it is first called and again whenever a connection is lost. Clones share
/// their connections.
#[derive(Debug, Clone)]
pub struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: String,
    channels: Channels,
    retried: AtomicU64,
    observer: OnceLock<Arc<dyn Observer>>,
    described: Described,
}

impl Drop for Inner {
    /// Whoever waits for a connection learns that there will be none.
    fn drop(&mut self) {
        self.channels.connected().notify_one();
    }
}

/// What metrics may know of a [`Remote`]: a view of the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteState {
    /// The calls in flight on each of its channels.
    pub in_flight: [usize; channels::COUNT],
    /// How many channels have been replaced, because of their age or because no answers came.
    pub replaced_channels: u64,
    /// How often a call was made again because it was never sent.
    pub retried_calls: u64,
    /// What the connector last said of itself; `None` until it has.
    pub described: Option<Arc<ConnectorInfo>>,
}

/// How one attempt failed.
enum Failure {
    /// The connector cannot have begun it.
    NeverSent(NeverSent, Fault),
    Other(Fault),
}

impl Failure {
    fn fault(self) -> Fault {
        let (Self::NeverSent(_, fault) | Self::Other(fault)) = self;
        fault
    }
}

impl Remote {
    /// Prepares the connections; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Malformed` when the address is not one that HTTP can use, or `tls` is missing for `https` or given for `http`.
    pub fn new(address: &ConnectorAddress, tls: Option<&ClientTls>) -> Result<Self, Malformed> {
        Ok(Self(Arc::new(Inner {
            address: address.to_string(),
            channels: Channels::new(address, tls)?,
            retried: AtomicU64::new(0),
            observer: OnceLock::new(),
            described: Described::default(),
        })))
    }

    /// The same connector, whose calls are told to `observer`, if they are told to nobody yet.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        let _first = self.0.observer.set(observer);
        self
    }

    /// What metrics may know.
    #[must_use]
    pub fn state(&self) -> RemoteState {
        RemoteState {
            in_flight: self.0.channels.in_flight(),
            replaced_channels: self.0.channels.replaced(),
            retried_calls: self.0.retried.load(Ordering::Relaxed),
            described: self.0.described.last(),
        }
    }

    /// Asks the connector what it is whenever a connection was made, and every 60 s once it has been called. A task for
    /// whoever owns the connector: it ends when the last clone is gone, and may be dropped at any time.
    pub fn keep_described(&self) -> impl Future<Output = ()> + Send + use<> {
        let remote = Arc::downgrade(&self.0);
        let connected = Arc::clone(self.0.channels.connected());
        async move {
            connected.notified().await;
            connected.notify_one();
            loop {
                let is_new = timeout(DESCRIBE_EVERY, connected.notified()).await.is_ok();
                let Some(remote) = remote.upgrade().map(Self) else {
                    return;
                };
                if !is_new {
                    remote.describe_on(remote.0.channels.take()).await;
                }
                for channel in remote.0.channels.take_new() {
                    remote.describe_on(channel).await;
                }
                drop(remote);
                sleep(DESCRIBE_PAUSE).await;
            }
        }
    }

    async fn describe_on(&self, channel: InFlight) {
        let deadline = Deadline::after(DESCRIBE_WITHIN);
        let reference = Reference::generate();
        let message = v1::DescribeConnectorRequest {};
        let answer = self
            .attempt(
                &channel,
                deadline,
                &reference,
                message,
                |mut c, r| async move { c.describe_connector(r).await },
            )
            .await;
        let said = answer.map_err(Failure::fault);
        let said = said.and_then(describe::info_from_proto);
        self.0.described.keep(&self.0.address, said);
    }

    async fn call<Q, A, Fut>(
        &self,
        deadline: Deadline,
        reference: &Reference,
        message: impl Fn() -> Q,
        send: impl Fn(Client, Request<Q>) -> Fut,
    ) -> Result<A, Fault>
    where
        Q: Rpc,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = deadline.earlier_by(MARGIN);
        let channels = &self.0.channels;
        let mut channel = channels.take();
        // All other channels, and the first, which has another connection by then.
        let mut left = channels::COUNT;
        loop {
            let attempt = self.attempt(&channel, deadline, reference, message(), &send);
            let (why, fault) = match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Other(fault)) => return Err(fault),
                Err(Failure::NeverSent(why, fault)) => (why, fault),
            };
            left = match why {
                NeverSent::Lost => left,
                NeverSent::Unreached => left.min(1),
            };
            if left == 0 || deadline.remaining().is_zero() {
                return Err(fault);
            }
            left -= 1;
            self.0.retried.fetch_add(1, Ordering::Relaxed);
            channel = channels.take_next(&channel);
        }
    }

    async fn attempt<Q, A, Fut>(
        &self,
        channel: &InFlight,
        deadline: Deadline,
        reference: &Reference,
        message: Q,
        send: impl FnOnce(Client, Request<Q>) -> Fut,
    ) -> Result<A, Failure>
    where
        Q: Rpc,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let time = deadline.remaining();
        if time.is_zero() {
            let message = "no time was left to call the connector; nothing was sent";
            let fault = Fault::new(FaultKind::Unavailable { after: None }, message);
            let fault = fault.reason(Reason::TimedOut);
            return Err(Failure::NeverSent(NeverSent::Unreached, fault));
        }
        let mut request = Request::new(message);
        request.set_timeout(time);
        if let Ok(value) = MetadataValue::try_from(reference.as_str()) {
            request.metadata_mut().insert("x-request-id", value);
        }
        let observer = self.0.observer.get().cloned();
        let mut watch = Watch::client(observer, &self.0.address, &mut request);
        // The header asks the connector; the timer holds when nobody is there to obey.
        let message = Message::default();
        let answer = send(channel.client(&message), request).instrument(watch.span());
        let answer = timeout_at(deadline.instant(), answer).await;
        watch.end(match &answer {
            Ok(Ok(_)) => Code::Ok,
            Ok(Err(status)) => status.code(),
            Err(_) => Code::DeadlineExceeded,
        });
        drop(watch);
        let status = match answer {
            Ok(Ok(answer)) => {
                Channels::answered(channel);
                return Ok(answer.into_inner());
            }
            Ok(Err(status)) => Some(status),
            Err(_) => None,
        };
        let unavailable = |message| {
            let fault = Fault::new(FaultKind::Unavailable { after: None }, message);
            fault.reason(Reason::Unreachable)
        };
        if let Some(status) = status {
            let is_ours = || wire::fault::is_from_a_connector(&status);
            let never_sent = never_sent(&status).or_else(|| {
                let not_left = !timed_out(&status) && message.take_back() && !is_ours();
                not_left.then(|| never_sent::not_left(&status))
            });
            if let Some(why) = never_sent {
                let fault = unavailable("the connector was not reached");
                return Err(Failure::NeverSent(why, fault.because(root_cause(&status))));
            }
            if !timed_out(&status) {
                Channels::answered(channel);
                return Err(Failure::Other(wire::fault::from_status(&status)));
            }
        }
        self.0.channels.missed(channel);
        if message.take_back() {
            let text = "no connection to the connector was ready in time; nothing was sent";
            let (why, fault) = (NeverSent::Unreached, unavailable(text));
            return Err(Failure::NeverSent(why, fault));
        }
        let fault = Fault::new(FaultKind::TimedOut, "the connector did not answer in time");
        Err(Failure::Other(fault))
    }
}

/// Makes a call by the method of that name of the generated client.
macro_rules! rpc {
    ($remote:ident.$rpc:ident($deadline:expr, $reference:expr, $message:expr)) => {
        $remote.call(
            $deadline,
            $reference,
            $message,
            |mut client, request| async move { client.$rpc(request).await },
        )
    };
}

impl Connector for Remote {
    async fn describe(&self, deadline: Deadline) -> Result<ConnectorInfo, Fault> {
        let message = || v1::DescribeConnectorRequest {};
        let answer =
            rpc!(self.describe_connector(deadline, &Reference::generate(), message)).await?;
        describe::info_from_proto(answer)
    }

    async fn check(&self, deadline: Deadline) -> Result<Vec<Finding>, Fault> {
        let message = || v1::CheckIdentityProviderRequest {};
        let answer =
            rpc!(self.check_identity_provider(deadline, &Reference::generate(), message)).await?;
        Ok(describe::findings_from_proto(answer))
    }

    async fn create_client(
        &self,
        call: &Call,
        operation: OperationId,
        new: NewClient,
    ) -> Result<CreatedClient, Fault> {
        let message = || client::create_to_proto(call, operation, &new);
        let answer = rpc!(self.create_client(call.deadline, &call.reference, message)).await?;
        client::created_from_proto(answer)
    }

    async fn delete_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<Deletion, Fault> {
        let message = || client::delete_to_proto(call, operation, client_id);
        let answer = rpc!(self.delete_client(call.deadline, &call.reference, message)).await?;
        client::deletion_from_proto(answer)
    }

    async fn rotate_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<RotatedSecret, Fault> {
        let message = || secret::rotate_to_proto(call, operation, client_id);
        let answer =
            rpc!(self.rotate_client_secret(call.deadline, &call.reference, message)).await?;
        secret::rotated_from_proto(answer)
    }

    async fn list_client_secrets(
        &self,
        call: &Call,
        client_id: &ClientId,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        let message = || secret::list_to_proto(call, client_id);
        let answer =
            rpc!(self.list_client_secrets(call.deadline, &call.reference, message)).await?;
        secret::listed_from_proto(answer)
    }

    async fn add_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<AddedSecret, Fault> {
        let message = || secret::add_to_proto(call, operation, client_id);
        let answer = rpc!(self.add_client_secret(call.deadline, &call.reference, message)).await?;
        secret::added_from_proto(answer)
    }

    async fn remove_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        secret_id: &SecretId,
    ) -> Result<Removal, Fault> {
        let message = || secret::remove_to_proto(call, operation, client_id, secret_id);
        let answer =
            rpc!(self.remove_client_secret(call.deadline, &call.reference, message)).await?;
        secret::removal_from_proto(answer)
    }

    async fn update_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        update: ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        let message = || client::update_to_proto(call, operation, client_id, &update);
        let answer = rpc!(self.update_client(call.deadline, &call.reference, message)).await?;
        Ok(client::updated_from_proto(answer))
    }

    async fn add_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> Result<RegistrationChange, Fault> {
        let message =
            || registration::add_to_proto(call, operation, client_id, &registration, &origin);
        let answer = rpc!(self.add_registration(call.deadline, &call.reference, message)).await?;
        registration::added_from_proto(answer)
    }

    async fn remove_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> Result<RegistrationChange, Fault> {
        let message =
            || registration::remove_to_proto(call, operation, client_id, &registration, &origin);
        let answer =
            rpc!(self.remove_registration(call.deadline, &call.reference, message)).await?;
        registration::removed_from_proto(answer)
    }

    async fn abort_operation(
        &self,
        call: &Call,
        operation: OperationId,
        target: AbortTarget,
    ) -> Result<Abort, Fault> {
        let message = || managed::abort_to_proto(call, operation, &target);
        let answer = rpc!(self.abort_operation(call.deadline, &call.reference, message)).await?;
        managed::aborted_from_proto(answer)
    }

    async fn list_managed_clients(&self, call: &Call, page: Page) -> Result<ManagedClients, Fault> {
        let message = || managed::list_to_proto(call, &page);
        let answer =
            rpc!(self.list_managed_clients(call.deadline, &call.reference, message)).await?;
        managed::listed_from_proto(answer)
    }
}
