//! How one of the bridge's processes lives: its configuration, its log, its probes, its servers and its end.
//!
//! A process does, in this order: [`telemetry::init`], read its configuration ([`config::load`]), build what it
//! needs, [`listen::bind`], tell that it is ready ([`probes::Latch::set`]), serve ([`http::serve`],
//! [`grpc::serve`]), and, told to stop, be not ready, answer what is in flight, wait for what must not be lost, and
//! end. [`process::run`] and [`process::serve`] keep that order.

mod connection;
mod framing;
mod headless;
mod jitter;

pub mod config;
pub mod grpc;
pub mod http;
pub mod listen;
pub mod probes;
pub mod process;
pub mod rate;
pub mod reloads;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod watch;

pub use jitter::jittered;
pub use shutdown::Shutdown;
