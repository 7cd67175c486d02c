//! The HTTP client against a scripted IdP on plain sockets, one subject a file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod answers;
mod common;
mod credential;
mod deadlines;
mod lost;
mod origin;
mod refused;
mod secrecy;
mod server;
mod statuses;
mod token;
