//! Bridges that are wrong about secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Wrong, dead, text, wrong};
use crate::konnect_sim::faults::{
    after, entry_with, html, lacking, on, once, opening_tokens_after, refusing, refusing_tokens,
    status, with,
};
use crate::konnect_sim::right::Said;

pub(super) fn listing() -> Vec<Wrong> {
    let mut values = BTreeMap::new();
    let mut lists = BTreeSet::new();
    vec![
        wrong(
            "lists with 201",
            status("list", 201),
            &["list: answers 200"],
        ),
        wrong("lists in HTML", html("list"), &["list: answers in JSON"]),
        wrong(
            "lists an object",
            with("list", "secrets", json!({})),
            &["list: secrets is a list of objects"],
        ),
        wrong(
            "lists nothing",
            on("list", |_, said| {
                if said.body["secrets"]
                    .as_array()
                    .is_some_and(|all| all.len() == 1)
                {
                    said.body = json!({"secrets": []});
                }
            }),
            &["list: a new client has a secret"],
        ),
        wrong(
            "has no id for a secret",
            entry_with("secret_id", Value::Null),
            &["list: secret_id"],
        ),
        wrong(
            "lists another client's",
            entry_with("client_id", json!("another")),
            &["list: client_id"],
        ),
        wrong(
            "whispers the status",
            entry_with("status", json!("active")),
            &["list: status"],
        ),
        wrong(
            "does not know when",
            entry_with("created_at", Value::Null),
            &["list: created_at"],
        ),
        wrong(
            "expires tomorrow",
            entry_with("expires_at", json!("tomorrow")),
            &["list: expires_at"],
        ),
        wrong(
            "has names for secrets",
            entry_with("display_name", json!("mine")),
            &["list: no other members"],
        ),
        wrong(
            "lists secrets themselves",
            after(move |asked, said| match asked.operation {
                "create" if said.is_success() => {
                    let secret = said.body["client_secret"].clone();
                    values.insert(text(&said.body, "client_id"), secret);
                }
                "list" if said.is_success() => {
                    said.body["secrets"][0]["secret_id"] = values[&asked.client_id].clone();
                }
                _ => {}
            }),
            &["list: no secret is shown"],
        ),
        wrong(
            "lists a secret twice",
            on("list", |_, said| {
                let all = said.body["secrets"].as_array_mut().unwrap();
                all.extend(all.first().cloned());
            }),
            &["list: ids are unlike"],
        ),
        wrong(
            "gives new ids",
            on("list", move |asked, said| {
                if !lists.insert(asked.client_id.clone()) && said.body["secrets"][1].is_null() {
                    said.body["secrets"][0]["secret_id"] = json!("another");
                }
            }),
            &["list: ids stay"],
        ),
    ]
}

pub(super) fn adding() -> Vec<Wrong> {
    let mut firsts = BTreeMap::new();
    let mut replaced = BTreeSet::new();
    let mut created = BTreeMap::new();
    vec![
        wrong(
            "adds with 200",
            status("add", 200),
            &["secrets: an added secret is answered 201"],
        ),
        wrong(
            "does not say why it adds none",
            on("add", |_, said| {
                *said = Said::new(400, json!({"error": ["no"]}));
            }),
            &["secrets: a refusal says why"],
        ),
        wrong(
            "adds in HTML",
            html("add"),
            &["secrets: an added secret is answered in JSON"],
        ),
        wrong(
            "adds without an id",
            lacking("add", "secret_id"),
            &["secrets: secret_id"],
        ),
        wrong(
            "adds to another client",
            with("add", "client_id", json!("another")),
            &["secrets: client_id"],
        ),
        wrong(
            "keeps what it adds",
            lacking("add", "client_secret"),
            &["secrets: client_secret"],
        ),
        wrong(
            "does not know when it added",
            with("add", "created_at", Value::Null),
            &["secrets: created_at"],
        ),
        wrong(
            "adds what expires at zero",
            with("add", "expires_at", json!(0)),
            &["secrets: expires_at"],
        ),
        wrong(
            "has a status for what it adds",
            with("add", "status", json!("ACTIVE")),
            &["secrets: no other members"],
        ),
        wrong(
            "adds the secret that is there",
            after(move |asked, said| match asked.operation {
                "create" if said.is_success() => {
                    let secret = said.body["client_secret"].clone();
                    firsts.insert(text(&said.body, "client_id"), secret);
                }
                "add" if said.is_success() => {
                    said.body["client_secret"] = firsts[&asked.client_id].clone();
                }
                _ => {}
            }),
            &["secrets: the added secret is another one"],
        ),
        wrong(
            "adds by replacing",
            after(move |asked, said| match asked.operation {
                "add" => {
                    replaced.insert(asked.client_id.clone());
                }
                "list" if said.is_success() && replaced.contains(&asked.client_id) => {
                    said.body["secrets"].as_array_mut().unwrap().remove(0);
                }
                _ => {}
            }),
            &["secrets: the first secret stays"],
        ),
        dead(
            "adds by replacing, and lists both",
            refusing_tokens(move |asked, said| {
                if asked.operation == "create" && said.is_success() {
                    created.insert(
                        text(&said.body, "client_id"),
                        text(&said.body, "client_secret"),
                    );
                }
                let added = asked.operation == "add";
                added
                    .then(|| created.get(&asked.client_id).cloned())
                    .flatten()
                    .into_iter()
                    .collect()
            }),
            &["secrets: both open tokens"],
        ),
    ]
}

