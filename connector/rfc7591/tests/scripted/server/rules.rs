//! What client metadata may be (RFC 7591 section 2).

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::manners::Manners;

/// The body, which has to be a JSON object and say so.
pub(super) fn object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, String> {
    if headers
        .get("content-type")
        .is_none_or(|kind| kind != "application/json")
    {
        return Err("the body has to be application/json".to_owned());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err("the body has to be a JSON object".to_owned()),
    }
}

type Refusal = (&'static str, String);

/// The metadata as it is kept: unknown members are ignored, scopes and grant types that are not there are left out.
pub(super) fn metadata(
    manners: &Manners,
    mut asked: Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    let wrong = |why: &str| ("invalid_client_metadata", why.to_owned());
    let known = [
        "client_name",
        "redirect_uris",
        "grant_types",
        "response_types",
        "token_endpoint_auth_method",
        "scope",
        "software_id",
        "contacts",
    ];
    asked.retain(|name, _| known.contains(&name.as_str()));
    let list = |name: &str, default: &[&str]| match asked.get(name) {
        None => Ok(default.iter().map(|text| (*text).to_owned()).collect()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| wrong(&format!("{name} has to be a list of texts"))),
        Some(_) => Err(wrong(&format!("{name} has to be a list"))),
    };
    let grant_types = list("grant_types", &["authorization_code"])?;
    let response_types = list("response_types", &["code"])?;
    let redirect_uris = list("redirect_uris", &[])?;
    let has = |grant: &str| grant_types.iter().any(|has| has == grant);
    let answers = |kind: &str| response_types.iter().any(|has| has == kind);
    // RFC 7591 section 2.1.
    if has("authorization_code") != answers("code") || has("implicit") != answers("token") {
        return Err(wrong("grant_types and response_types do not fit"));
    }
    if manners.wants_redirect_uri && redirect_uris.is_empty() {
        let why = "redirect_uris is missing".to_owned();
        return Err(("invalid_redirect_uri", why));
    }
    for uri in &redirect_uris {
        let is_absolute = uri.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
        });
        if !is_absolute || uri.contains('#') || uri.contains("refused.example") {
            return Err(("invalid_redirect_uri", format!("{uri} is not taken")));
        }
    }
    let method = match asked.get("token_endpoint_auth_method") {
        None => "client_secret_basic",
        Some(Value::String(method)) => method,
        Some(_) => return Err(wrong("token_endpoint_auth_method has to be a text")),
    };
    if !["client_secret_basic", "client_secret_post"].contains(&method) {
        return Err(wrong("token_endpoint_auth_method is not supported"));
    }
    let scope = match asked.get("scope") {
        None => Vec::new(),
        Some(Value::String(scope)) if !scope.is_empty() => scope.split(' ').collect(),
        Some(_) => return Err(wrong("scope has to be a text with one space between")),
    };
    if scope.iter().any(|value| value.is_empty()) {
        return Err(wrong("scope has to be a text with one space between"));
    }
    let given: Vec<_> = scope
        .into_iter()
        .filter(|value| manners.scopes.contains(value))
        .collect();
    let grants: Vec<_> = grant_types
        .iter()
        .filter(|grant| manners.grant_types.contains(&grant.as_str()))
        .collect();
    let mut kept = Map::from_iter([
        ("token_endpoint_auth_method".to_owned(), json!(method)),
        ("grant_types".to_owned(), json!(grants)),
        ("response_types".to_owned(), json!(response_types)),
        ("redirect_uris".to_owned(), json!(redirect_uris)),
        ("scope".to_owned(), json!(given.join(" "))),
    ]);
    if given.is_empty() {
        kept.remove("scope");
    }
    for name in ["client_name", "software_id", "contacts"] {
        kept.extend(
            asked
                .get(name)
                .map(|value| (name.to_owned(), value.clone())),
        );
    }
    Ok(kept)
}
