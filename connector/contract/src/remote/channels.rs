//! The channels to one connector: several connections to one address, so that calls spread over its replicas and one
//! dead connection does not hold up all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use dcr_proto::v1::connector_service_client::ConnectorServiceClient;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::transport;

use super::message::{Message, OneCall};
use super::{Client, ClientTls, ConnectorAddress, dial};
use crate::model::Malformed;
use crate::served::LARGEST_MESSAGE;

/// Channels per connector.
pub(super) const COUNT: usize = 4;
/// So many calls in a row without any answer, and a channel is replaced: its connection may be a black hole.
const MISSED: u32 = 2;
/// A channel is replaced at about this age, so that calls spread over new replicas.
const LIFETIME: Duration = Duration::from_mins(5);

/// The channels to one address.
#[derive(Debug)]
pub(super) struct Channels {
    address: ConnectorAddress,
    tls: Option<ClientTls>,
    slots: [ArcSwap<Channel>; COUNT],
    replaced: AtomicU64,
    connected: Arc<Notify>,
}

/// One channel. Whoever holds it may go on using it when it has been replaced.
#[derive(Debug)]
pub(super) struct Channel {
    transport: transport::Channel,
    in_flight: AtomicUsize,
    missed: AtomicU32,
    until: Instant,
    /// A connection was made that has not been asked yet what it leads to.
    is_new: Arc<AtomicBool>,
}

impl Channels {
    /// Prepares them, connecting none. Must be called within a tokio runtime.
    pub(super) fn new(
        address: &ConnectorAddress,
        tls: Option<&ClientTls>,
    ) -> Result<Self, Malformed> {
        let connected = Arc::new(Notify::new());
        let slot = || Channel::new(address, tls, &connected).map(ArcSwap::from_pointee);
        Ok(Self {
            slots: [slot()?, slot()?, slot()?, slot()?],
            address: address.clone(),
            tls: tls.cloned(),
            replaced: AtomicU64::new(0),
            connected,
        })
    }

    /// Takes the one with fewer calls in flight of two that are drawn by lot.
    pub(super) fn take(&self) -> InFlight {
        let first = fastrand::usize(..COUNT);
        let second = (first + fastrand::usize(1..COUNT)) % COUNT;
        let (one, other) = (self.slot(first).load_full(), self.slot(second).load_full());
        if other.in_flight() < one.in_flight() {
            self.in_force(second, other)
        } else {
            self.in_force(first, one)
        }
    }

    /// Takes the next one after that: whoever goes on so comes to all before one comes again.
    pub(super) fn take_next(&self, after: &InFlight) -> InFlight {
        let number = (after.number + 1) % COUNT;
        self.in_force(number, self.slot(number).load_full())
    }

    /// The channel, or the one that takes its place because of its age.
    fn in_force(&self, number: usize, channel: Arc<Channel>) -> InFlight {
        let channel = if channel.until <= Instant::now() {
            self.replace(number, &channel);
            self.slot(number).load_full()
        } else {
            channel
        };
        InFlight::new(number, channel)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "every number comes from a range of COUNT"
    )]
    fn slot(&self, number: usize) -> &ArcSwap<Channel> {
        &self.slots[number]
    }

    /// Puts a new channel into the place of this one, unless somebody did already.
    fn replace(&self, number: usize, old: &Arc<Channel>) {
        if !Arc::ptr_eq(&self.slot(number).load(), old) {
            return;
        }
        // The address was good for the first ones.
        let Ok(new) = Channel::new(&self.address, self.tls.as_ref(), &self.connected) else {
            return;
        };
        let found = self.slot(number).compare_and_swap(old, Arc::new(new));
        if Arc::ptr_eq(&found, old) {
            self.replaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a call got an answer, of whatever kind.
    pub(super) fn answered(call: &InFlight) {
        call.channel.missed.store(0, Ordering::Relaxed);
    }

    /// Notes that a call got no answer in time.
    pub(super) fn missed(&self, call: &InFlight) {
        let missed = call.channel.missed.fetch_add(1, Ordering::Relaxed) + 1;
        if missed >= MISSED {
            self.replace(call.number, &call.channel);
        }
    }

    /// The calls in flight on each.
    pub(super) fn in_flight(&self) -> [usize; COUNT] {
        self.slots.each_ref().map(|slot| slot.load().in_flight())
    }

    /// How many have been replaced.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Wakes one waiter whenever a connection was made.
    pub(super) fn connected(&self) -> &Arc<Notify> {
        &self.connected
    }

    /// Takes those with a new connection; at most once for each connection.
    pub(super) fn take_new(&self) -> impl Iterator<Item = InFlight> {
        let channels = self.slots.iter().map(ArcSwap::load_full).enumerate();
        let new = channels.filter(|(_, c)| c.is_new.swap(false, Ordering::Relaxed));
        new.map(|(number, channel)| InFlight::new(number, channel))
    }
}

impl Channel {
    fn new(
        address: &ConnectorAddress,
        tls: Option<&ClientTls>,
        connected: &Arc<Notify>,
    ) -> Result<Self, Malformed> {
        let is_new = Arc::new(AtomicBool::new(false));
        let (new, wake) = (Arc::clone(&is_new), Arc::clone(connected));
        let transport = dial::lazily(address, tls, move || {
            new.store(true, Ordering::Relaxed);
            wake.notify_one();
        })?;
        Ok(Self {
            transport,
            in_flight: AtomicUsize::new(0),
            missed: AtomicU32::new(0),
            // Not all at once, here and in other gateways.
            until: Instant::now() + LIFETIME.mul_f64(0.9 + 0.2 * fastrand::f64()),
            is_new,
        })
    }

    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A call on a channel, from before its first byte to its end.
#[derive(Debug)]
pub(super) struct InFlight {
    number: usize,
    channel: Arc<Channel>,
}

impl InFlight {
    fn new(number: usize, channel: Arc<Channel>) -> Self {
        channel.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { number, channel }
    }

    /// What makes the call, with this message.
    pub(super) fn client(&self, message: &Message) -> Client {
        let channel = OneCall::new(self.channel.transport.clone(), message.clone());
        ConnectorServiceClient::new(channel)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.channel.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
