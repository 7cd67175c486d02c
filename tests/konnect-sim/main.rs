//! `konnect-sim`: Konnect's Dev Portal, played against any DCR bridge.
//!
//! Nothing here knows this project's bridge: what it demands is Konnect's published contract, and what Konnect was
//! seen to do. Its users are operators, so whatever goes wrong is told in a sentence.

mod arguments;
mod bridge;
mod call;
mod cleanup;
mod contract;
mod journal;
mod load;
mod names;
mod report;
mod seen;
mod shape;
mod smoke;
mod tokens;
mod trust;
mod verdict;
mod verify;

use std::io::{Write as _, stderr};
use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Command, Files, Target};
use crate::bridge::Bridge;
use crate::report::{Console, Report};
use crate::tokens::Tokens;

/// The command line is wrong.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { target, command } = Arguments::parse();
    let ended = match command {
        Command::Contract(options) if options.list => {
            contract::list();
            Ok(true)
        }
        Command::Contract(options) => match contract::chosen(&options.only) {
            Ok(checks) => {
                tried("contract", &target, &options.files, async |tried| {
                    contract::run(&checks, tried, options.lacks).await;
                })
                .await
            }
            Err(e) => Err(e),
        },
        Command::Verify(files) => tried("verify", &target, &files, verify::run).await,
        Command::Smoke(files) => tried("smoke", &target, &files, smoke::run).await,
        Command::Load(options) => match bridge(&target) {
            Ok((bridge, _)) => load::run(&bridge, &options).await,
            Err(e) => Err(e),
        },
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(stderr(), "konnect-sim: {error}");
            ExitCode::from(USAGE)
        }
    }
}

/// What a command tries, and where it tells what it finds.
struct Tried<'a> {
    bridge: Bridge,
    tokens: Option<Tokens>,
    report: &'a mut Report,
    console: &'a mut Console,
}

/// The bridge and the token endpoint that the command line names.
fn bridge(target: &Target) -> Result<(Bridge, Option<Tokens>), String> {
    let (base_url, key) = (target.base_url()?, target.api_key()?);
    let uses_tls = [Some(&base_url), target.token_url.as_ref()]
        .into_iter()
        .flatten()
        .any(|url| url.starts_with("https://"));
    // Without TLS nobody is trusted, and this machine need not have CAs.
    let tls = match (&target.ca_file, uses_tls) {
        (None, false) => trust::nobody(),
        (file, _) => trust::config(file.as_deref()),
    }?;
    let timeout = target.timeout();
    let tokens = target.token_url.as_deref();
    let tokens = tokens.map(|url| Tokens::new(url, tls.clone(), timeout, target.wanted()));
    let bridge = Bridge::new(&base_url, &key, tls, timeout, target.patience());
    Ok((bridge, tokens))
}

/// Runs a command that ends in a report, cleans up whatever it did, and tells whether all was well.
async fn tried(
    name: &str,
    target: &Target,
    files: &Files,
    command: impl AsyncFnOnce(Tried<'_>),
) -> Result<bool, String> {
    let (bridge, tokens) = bridge(target)?;
    let mut report = Report::new(&format!("konnect-sim {name}"), &target.base_url()?);
    let mut console = Console::new();
    console.say(&format!("{} against {}", report.name, report.subject));
    let trial = Tried {
        bridge: bridge.clone(),
        tokens,
        report: &mut report,
        console: &mut console,
    };
    let interrupted = tokio::select! {
        () = command(trial) => false,
        () = interrupted() => true,
    };
    if interrupted {
        report
            .troubles
            .push("Interrupted: not everything was looked at.".to_owned());
        console.say("\nInterrupted; deleting what was made. Interrupt again to leave it.");
    }
    let troubles = tokio::select! {
        troubles = cleanup::clean_up(&bridge, 4) => troubles,
        () = self::interrupted() => cleanup::left_behind(&bridge),
    };
    report.troubles.extend(troubles);
    report.left = bridge.made().clients.iter().cloned().collect();
    console.sum_up(&report);
    if let Some(path) = &files.junit {
        report::write("--junit", path, &report::junit(&report))?;
    }
    if let Some(path) = &files.json {
        report::write("--json", path, &report::json(&report))?;
    }
    Ok(report.is_good())
}

/// Waits until somebody wants an end: Ctrl-C or SIGTERM. Where signals cannot be heard, nobody can.
async fn interrupted() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => signal.recv().await,
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = wait(SignalKind::interrupt()) => {}
        _ = wait(SignalKind::terminate()) => {}
    }
}
