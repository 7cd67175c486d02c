//! Bridges that are wrong about hooks, deletes, or what to refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Wrong, dead, text, wrong};
use crate::konnect_sim::faults::{
    after, before, on, once, opening_tokens_after, refusing, refusing_tokens, status, with,
};
use crate::konnect_sim::right::{Asked, KEY, Said};

/// Whether it is about a client that nobody made.
fn is_nobody(asked: &Asked) -> bool {
    asked.client_id == "konnect-sim-nobody"
}

/// An event about a registration without an audience.
fn plain(asked: &Asked, event_type: &str) -> bool {
    asked.body["event_type"] == event_type
        && asked.body.get("audience").is_none()
        && asked.body.get("api_id").is_none()
}

/// Whether this is the first of its kind.
fn first(mut is_meant: impl FnMut(&Asked) -> bool) -> impl FnMut(&Asked) -> bool {
    let mut met = false;
    move |asked| is_meant(asked) && !std::mem::replace(&mut met, true)
}

pub(super) fn hooks() -> Vec<Wrong> {
    let is_unknown = |asked: &Asked| asked.body["event_type"] == "event_of_a_later_version";
    let empties = |asked: &Asked| asked.body["redirect_uris"] == json!([]) && !is_nobody(asked);
    let mut secrets = BTreeMap::new();
    vec![
        wrong(
            "fails at updates",
            refusing("hook", 500, move |asked| {
                asked.body["event_type"] == "update_application"
                    && !empties(asked)
                    && !is_nobody(asked)
            }),
            &["hook: update_application is answered 200"],
        ),
        wrong(
            "speaks to hooks",
            with("hook", "ok", json!(true)),
            &["hook: nothing is said"],
        ),
        wrong(
            "wants redirect URIs",
            refusing("hook", 400, empties),
            &["hook: an update may empty what it names"],
        ),
        dead(
            "rotates while updating",
            refusing_tokens(move |asked, said| {
                if asked.operation == "create" && said.is_success() {
                    secrets.insert(
                        text(&said.body, "client_id"),
                        text(&said.body, "client_secret"),
                    );
                }
                let updated = asked.operation == "hook";
                updated
                    .then(|| secrets.get(&asked.client_id).cloned())
                    .flatten()
                    .into_iter()
                    .collect()
            }),
            &["hook: an update leaves the secret alone"],
        ),
        wrong(
            "knows all events",
            refusing("hook", 400, is_unknown),
            &["hook: an unknown event is answered 200"],
        ),
        wrong(
            "does not read whom an event is about",
            before(|asked| {
                if asked.operation == "hook" && asked.client_id.starts_with("c-") {
                    asked.body["client_id"] = asked.client_id.clone().into();
                }
            }),
            &["hook: an event about another client is refused"],
        ),
        Wrong {
            timeout: "5",
            ..wrong(
                "hangs",
                after(move |asked, said| {
                    if is_unknown(asked) {
                        said.after = Duration::from_mins(10);
                    }
                }),
                &[
                    "hook: an unknown event is answered 200",
                    "time: every call was answered in time",
                ],
            )
        },
        Wrong {
            timeout: "10",
            ..wrong(
                "is slow",
                after(move |asked, said| {
                    if is_unknown(asked) {
                        said.after = Duration::from_millis(9_200);
                    }
                }),
                &["time: no answer came late"],
            )
        },
    ]
}

pub(super) fn registrations() -> Vec<Wrong> {
    let mut added = false;
    vec![
        wrong(
            "fails at the first registration",
            refusing("hook", 500, first(|asked| plain(asked, "add_registration"))),
            &["hook: add_registration is answered 200"],
        ),
        wrong(
            "fails at the first removal",
            refusing(
                "hook",
                500,
                first(|asked| plain(asked, "remove_registration")),
            ),
            &["hook: remove_registration is answered 200"],
        ),
        wrong(
            "knows no audience",
            refusing("hook", 400, |asked| asked.body.get("audience").is_some()),
            &["hook: an audience may be named"],
        ),
        wrong(
            "registers once",
            refusing("hook", 409, move |asked| {
                let again = added && plain(asked, "add_registration");
                added = (added || plain(asked, "add_registration"))
                    && !plain(asked, "remove_registration");
                again
            }),
            &["hook: registrations may come twice"],
        ),
        wrong(
            "knows product versions only",
            refusing("hook", 400, |asked| asked.body.get("api_id").is_some()),
            &["hook: an API may be registered by its own name"],
        ),
    ]
}

