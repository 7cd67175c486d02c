//! The system from outside: what plays Konnect, stands between a connector and its IdP, starts the bridge and
//! searches what it printed.
//!
//! Nothing here reads the bridge's own structs: Konnect's schemas are rebuilt from its published contract, and
//! what reached an IdP is what a proxy saw. A helper that finds something wrong panics with the place of the call.

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness has nobody to report to but the test: it panics, and the test fails"
)]

pub mod bridge;
pub mod certificates;
pub mod collector;
pub mod folder;
pub mod hostile;
pub mod http;
pub mod konnect;
pub mod listening;
pub mod loopback;
pub mod managed;
pub mod management;
pub mod mishap;
pub mod planted;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod scenarios;
pub mod schema;
pub mod service;
pub mod small_idp;
pub mod stand_in;
pub mod suite;
pub mod token;
pub mod versions;
pub mod volume;
pub mod without;

mod bodies;
mod rules;

pub use bridge::{Connector, Gateway, Provider};
pub use collector::Collector;
pub use folder::Folder;
pub use http::{Answer, Http};
pub use konnect::{Konnect, Refusal, Reply};
pub use listening::Listening;
pub use mishap::{Gate, Mishap};
pub use planted::Planted;
pub use process::Process;
pub use proxy::{Exchange, Proxy};
pub use service::Service;
pub use small_idp::SmallIdp;
pub use volume::Volume;
