//! The connector as a program.

fn main() -> std::process::ExitCode {
    dcr_connector::store::run::<dcr_connector_rfc7591::Rfc7591>()
}
