//! Bridges that are wrong about keys or about creates.

use serde_json::{Value, json};

use super::{Wrong, dead, text, wrong};
use crate::konnect_sim::faults::{
    after, before, html, lacking, picky, refusing, refusing_tokens, status, with,
};
use crate::konnect_sim::right::{Asked, Fault, KEY, Said};

pub(super) fn door() -> Vec<Wrong> {
    let mishearing = |hear: fn(&mut Asked)| before(hear);
    vec![
        wrong(
            "removes a secret without a key",
            mishearing(|asked| {
                if asked.operation == "remove" && asked.keys.is_empty() {
                    asked.keys = vec![KEY.to_owned()];
                }
            }),
            &["auth: no call without a key is served"],
        ),
        wrong(
            "takes any key",
            mishearing(|asked| {
                if asked.keys.len() == 1 {
                    asked.keys = vec![KEY.to_owned()];
                }
            }),
            &["auth: a wrong key is a 401"],
        ),
        wrong(
            "takes the first of two keys",
            mishearing(|asked| asked.keys.truncate(1)),
            &["auth: two keys are refused"],
        ),
        wrong(
            "does not say why a key is refused",
            after(|_, said| {
                if said.status == 401 {
                    said.body = json!({"error": "unauthorized"});
                }
            }),
            &["auth: a 401 says why"],
        ),
        wrong(
            "looks for the path first",
            after(|asked, said| {
                if asked.operation == "other" {
                    *said = Said::refusal(404);
                }
            }),
            &["auth: the key is judged before the path"],
        ),
    ]
}

pub(super) fn creating() -> Vec<Wrong> {
    let expiry = |value: Value| with("create", "client_secret_expires_at", value);
    vec![
        wrong(
            "creates with 200",
            status("create", 200),
            &["create: answers 201"],
        ),
        wrong(
            "creates in HTML",
            html("create"),
            &["create: answers in JSON"],
        ),
        wrong(
            "keeps the client id",
            lacking("create", "client_id"),
            &["create: client_id"],
        ),
        wrong(
            "keeps the secret",
            with("create", "client_secret", Value::Null),
            &["create: client_secret"],
        ),
        wrong(
            "tells the time in seconds",
            with("create", "client_id_issued_at", json!(1_700_825_336)),
            &["create: client_id_issued_at"],
        ),
        wrong(
            "has secrets that expire at zero",
            expiry(json!(0)),
            &["create: client_secret_expires_at"],
        ),
        wrong(
            "gives a registration access token",
            with("create", "registration_access_token", json!("t")),
            &["create: no other members"],
        ),
        wrong(
            "gives all clients one secret",
            with("create", "client_secret", json!("the-secret-of-all")),
            &["create: each create is another client"],
        ),
        wrong(
            "has colons in client ids",
            Fault {
                before: Box::new(|asked| {
                    asked.client_id = asked.client_id.replace("c:", "c-");
                    if let Some(id) = asked.body["client_id"].as_str() {
                        asked.body["client_id"] = id.replace("c:", "c-").into();
                    }
                }),
                after: Box::new(|_, said| {
                    let text = said.body.to_string().replace("\"c-", "\"c:");
                    said.body = serde_json::from_str(&text).unwrap();
                }),
            },
            &["create: the client id can stand in a path"],
        ),
        dead(
            "creates clients whose secrets open nothing",
            refusing_tokens(|asked, said| {
                let created = asked.operation == "create" && said.is_success();
                created
                    .then(|| text(&said.body, "client_secret"))
                    .into_iter()
                    .collect()
            }),
            &[
                "create: the secret opens a token",
                "hook: an update leaves the secret alone",
                "secrets: both open tokens",
            ],
        ),
    ]
}

fn length(body: &Value, member: &str) -> usize {
    body[member].as_str().unwrap_or_default().chars().count()
}

pub(super) fn reading() -> Vec<Wrong> {
    const KNOWN: [&str; 11] = [
        "client_name",
        "redirect_uris",
        "grant_types",
        "scopes",
        "token_endpoint_auth_method",
        "application_description",
        "portal_id",
        "organization_id",
        "developer_id",
        "auth_strategy_id",
        "dcr_provider_id",
    ];
    let is_empty = |body: &Value| body["grant_types"].as_array().is_some_and(Vec::is_empty);
    let has_word = |body: &Value, word: &str| {
        let words = body["grant_types"].as_array();
        words.is_some_and(|words| words.contains(&json!(word)))
    };
    vec![
        wrong(
            "wants UUIDs",
            picky(|body| body["portal_id"] == "test portal_id"),
            &["reading: Verify's create is taken"],
        ),
        wrong(
            "wants a grant",
            picky(is_empty),
            &[
                "reading: Verify's create is taken",
                "reading: empty lists are taken",
            ],
        ),
        wrong(
            "wants a description",
            picky(|body| body["application_description"] == ""),
            &[
                "reading: Verify's create is taken",
                "reading: an empty description is taken",
            ],
        ),
        wrong(
            "takes grants only",
            picky(move |body| has_word(body, "bearer")),
            &["reading: auth methods among the grant types are taken"],
        ),
        wrong(
            "has two auth methods",
            picky(|body| body["token_endpoint_auth_method"] == "client_secret_jwt"),
            &["reading: an auth method is a hint"],
        ),
        wrong(
            "knows all members",
            picky(|body| {
                let mut names = body.as_object().into_iter().flat_map(|body| body.keys());
                names.any(|name| !KNOWN.contains(&&**name))
            }),
            &["reading: unknown members are ignored"],
        ),
        wrong(
            "takes null for nothing",
            picky(|body| body.get("application_description") == Some(&Value::Null)),
            &["reading: null is no description"],
        ),
        wrong(
            "wants a developer",
            picky(|body| body.get("developer_id").is_none()),
            &[
                "reading: Verify's create is taken",
                "reading: missing ids are no failure",
            ],
        ),
        wrong(
            "takes one content type",
            refusing("create", 415, |asked| {
                asked.content_type != "application/json"
            }),
            &["reading: a charset is no other media type"],
        ),
    ]
}

pub(super) fn limits() -> Vec<Wrong> {
    vec![
        wrong(
            "has short names",
            picky(|body| length(body, "client_name") > 128),
            &["limits: a name of 255 characters is taken"],
        ),
        wrong(
            "speaks ASCII",
            picky(|body| !body["client_name"].as_str().unwrap_or_default().is_ascii()),
            &["limits: a name in any script is taken"],
        ),
        wrong(
            "has short descriptions",
            picky(|body| length(body, "application_description") > 128),
            &["limits: a description of 255 characters is taken"],
        ),
        wrong(
            "fails at long descriptions",
            refusing("create", 500, |asked| {
                length(&asked.body, "application_description") > 255
            }),
            &["limits: a longer description does no harm"],
        ),
        wrong(
            "wants a slash",
            refusing("create", 404, |asked| asked.rest.is_empty()),
            &["base URL: no slash at its end"],
        ),
        wrong(
            "wants one slash",
            refusing("create", 404, |asked| asked.rest == "//"),
            &["base URL: doubled slashes"],
        ),
    ]
}
