//! The connector as a program.

fn main() -> std::process::ExitCode {
    dcr_connector::run::<dcr_connector_keycloak::Keycloak>()
}
