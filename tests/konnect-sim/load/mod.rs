//! Calls from many connections at once: throughput, latency and errors, while it runs and at its end.
//!
//! Each connection waits for its answer before it calls again, as a developer does, so a bridge that stalls is called
//! less, and latencies do not hold what a queue before it would add. Nothing is retried.

mod cpu;
mod mix;
mod pace;
mod show;
mod tally;
mod worker;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::Load;
use crate::bridge::Bridge;
use crate::cleanup;
use crate::names::Names;
use crate::report;

pub(crate) use mix::Mix;
use pace::Pace;
use show::Progress;
use tally::Tally;
use worker::Worker;

/// Runs a load, cleans up, and tells whether all was well.
///
/// # Errors
/// A sentence, when something that was asked for cannot be done at all.
pub(crate) async fn run(bridge: &Bridge, options: &Load) -> Result<bool, String> {
    let before = cpu::used(&options.pids)?;
    let tally = Arc::new(Tally::new()?);
    let stop = CancellationToken::new();
    let began = Instant::now();
    let length = Duration::from_secs(options.seconds);
    let pace = Arc::new(Pace::new(options.rate));
    let names = Arc::new(Names::new());
    let mut workers = JoinSet::new();
    for _ in 0..options.connections {
        let worker = Worker::new(
            bridge.on_another_connection(),
            options.mix.clone(),
            Arc::clone(&tally),
            Arc::clone(&pace),
            Arc::clone(&names),
        );
        workers.spawn(worker.run(stop.clone(), began + length));
    }

    let mut progress = Progress::new();
    let mut interrupted = false;
    // Heard at any time, also while something else is told.
    let mut signal = pin!(crate::interrupted());
    while !workers.is_empty() {
        tokio::select! {
            _ = workers.join_next() => {}
            () = progress.due() => progress.tell(&tally, began.elapsed()),
            () = &mut signal, if !interrupted => {
                interrupted = true;
                stop.cancel();
            }
        }
    }
    let took = began.elapsed();
    let after = cpu::used(&options.pids)?;
    progress.end();

    if interrupted {
        progress.say("Interrupted; deleting what was made. Interrupt again to leave it.");
    }
    let connections = usize::from(options.connections);
    let left = tokio::select! {
        left = cleanup::clean_up(bridge, connections) => left,
        () = crate::interrupted() => cleanup::left_behind(bridge),
    };
    let summary = tally.summary(took);
    progress.say(&summary.text());
    for line in cpu::lines(&options.pids, &before, &after, summary.calls) {
        progress.say(&line);
    }
    for trouble in &left {
        progress.say(trouble);
    }
    let good = summary.errors == 0 && summary.calls > 0 && left.is_empty() && !interrupted;
    if good {
        progress.say("Every call succeeded, and all that was made is deleted.");
    }
    if let Some(path) = &options.json {
        let value = json!({
            "good": good,
            "interrupted": interrupted,
            "connections": options.connections,
            "load": summary.json(),
            "troubles": left,
            "left": bridge.made().clients,
        });
        report::write("--json", path, &format!("{value:#}\n"))?;
    }
    Ok(good)
}
