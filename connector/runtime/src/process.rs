//! The frame of a process: from `main` to its exit code.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::probes::{self, Readiness};
use crate::shutdown::{Shutdown, Signals};

/// Runs `main` on a runtime of its own, and stops it at SIGTERM or SIGINT; a second signal ends the process at once.
///
/// Success is exit code 0. An error is logged, and is exit code 1; so is an end by a second signal.
pub fn run<F, E>(main: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    raise_open_files();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(until_signalled_twice(main));
    // A blocked thread must not hold up the end: all that had to be waited for has been.
    runtime.shutdown_background();
    code
}

/// Lets the process open as many files as it may. The soft limit is often 1,024, for the sake of programs that use
/// `select`; that many connections alone are allowed to one of our servers.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Sleeps until told to stop: what a container without a shell runs before it is stopped (`preStop`), where Kubernetes
/// has no `sleep` action of its own.
pub async fn sleep(time: Duration, shutdown: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = shutdown.stopping() => {}
    }
}

async fn until_signalled_twice<F, E>(main: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return ExitCode::FAILURE;
        }
    };
    let shutdown = Shutdown::new();
    let twice = async {
        let name = signals.next().await;
        tracing::info!("{name}: stopping; a second signal ends at once");
        shutdown.stop();
        signals.next().await
    };
    tokio::select! {
        ended = main(shutdown.clone()) => match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error}");
                ExitCode::FAILURE
            }
        },
        name = twice => {
            tracing::warn!("{name} again: ending at once");
            ExitCode::FAILURE
        }
    }
}

/// The probes of a process.
#[derive(Debug)]
pub struct Probes {
    /// Where they listen.
    pub listener: TcpListener,
    /// What `/readyz` tells.
    pub readiness: Readiness,
    /// What `/metrics` tells.
    pub metrics: Registry,
}

/// Runs `servers` beside the probes. When `servers` have ended (they end when the process stops and their requests are
/// answered), waits for the tracked tasks, at most for what `tasks` says then, and ends the probes last.
pub async fn serve(
    probes: Probes,
    servers: impl Future<Output = ()>,
    tasks: impl FnOnce() -> Duration,
    shutdown: &Shutdown,
) {
    let work = async {
        servers.await;
        shutdown.drain(tasks()).await;
    };
    tokio::join!(
        work,
        probes::serve(probes.listener, probes.readiness, probes.metrics, shutdown)
    );
}
