//! Calls without a right key or with an ambiguous head, by the peer they come from.
//!
//! Konnect comes from few addresses and shares them with others, so nobody is kept out for what came from his address:
//! a right key always passes. Only the answer to wrong ones changes, and none of them is logged one by one any more.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use dcr_runtime::http::network;
use dcr_runtime::rate::{Gate, Rate};

/// Peers share a place when their hashes meet, which harms no right key; the table never grows.
const PLACES: usize = 4096;

/// Counts calls that nobody lets in.
#[derive(Debug)]
pub(crate) struct Strangers {
    rate: Rate,
    hash: RandomState,
    places: Box<[Gate]>,
}

impl Strangers {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            hash: RandomState::new(),
            places: (0..PLACES).map(|_| Gate::default()).collect(),
        }
    }

    /// Counts one.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub(crate) fn note(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        let hash = self.hash.hash_one(peer.map(network));
        let place = usize::try_from(hash % PLACES as u64).unwrap_or_default();
        let gate = self.places.get(place);
        gate.map_or(Ok(()), |gate| gate.pass(&self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_its_own_tries() {
        let strangers = Strangers::new(Rate::per_minute(1, 2));
        let note = |peer: &str| strangers.note(Some(peer.parse().unwrap())).is_ok();
        assert!(note("192.0.2.1") && note("192.0.2.1") && !note("192.0.2.1"));
        // The same peer as IPv6 writes it.
        assert!(!note("::ffff:192.0.2.1"));
        // Of several, most have a place of their own.
        let others = (2..12).filter(|n| note(&format!("192.0.2.{n}"))).count();
        assert!(others >= 8, "{others}");
        assert!(note("2001:db8::1") && note("2001:db8::2") && !note("2001:db8::3"));
    }
}
