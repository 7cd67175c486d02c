//! The contract between gateway and connector, executed.
//!
//! Plays the gateway against any connector that implements `connector.proto`, in any language, and tells which of its
//! rules it breaks. It sees what a gateway sees: gRPC. What cannot be seen from there it is told by [`Options`], or the
//! check is named as skipped. In a connector's own tests:
//!
//! ```no_run
//! # async fn test() -> Result<(), dcr_conformance::CannotRun> {
//! let options = dcr_conformance::Options::new("http://127.0.0.1:9000");
//! dcr_conformance::run(options).await?.assert_passed();
//! # Ok(())
//! # }
//! ```

mod bridge;
mod check;
mod checks;
mod connection;
mod held;
mod journal;
pub mod junit;
mod options;
mod pace;
pub mod paint;
mod process;
mod refusal;
mod report;
mod requests;
mod rpc;
mod run;
mod shape;
mod tokens;

pub use connection::CannotRun;
pub use options::{Options, Profile, TlsOptions, TokenAuth, TokenOptions};
pub use report::{Checked, Report, Result};
pub use run::{list, run, run_until};
