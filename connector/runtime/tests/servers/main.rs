//! The servers over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod grpc;
mod http;
mod peer;
mod probes;
