//! The gateway, as a program of this crate's own: tests find it, start it and kill it.

fn main() -> std::process::ExitCode {
    dcr_gateway::run()
}
