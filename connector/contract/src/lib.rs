//! What gateway and connectors share of the protocol between them.
//!
//! One trait, [`Connector`], stands at both ends of the wire: [`Served`] offers one over gRPC and [`Remote`] is
//! one, reached over gRPC, so that routers, tests and the conformance suite do not care which they hold. The
//! generated messages never leave this crate.

pub mod fault;
pub mod model;

mod connector;
mod observe;
mod remote;
mod served;
mod wire;

pub use connector::Connector;
pub use fault::{Fault, FaultKind, Outcome, Reason, Violation, Violations};
pub use observe::Observer;
pub use remote::{ClientTls, ConnectorAddress, Remote, RemoteState};
pub use served::Served;
