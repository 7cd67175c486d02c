//! `dcr-conformance`: the command.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use dcr_conformance::paint::Paint;
use dcr_conformance::{Checked, Options, Report, list, run_until};
use tokio::signal::unix::{SignalKind, signal};

/// Plays the gateway against a connector, in whatever language it is written, and tells which rules of
/// connector.proto it breaks. Exits 0 when none is broken, 1 when one is or none could be judged, 2 when it could not run.
#[derive(Debug, Parser)]
#[command(name = "dcr-conformance", disable_version_flag = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Writes the report as JUnit's XML as well.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes the report as JSON as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Lists the checks with their profiles and rules, and runs none.
    #[arg(long, exclusive = true)]
    list: bool,
}

const COULD_NOT_RUN: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    // Alone on its line, so that there is no connector to be read.
    if matches.get_flag("list") {
        return match print_list() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(COULD_NOT_RUN),
        };
    }
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let stop = || async {
        interrupted().await;
        tell("stopping; what was made is cleaned up first, unless you interrupt that as well");
    };
    let mut done = 0_usize;
    let progress = |checked: &Checked| {
        done += 1;
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K{done} {}\r", checked.full_name());
        }
    };
    let report = match run_until(arguments.options.clone(), stop, progress).await {
        Ok(report) => report,
        Err(error) => {
            tell(&error.to_string());
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\x1b[K");
    }
    if let Err(sentence) = told(&report, &arguments) {
        tell(&sentence);
        return ExitCode::from(COULD_NOT_RUN);
    }
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn told(report: &Report, arguments: &Arguments) -> Result<(), String> {
    let text = report.text(Paint::of(&io::stdout()).coloured);
    let printed = io::stdout().lock().write_all(text.as_bytes());
    printed.map_err(|error| format!("the report cannot be printed: {error}"))?;
    let write = |file: &Option<PathBuf>, content: &dyn Fn() -> String| {
        let Some(file) = file else { return Ok(()) };
        fs::write(file, content()).map_err(|error| {
            format!(
                "{} cannot be written ({error}): name another file",
                file.display()
            )
        })
    };
    write(&arguments.junit, &|| report.junit())?;
    write(&arguments.json, &|| {
        serde_json::to_string_pretty(report).unwrap_or_default()
    })
}

fn print_list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, profile, rule) in list() {
        writeln!(out, "{name:<64} {profile:<8} {rule}")?;
    }
    out.flush()
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

fn tell(sentence: &str) {
    let _ = writeln!(io::stderr(), "{sentence}");
}
