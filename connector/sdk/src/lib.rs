//! All that the author of a connector reads.
//!
//! A connector owns the clients of one identity provider (IdP). Its author implements [`Idp`]: how this one IdP is
//! spoken to. [`Managed`] makes a [`Connector`] of it and does what no team may forget: ownership, locks, limits,
//! detached operations and their undoing. [`run`] is the process around it, so that a `main.rs` has three lines.
//! [`http`] is the one HTTP client to IdPs.

pub mod http;

mod grants;
mod idp;
mod managed;
mod mark;
mod run;

pub use dcr_contract::fault::{self, Fault, FaultKind, Outcome, Reason, Violation, Violations};
pub use dcr_contract::model;
pub use dcr_contract::{Connector, Served};
pub use dcr_runtime::{Shutdown, config};
pub use grants::{GrantMap, Registrations, Subject};
pub use idp::{Added, Created, Found, FoundByOperation, Idp, Rotated, Traits};
pub use managed::{Imported, Managed, Owned};
#[doc(hidden)]
pub use managed::{Protection, Protections};
pub use mark::{Made, Mark, Marked};
#[doc(hidden)]
pub use run::run_with;
pub use run::{Settings, run, serve_on};
