//! Connections that have not sent a whole request head, counted for each peer.
//!
//! A peer that opens connections and says nothing (slow-loris) must not take the places of all others. It may hold a
//! few; of more, the oldest has to go, though not within its first second. So a well-behaved caller behind the same
//! address gets in all the same, and so does a burst of them: a head follows its connection at once.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::http::network;

/// How long a connection may be without a head, however many there are.
const GRACE: Duration = Duration::from_secs(1);

/// The places of all peers. There are never more than there are connections.
#[derive(Debug)]
pub(crate) struct Headless {
    per_peer: usize,
    next: AtomicU64,
    peers: Mutex<HashMap<IpAddr, BTreeMap<u64, CancellationToken>>>,
}

impl Headless {
    pub(crate) fn new(per_peer: usize) -> Self {
        Self {
            per_peer,
            next: AtomicU64::default(),
            peers: Mutex::default(),
        }
    }

    /// Takes a place for a new connection.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Place {
        let place = Place {
            all: Arc::clone(self),
            peer: network(peer),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            taken: Instant::now(),
            crowded_out: CancellationToken::new(),
        };
        let mut peers = self.lock();
        let places = peers.entry(place.peer).or_default();
        places.insert(place.number, place.crowded_out.clone());
        if places.len() > self.per_peer
            && let Some((_, oldest)) = places.pop_first()
        {
            oldest.cancel();
        }
        place
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, BTreeMap<u64, CancellationToken>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Arc<Headless>,
    peer: IpAddr,
    number: u64,
    taken: Instant,
    crowded_out: CancellationToken,
}

impl Place {
    /// Ends when newer connections of the same peer have taken all places, after a second at the earliest.
    pub(crate) async fn crowded_out(&self) {
        self.crowded_out.cancelled().await;
        sleep_until(self.taken + GRACE).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.all.lock();
        if let Some(places) = peers.get_mut(&self.peer) {
            places.remove(&self.number);
            if places.is_empty() {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_crowded_out(place: &Place) -> bool {
        place.crowded_out.is_cancelled()
    }

    #[test]
    fn the_oldest_of_a_peer_makes_room_and_no_other_peers() {
        let headless = Arc::new(Headless::new(2));
        let admit = |peer: &str| headless.admit(peer.parse().unwrap());
        let other = admit("192.0.2.2");
        let (first, second) = (admit("192.0.2.1"), admit("::ffff:192.0.2.1"));
        assert!(!is_crowded_out(&first));
        let third = admit("192.0.2.1");
        assert!(is_crowded_out(&first));
        // Its going frees nobody's place.
        drop(first);
        assert!(!is_crowded_out(&second) && !is_crowded_out(&third) && !is_crowded_out(&other));
        drop(third);
        let fourth = admit("192.0.2.1");
        assert!(!is_crowded_out(&second) && !is_crowded_out(&fourth));
        drop((second, fourth, other));
        assert!(headless.lock().is_empty(), "what is over is not remembered");
    }

    #[test]
    fn a_64_of_ipv6_is_one_peer() {
        let headless = Arc::new(Headless::new(1));
        let admit = |peer: &str| headless.admit(peer.parse().unwrap());
        let (first, other) = (admit("2001:db8:0:1::1"), admit("2001:db8:0:2::1"));
        let _second = admit("2001:db8:0:1:ffff::1");
        assert!(is_crowded_out(&first) && !is_crowded_out(&other));
    }
}
