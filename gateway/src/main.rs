//! The gateway of the DCR bridge.

use std::process::ExitCode;

fn main() -> ExitCode {
    dcr_gateway::run()
}
