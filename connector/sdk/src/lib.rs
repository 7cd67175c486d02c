//! All that the author of a connector reads.
//!
//! A connector owns the clients of one identity provider (IdP). Its author implements [`Idp`]: how this one IdP is
//! spoken to. [`Managed`] makes a [`Connector`] of it and does what no team may forget: ownership, locks, limits,
//! detached operations and their undoing. [`run()`] is the process around it, so that a `main.rs` has three lines.
//! [`http`] is the one HTTP client to IdPs. The feature `store` adds an encrypted store for IdPs that cannot hold our
//! mark.

pub mod http;
#[cfg(feature = "store")]
pub mod store;

mod examine;
mod grants;
mod idp;
mod managed;
mod mark;
mod metrics;
mod run;
mod secret;
mod settings;

pub use dcr_contract::fault::{self, Fault, FaultKind, Outcome, Reason, Violation, Violations};
pub use dcr_contract::model;
pub use dcr_contract::{Connector, Served};
pub use dcr_runtime::Shutdown;
pub use grants::{
    Before, GrantMap, Granted, OAuthGrant, OAuthRule, Registrations, Subject, scope_names,
};
pub use idp::{Added, Created, Found, FoundByOperation, Idp, Rotated, Traits};
pub use managed::{Imported, Managed, Owned};
#[doc(hidden)]
pub use managed::{Protection, Protections};
pub use mark::{Made, Mark, Marked};
#[doc(hidden)]
pub use run::run_with;
pub use run::{run, serve_on};
pub use secret::new_secret;
pub use settings::{SecretFile, Settings};

/// What a section of the configuration is made of. Files are read through [`Settings`].
pub mod config {
    pub use dcr_runtime::config::{Located, Problem, Problems};
}

/// The guide's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;
