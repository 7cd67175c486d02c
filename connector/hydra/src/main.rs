//! The connector as a program of its own.

fn main() -> std::process::ExitCode {
    dcr_connector::run::<dcr_connector_hydra::Hydra>()
}
