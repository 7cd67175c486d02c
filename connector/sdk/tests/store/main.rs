//! The store from outside, on SQLite, or on a PostgreSQL of which the options tell.
//!
//! The cases are the same for both. What is done to the database behind the store's back is raw SQL; processes that are
//! killed are this program again.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a suite fails by a panic and tells on its standard output"
)]

mod bare;
mod cases;
mod server;
mod world;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;

use crate::server::Server;
use crate::world::{Place, World};

/// Runs the store's suite; exit code 1 when a case failed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Cases whose names contain this; all if left out.
    filter: Option<String>,
    /// Run on a PostgreSQL that this script starts. It takes a folder, and makes there the files `url` and `pid` (the
    /// leader of a process group), `start`, which starts the server once more, and the link `data` to the server's data.
    #[arg(long)]
    postgres: Option<PathBuf>,
    /// Write rows into the store of this folder until killed.
    #[arg(long, hide = true)]
    write: Option<PathBuf>,
    /// What `cargo test` is often called with.
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("store") {
        return dcr_connector::store::run::<bare::Bare>();
    }
    let arguments = Arguments::parse();
    if let Some(folder) = arguments.write {
        return writer::run(&folder);
    }
    let server = arguments
        .postgres
        .map(|script| Arc::new(Server::start(&script)));
    let place = server.map_or(Place::Sqlite, Place::Postgres);
    let wanted = |name: &str| {
        arguments
            .filter
            .as_deref()
            .is_none_or(|part| name.contains(part))
    };
    let cases = cases::all().into_iter().filter(|case| wanted(case.name));
    let mut failed = Vec::new();
    for case in cases.filter(|case| case.is_for(&place)) {
        let (began, place) = (Instant::now(), place.clone());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { (case.run)(World::new(&place).await).await });
        };
        let passed = std::thread::spawn(run).join().is_ok();
        let outcome = if passed { "ok" } else { "FAILED" };
        println!(
            "{outcome:<7} {:>5} ms  {}",
            began.elapsed().as_millis(),
            case.name
        );
        if !passed {
            failed.push(case.name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{} failed: {}", failed.len(), failed.join(", "));
    ExitCode::FAILURE
}
