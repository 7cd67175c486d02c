//! The bridge from outside: Konnect's HTTP on one side, an IdP's HTTP on the other, and between them the very
//! programs that operators run.
//!
//! One binary, one module a subject. Every answer is held against the rules of the harness, and what the processes
//! print, at the finest level of their logs, is searched for secrets.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod abuse;
mod audit;
mod bad_input;
mod calls;
mod capture;
mod check;
mod dead;
mod dev;
mod door;
mod faults;
mod hooks;
mod hostile_connector;
mod hostile_ids;
mod hostile_statuses;
mod keys;
mod konnect_sim;
mod limits;
mod log;
mod matrix;
mod operations;
mod orphans;
mod probes;
mod providers;
mod reading;
mod reload;
mod rolling;
mod secrecy;
mod shutdown;
mod start;
mod tls;
mod traces;
mod versions;
