//! How the programs that the chaos suite starts are told which protection is off.

use std::ffi::OsString;
use std::process::ExitCode;

/// Takes `--without=NAME` out of the process's arguments, where it stands first.
#[must_use]
pub fn arguments() -> (Option<String>, Vec<OsString>) {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let named = arguments
        .get(1)
        .and_then(|first| first.to_str()?.strip_prefix("--without="))
        .map(str::to_owned);
    if named.is_some() {
        arguments.remove(1);
    }
    (named, arguments)
}

/// Ends a program that has no protection of this name.
#[expect(clippy::print_stderr, reason = "it belongs to the output of the test")]
#[must_use]
pub fn unknown(name: &str) -> ExitCode {
    eprintln!("--without={name}: no protection of this program");
    ExitCode::FAILURE
}
