//! The token endpoint (RFC 6749 section 4.4), for the connector's own client and for all others.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use dcr_tests::bridge::random;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::clients::{Clients, error};
use super::{OWN, Said};

/// The one bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("authorization").iter();
    let value = values.next()?.to_str().ok()?;
    value
        .strip_prefix("Bearer ")
        .filter(|_| values.next().is_none())
}

pub(super) fn token(clients: &mut Clients, headers: &HeaderMap, body: &[u8]) -> Said {
    let form = form(body);
    let text = |name: &str| form.get(name).map(String::as_str);
    let refused = |status, code: &str| (status, Some(error(code, "no token")));
    if text("grant_type") != Some("client_credentials") {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let basic = basic(headers);
    let (method, id, secret) = match (&basic, text("client_id"), text("client_secret")) {
        (Some((id, secret)), None, None) => ("client_secret_basic", id.as_str(), secret.as_str()),
        (None, Some(id), Some(secret)) => ("client_secret_post", id, secret),
        _ => return refused(StatusCode::UNAUTHORIZED, "invalid_client"),
    };
    let asked: BTreeSet<_> = text("scope")
        .unwrap_or_default()
        .split(' ')
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect();
    let allowed: BTreeSet<String> = if (id, secret) == OWN {
        ["dcr", "dcrm"].map(str::to_owned).into()
    } else {
        let Some(client) = clients.by_id.get(id) else {
            return refused(StatusCode::UNAUTHORIZED, "invalid_client");
        };
        let wanted = client.metadata.get("token_endpoint_auth_method");
        let is_a_secret = client.secret == secret || client.old_secret.as_deref() == Some(secret);
        if !is_a_secret || wanted != Some(&json!(method)) {
            return refused(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        let grants = client.metadata.get("grant_types");
        let grants = grants.and_then(|grants| grants.as_array());
        if grants.is_none_or(|grants| !grants.contains(&json!("client_credentials"))) {
            return refused(StatusCode::BAD_REQUEST, "unauthorized_client");
        }
        let scope = client
            .metadata
            .get("scope")
            .and_then(|scope| scope.as_str());
        let scope = scope.unwrap_or_default();
        scope.split_whitespace().map(str::to_owned).collect()
    };
    let given = if asked.is_empty() {
        allowed.clone()
    } else {
        asked
    };
    if !given.is_subset(&allowed) {
        return refused(StatusCode::BAD_REQUEST, "invalid_scope");
    }
    let scope = given.iter().cloned().collect::<Vec<_>>().join(" ");
    let claims = json!({"client_id": id, "scope": scope, "jti": random()});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.{}",
        part(&json!({"alg": "none"})),
        part(&claims),
        random()
    );
    if (id, secret) == OWN {
        clients.planted.push(("an access token", token.clone()));
        clients.access_tokens.insert(token.clone(), given);
    }
    let mut said = json!({"access_token": token, "token_type": "Bearer", "expires_in": 300});
    if !scope.is_empty() {
        said["scope"] = json!(scope);
    }
    (StatusCode::OK, Some(said))
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let body = String::from_utf8_lossy(body);
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let pair = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