pub(super) fn deleting() -> Vec<Wrong> {
    let mut deleted = BTreeSet::new();
    vec![
        wrong(
            "deletes with 200",
            status("delete", 200),
            &[
                "delete: a client can be deleted twice",
                "delete: answers 204",
            ],
        ),
        wrong(
            "speaks while deleting",
            on("delete", |_, said| {
                *said = Said::new(200, json!({"ok": true}));
            }),
            &[
                "delete: a client can be deleted twice",
                "delete: answers 204",
                "delete: answers without a body",
            ],
        ),
        wrong(
            "lists what it deleted",
            after(move |asked, said| match asked.operation {
                "delete" if said.is_success() => {
                    deleted.insert(asked.client_id.clone());
                }
                "list" if deleted.contains(&asked.client_id) => {
                    *said = Said::new(200, json!({"secrets": []}));
                }
                _ => {}
            }),
            &["delete: the client is gone"],
        ),
        dead(
            "deletes nothing",
            opening_tokens_after("delete"),
            &["delete: its secret opens nothing"],
        ),
        wrong(
            "deletes once",
            once("delete", 404, |asked| Some(asked.client_id.clone())),
            &["delete: a client can be deleted twice"],
        ),
        wrong(
            "wants a body to delete",
            refusing("delete", 400, |asked| !asked.content_type.is_empty()),
            &["delete: no body with a content type is taken"],
        ),
    ]
}

pub(super) fn refusals() -> Vec<Wrong> {
    vec![
        wrong(
            "fails at what is no JSON",
            refusing("create", 500, |asked| asked.body.is_null()),
            &["refusals: a create that is no JSON is a 400"],
        ),
        wrong(
            "needs no name",
            before(|asked| {
                if asked.operation == "create" && asked.body.is_object() {
                    asked.body["client_name"] = json!("some");
                }
            }),
            &["refusals: a create without a name is a 400"],
        ),
        wrong(
            "has several reasons",
            after(|_, said| {
                if said.status == 400 {
                    said.body["error_description"] = json!(["one", "two"]);
                }
            }),
            &["refusals: a 400 says why"],
        ),
        wrong(
            "serves nobody",
            after(move |asked, said| {
                if is_nobody(asked) && asked.operation == "list" && said.status == 404 {
                    *said = Said::new(200, json!({"secrets": []}));
                }
            }),
            &["refusals: an unknown client is refused"],
        ),
        wrong(
            "knows one refusal",
            after(move |asked, said| {
                if is_nobody(asked) && said.status == 404 {
                    said.status = 400;
                }
            }),
            &["refusals: an unknown client is a 404"],
        ),
        wrong(
            "does not say who is unknown",
            after(|_, said| {
                if said.status == 404 {
                    said.body = Value::Null;
                }
            }),
            &["refusals: a 404 says why"],
        ),
        wrong(
            "fails at dots",
            refusing("list", 500, |asked| asked.client_id.contains("..")),
            &["hostile: path tricks are refused"],
        ),
        wrong(
            "fails at null",
            refusing("delete", 500, |asked| asked.client_id.contains("%00")),
            &["hostile: bytes that no id has are refused"],
        ),
        wrong(
            "tells the key",
            after(|_, said| {
                if said.status == 404 {
                    said.body["error_description"] = json!(format!("{KEY} is nobody's"));
                }
            }),
            &["hostile: no failure holds a secret"],
        ),
    ]
}
