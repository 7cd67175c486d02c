//! Bridges that are wrong in one way each, and what is found of them.

mod creates;
mod others;
mod secrets;

use serde_json::Value;

use super::right::Fault;

/// One wrong bridge.
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    /// The checks that find it, and no others.
    pub(super) found_by: &'static [&'static str],
    /// Whether the token endpoint is to be asked.
    pub(super) tokens: bool,
    /// `--timeout`, in seconds.
    pub(super) timeout: &'static str,
}

fn wrong(name: &'static str, fault: Fault, found_by: &'static [&'static str]) -> Wrong {
    Wrong {
        name,
        fault,
        found_by,
        tokens: false,
        timeout: "10",
    }
}

/// What only the token endpoint shows; waits that are in vain are kept short.
fn dead(name: &'static str, fault: Fault, found_by: &'static [&'static str]) -> Wrong {
    Wrong {
        tokens: true,
        timeout: "5",
        ..wrong(name, fault, found_by)
    }
}

/// All of them.
pub(super) fn all() -> Vec<Wrong> {
    [
        creates::door(),
        creates::creating(),
        creates::reading(),
        creates::limits(),
        secrets::listing(),
        secrets::adding(),
        secrets::removing(),
        secrets::rotating(),
        others::hooks(),
        others::registrations(),
        others::deleting(),
        others::refusals(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn text(body: &Value, member: &str) -> String {
    body[member].as_str().unwrap().to_owned()
}
