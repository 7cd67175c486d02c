//! Ports that processes have again after they were killed: several worlds may live on one machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below the range that outgoing connections take theirs from (32768 and more).
const FIRST: u16 = 12_000;
const BLOCKS: u16 = 600;
const BLOCK: u16 = 32;

/// A block of ports, no other world's: its first one is listened on for as long as this is kept.
#[derive(Debug)]
pub struct Ports {
    _lease: TcpListener,
    free: std::ops::Range<u16>,
}

impl Ports {
    /// Leases a block.
    #[must_use]
    pub fn lease() -> Self {
        loop {
            let first = FIRST + BLOCK * fastrand::u16(..BLOCKS);
            if let Ok(lease) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) {
                return Self {
                    _lease: lease,
                    free: first + 1..first + BLOCK,
                };
            }
        }
    }

    /// One that nobody else has at the moment either.
    #[must_use]
    pub fn next_address(&mut self) -> SocketAddr {
        let mut free = self
            .free
            .by_ref()
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let address = free.find(|address| TcpListener::bind(address).is_ok());
        address.expect("a world has fewer processes than a block has ports")
    }
}
