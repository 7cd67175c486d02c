//! The memory connector with a protection off, if its first argument names one: the chaos suite kills it.

use dcr_connector::{Protection, Protections};

fn main() -> std::process::ExitCode {
    let (without, arguments) = dcr_tests::without::arguments();
    let off = match without.as_deref() {
        Some("detached") => Some(Protection::Detached),
        Some("armed-undo") => Some(Protection::ArmedUndo),
        Some("own-undo") => Some(Protection::OwnUndo),
        Some("settle-look") => Some(Protection::SettleLook),
        Some("client-lock") => Some(Protection::ClientLock),
        Some("mark-check") => Some(Protection::MarkCheck),
        Some("only-once") => Some(Protection::OnlyOnce),
        None => None,
        Some(other) => return dcr_tests::without::unknown(other),
    };
    let protections = off.map(Protections::without).unwrap_or_default();
    dcr_connector::run_with::<dcr_connector_memory::Memory>(protections, arguments)
}
