//! The log: JSON lines for machines, readable ones on a terminal, always on standard error.
//!
//! What goes in is the caller's to judge; the libraries that would print headers or frames are held to warnings.

use std::io::IsTerminal;
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use tracing::level_filters::LevelFilter;

/// Libraries whose finer levels print headers, frames or handshakes, and with them API keys and tokens.
const TALKATIVE: [&str; 10] = [
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "serde_saphyr",
    "tonic",
    "tower",
    "tower_http",
    "want",
];

/// Starts the log at `level` (`info` unless an operator asks for another), and logs every panic as one error line.
///
/// Libraries below us never log finer than warnings, whatever `level` says. A second call changes nothing.
pub fn init(level: LevelFilter) {
    let for_people = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if for_people {
        lines.with_target(false).boxed()
    } else {
        lines.json().with_span_list(false).boxed()
    };
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(targets(level)))
        .try_init();
    if started.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level)
        .with_targets(TALKATIVE.map(|target| (target, level.min(LevelFilter::WARN))))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let payload = panic.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(at, "panic (a bug of ours, please report it): {what}");
}
