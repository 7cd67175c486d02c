//! Ways of being wrong.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::right::{Asked, Fault, Said};

/// Hears right, and answers wrong.
pub(super) fn after(fault: impl FnMut(&Asked, &mut Said) + Send + 'static) -> Fault {
    Fault {
        before: Box::new(|_| {}),
        after: Box::new(fault),
    }
}

/// Mishears, and answers that rightly.
pub(super) fn before(fault: impl FnMut(&mut Asked) + Send + 'static) -> Fault {
    Fault {
        before: Box::new(fault),
        after: Box::new(|_, _| {}),
    }
}

/// Nothing is wrong.
pub(super) fn none() -> Fault {
    after(|_, _| {})
}

/// A success of an operation has another status.
pub(super) fn status(operation: &'static str, status: u16) -> Fault {
    on(operation, move |_, said| said.status = status)
}

/// A success of an operation is changed.
pub(super) fn on(
    operation: &'static str,
    mut change: impl FnMut(&Asked, &mut Said) + Send + 'static,
) -> Fault {
    after(move |asked, said| {
        if asked.operation == operation && said.is_success() {
            change(asked, said);
        }
    })
}

/// A success of an operation has another media type.
pub(super) fn html(operation: &'static str) -> Fault {
    on(operation, |_, said| said.content_type = "text/html")
}

/// A success of an operation has a member with this value.
pub(super) fn with(operation: &'static str, member: &'static str, value: Value) -> Fault {
    on(operation, move |_, said| said.body[member] = value.clone())
}

/// A success of an operation lacks a member.
pub(super) fn lacking(operation: &'static str, member: &'static str) -> Fault {
    on(operation, move |_, said| {
        said.body.as_object_mut().unwrap().remove(member);
    })
}

/// The entry of a list that has one only, before anything was added, has a member with this value.
pub(super) fn entry_with(member: &'static str, value: Value) -> Fault {
    on("list", move |_, said| {
        if let [entry] = &mut said.body["secrets"].as_array_mut().unwrap()[..] {
            entry[member] = value.clone();
        }
    })
}

/// A question of this kind is refused with this status.
pub(super) fn refusing(
    operation: &'static str,
    status: u16,
    mut is_meant: impl FnMut(&Asked) -> bool + Send + 'static,
) -> Fault {
    Fault {
        before: Box::new(move |asked| {
            if asked.operation == operation && is_meant(asked) {
                asked.operation = "refused";
            }
        }),
        after: Box::new(move |asked, said| {
            if asked.operation == "refused" && said.status != 401 {
                *said = Said::refusal(status);
            }
        }),
    }
}

/// The same for creates.
pub(super) fn picky(is_meant: impl FnMut(&Value) -> bool + Send + 'static) -> Fault {
    let mut is_meant = is_meant;
    refusing("create", 400, move |asked| is_meant(&asked.body))
}

/// The token endpoint refuses what `is_dead` says of a client and its secret, after it has seen all that was asked.
pub(super) fn refusing_tokens(
    mut see: impl FnMut(&Asked, &Said) -> Vec<String> + Send + 'static,
) -> Fault {
    let mut dead = BTreeSet::new();
    after(move |asked, said| {
        dead.extend(see(asked, said));
        if asked.operation == "token" && dead.contains(&asked.secret) {
            *said = Said::new(401, json!({"error": "invalid_client"}));
        }
    })
}

/// The token endpoint opens for every secret of clients to which this was done.
pub(super) fn opening_tokens_after(operation: &'static str) -> Fault {
    let mut clients = BTreeSet::new();
    after(move |asked, said| {
        if asked.operation == operation {
            clients.insert(asked.client_id.clone());
        }
        if asked.operation == "token" && clients.contains(&asked.client_id) {
            *said = Said::new(200, json!({"access_token": "t", "token_type": "Bearer"}));
        }
    })
}

/// What is done the second time is answered with this status.
pub(super) fn once(
    operation: &'static str,
    status: u16,
    key: impl Fn(&Asked) -> Option<String> + Send + 'static,
) -> Fault {
    let mut seen = BTreeSet::new();
    on(operation, move |asked, said| {
        if let Some(key) = key(asked)
            && !seen.insert(key)
        {
            *said = Said::refusal(status);
        }
    })
}
