//! TLS: who we are, whom we take for what they say they are, and certificates that change without a restart.
//!
//! Towards Konnect a process shows a certificate ([`ServerIdentity`] of [`ServerFiles`]). Gateway and connectors show
//! one another certificates, and each asks for more than a chain to its CA: the other's one URI SAN must be the one
//! that is configured ([`PeerIdentity`]), or any workload with a certificate of that CA could create clients. The
//! URI SAN stands in place of the host name, which certificates need not have.
//!
//! No session is resumed between gateway and connector: each connection proves anew who is at its ends, by what is
//! trusted now. A connection that is open when a certificate changes lives on; its age limits that.

mod certificate;
mod client;
mod expiry;
mod files;
mod identity;
mod peer;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

use crate::rate::Rate;

pub use client::{Client, ClientFiles, ClientIdentity};
pub use expiry::register as register_expiry;
pub use identity::Identity;
pub use peer::{NotAnIdentity, PeerIdentity};
pub use server::{MutualServerFiles, ServerFiles, ServerIdentity};

/// How many warnings strangers can bring into the log; of more, each is told at the level `debug`.
pub(crate) const TOLD: Rate = Rate::per_minute(10, 20);

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
