//! The memory connector, as a program of this crate's own: tests find it, start it and kill it.

fn main() -> std::process::ExitCode {
    dcr_connector::run::<dcr_connector_memory::Memory>()
}
