//! The gateway with a protection off, if its first argument names one: the chaos suite kills it.

use dcr_gateway::Protections;

fn main() -> std::process::ExitCode {
    let (without, arguments) = dcr_tests::without::arguments();
    let guard = match without.as_deref() {
        Some("guard") => false,
        None => true,
        Some(other) => return dcr_tests::without::unknown(other),
    };
    dcr_gateway::run_with(Protections { guard }, arguments)
}