pub(super) fn removing() -> Vec<Wrong> {
    let mut removed = BTreeMap::new();
    vec![
        wrong(
            "removes with 200",
            status("remove", 200),
            &[
                "secrets: a removed secret is answered 204",
                "secrets: a secret can be removed twice",
            ],
        ),
        wrong(
            "speaks while removing",
            on("remove", |_, said| {
                *said = Said::new(200, json!({"ok": true}));
            }),
            &[
                "secrets: a removed secret is answered 204",
                "secrets: a removed secret is answered without a body",
                "secrets: a secret can be removed twice",
            ],
        ),
        wrong(
            "lists what it removed",
            after(move |asked, said| match asked.operation {
                "remove" => {
                    removed.insert(asked.client_id.clone(), asked.secret.clone());
                }
                "list" if said.is_success() => {
                    if let Some(id) = removed.get(&asked.client_id) {
                        let all = said.body["secrets"].as_array_mut().unwrap();
                        all.push(json!({"secret_id": id}));
                    }
                }
                _ => {}
            }),
            &["secrets: a removed secret is listed no more"],
        ),
        dead(
            "removes nothing",
            opening_tokens_after("remove"),
            &["secrets: a removed secret opens nothing"],
        ),
        wrong(
            "removes once",
            once("remove", 404, |asked| Some(asked.secret.clone())),
            &["secrets: a secret can be removed twice"],
        ),
    ]
}

pub(super) fn rotating() -> Vec<Wrong> {
    let mut created = BTreeMap::new();
    let mut first = BTreeMap::new();
    vec![
        wrong(
            "rotates with 201",
            status("rotate", 201),
            &["rotate: again gives another", "rotate: answers 200"],
        ),
        wrong(
            "rotates in HTML",
            html("rotate"),
            &["rotate: answers in JSON"],
        ),
        wrong(
            "rotates without an id",
            lacking("rotate", "client_id"),
            &["rotate: client_id"],
        ),
        wrong(
            "keeps what it rotated to",
            lacking("rotate", "client_secret"),
            &["rotate: client_secret"],
        ),
        wrong(
            "tells when it rotated",
            with("rotate", "created_at", json!("2026-09-01T08:30:00Z")),
            &["rotate: no other members"],
        ),
        wrong(
            "rotates to what there was",
            after(move |asked, said| match asked.operation {
                "create" if said.is_success() => {
                    let secret = said.body["client_secret"].clone();
                    created.insert(text(&said.body, "client_id"), secret);
                }
                "rotate" if said.is_success() => {
                    if let Some(secret) = created.remove(&asked.client_id) {
                        said.body["client_secret"] = secret;
                    }
                }
                _ => {}
            }),
            &["rotate: the secret is a new one"],
        ),
        wrong(
            "rotates once",
            on("rotate", move |asked, said| {
                let fresh = said.body["client_secret"].clone();
                let first = first.entry(asked.client_id.clone()).or_insert(fresh);
                said.body["client_secret"] = first.clone();
            }),
            &["rotate: again gives another"],
        ),
        dead(
            "rotates to what opens nothing",
            refusing_tokens(|asked, said| {
                let rotated = asked.operation == "rotate" && said.is_success();
                rotated
                    .then(|| text(&said.body, "client_secret"))
                    .into_iter()
                    .collect()
            }),
            &["rotate: the new secret opens a token"],
        ),
        dead(
            "lets the old secret live",
            opening_tokens_after("rotate"),
            &["rotate: the old secret opens nothing"],
        ),
        wrong(
            "wants a body with a content type",
            refusing("rotate", 400, |asked| !asked.content_type.is_empty()),
            &["rotate: no body with a content type is taken"],
        ),
    ]
}
