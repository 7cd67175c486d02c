//! `ApplicationPayload` in, `ApplicationResponse` out.

use dcr_contract::model::{
    AuthMethod, ClientName, CreatedClient, Description, Field, GrantType, Malformed, NewClient,
    Origin, RedirectUri, Scope,
};
use dcr_contract::{Fault, Violations};
use serde::Serialize;

use super::Oddities;
use super::read::{List, Members, Text};
use super::write;

/// What Konnect's Verify sends as `portal_id`; no portal has it.
const VERIFY: &str = "test portal_id";

pub(super) const MEMBERS: &[&str] = &[
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

/// Reads what Konnect sends to create an application. Only the name is required.
///
/// # Errors
/// `Invalid` with every violation.
pub(crate) fn new_client(body: &[u8], oddities: &mut Oddities) -> Result<NewClient, Fault> {
    let mut members = Members::read(body, MEMBERS, oddities)?;
    let mut v = Violations::default();

    let name = match members.text("client_name") {
        Text::Missing | Text::Null => {
            v.note(Field::Name, "must be given");
            None
        }
        text => text
            .given(Field::Name, &mut v)
            .and_then(|name| v.check(Field::Name, ClientName::parse(&name))),
    };
    let redirect_uris = redirect_uris(members.list("redirect_uris"), &mut v).unwrap_or_default();
    let grant_types = grant_types(members.list("grant_types"), &mut v, oddities);
    let scopes = scopes(members.list("scopes"), &mut v);
    let method = members.text("token_endpoint_auth_method");
    let token_endpoint_auth_method = auth_method(method, oddities);
    let description = members
        .text("application_description")
        .given(Field::Description, &mut v)
        .filter(|text| !text.is_empty())
        .and_then(|text| v.check(Field::Description, Description::parse(&text)));
    let origin = origin(&mut members, oddities);
    let probe = origin
        .portal_id
        .as_ref()
        .is_some_and(|id| id.as_str() == VERIFY);

    match name {
        Some(name) if v.is_empty() => Ok(NewClient {
            name,
            description,
            redirect_uris,
            grant_types,
            scopes,
            token_endpoint_auth_method,
            origin,
            probe,
        }),
        _ => Err(v.into_fault()),
    }
}

/// Reads where an application comes from, as far as the body tells.
pub(super) fn origin(members: &mut Members, oddities: &mut Oddities) -> Origin {
    Origin {
        organization_id: members.opaque("organization_id", oddities),
        portal_id: members.opaque("portal_id", oddities),
        developer_id: members.opaque("developer_id", oddities),
        auth_strategy_id: members.opaque("auth_strategy_id", oddities),
        dcr_provider_id: members.opaque("dcr_provider_id", oddities),
        application_id: members.opaque("application_id", oddities),
    }
}

/// `None` when nothing was said.
pub(super) fn redirect_uris(list: List, v: &mut Violations) -> Option<Vec<RedirectUri>> {
    let items = list.given(Field::RedirectUris, v)?;
    let parsed = items.into_iter().map(|item| RedirectUri::parse(&item?));
    Some(v.check_list(Field::RedirectUris, NewClient::MAX_REDIRECT_URIS, parsed))
}

/// Konnect puts the strategy's authentication methods among the grants: `bearer` stands for client credentials,
/// others (`session`) for nothing. No grant at all means client credentials.
fn grant_types(list: List, v: &mut Violations, oddities: &mut Oddities) -> Vec<GrantType> {
    let mut grants = Vec::new();
    let items = list.given(Field::GrantTypes, v).unwrap_or_default();
    let names = v.check_list(Field::GrantTypes, usize::MAX, items.into_iter());
    for name in names {
        let grant = match name.as_str() {
            "bearer" => Some(GrantType::ClientCredentials),
            name => GrantType::from_name(name),
        };
        match grant {
            Some(grant) if grants.contains(&grant) => {}
            Some(grant) => grants.push(grant),
            None => oddities.ignored_values.push("grant_types"),
        }
    }
    if grants.is_empty() {
        grants.push(GrantType::ClientCredentials);
    }
    grants
}

/// A bare string holds scopes as OAuth writes them, separated by spaces.
fn scopes(list: List, v: &mut Violations) -> Vec<Scope> {
    let items = list.given(Field::Scopes, v).unwrap_or_default();
    let items = match items.as_slice() {
        [Ok(text)] if text.contains(' ') => text
            .split_ascii_whitespace()
            .map(|s| Ok(s.to_owned()))
            .collect(),
        _ => items,
    };
    let parsed = items
        .into_iter()
        .map(|item: Result<String, Malformed>| Scope::parse(&item?));
    let mut scopes: Vec<Scope> = Vec::new();
    for scope in v.check_list(Field::Scopes, NewClient::MAX_SCOPES, parsed) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

/// Only a hint, so nothing about it is a violation.
fn auth_method(text: Text, oddities: &mut Oddities) -> Option<AuthMethod> {
    let method = match text {
        Text::Missing | Text::Null => return None,
        Text::Given(name) if name.is_empty() => return None,
        Text::Given(name) => AuthMethod::from_name(&name),
        Text::Wrong => None,
    };
    if method.is_none() {
        oddities.ignored_values.push("token_endpoint_auth_method");
    }
    method
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the specification's names")]
struct ApplicationResponse<'a> {
    client_id: &'a str,
    client_secret: write::Secret<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id_issued_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<String>,
}

/// Writes what answers a create.
///
/// # Errors
/// `Internal` when it cannot be written, which is a bug.
pub(crate) fn created(client: &CreatedClient) -> Result<Vec<u8>, Fault> {
    write::json(&ApplicationResponse {
        client_id: client.client_id.as_str(),
        client_secret: write::Secret(&client.secret),
        client_id_issued_at: client.issued_at.and_then(write::time),
        client_secret_expires_at: client.secret_expires_at.and_then(write::time),
    })
}

#[cfg(test)]
mod tests {
    use dcr_contract::FaultKind;
    use dcr_contract::model::{ClientId, ClientSecret};

    use super::*;

    fn read(body: &str) -> NewClient {
        new_client(body.as_bytes(), &mut Oddities::default()).unwrap()
    }

    fn oddities(body: &str) -> Oddities {
        let mut oddities = Oddities::default();
        new_client(body.as_bytes(), &mut oddities).unwrap();
        oddities
    }

    fn violations(body: &str) -> Vec<(Field, Option<u32>)> {
        let fault = new_client(body.as_bytes(), &mut Oddities::default()).unwrap_err();
        match fault.kind() {
            FaultKind::Invalid(v) => v.iter().map(|v| (v.field, v.index)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_specifications_example_is_read_whole() {
        let client = read(
            r#"{"client_name":"ferry","redirect_uris":["https://ferry.example/cb"],
                "grant_types":["authorization_code","refresh_token","client_credentials","bearer"],
                "scopes":["timetable.read","timetable.read"],
                "token_endpoint_auth_method":"client_secret_post","application_description":"Times",
                "portal_id":"p","organization_id":"o","developer_id":"d","auth_strategy_id":"a",
                "dcr_provider_id":"r"}"#,
        );
        assert_eq!(client.name.as_str(), "ferry");
        assert_eq!(client.description.unwrap().as_str(), "Times");
        assert_eq!(client.redirect_uris.len(), 1);
        assert_eq!(
            client.grant_types,
            [
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::ClientCredentials
            ]
        );
        assert_eq!(client.scopes.len(), 1);
        assert_eq!(
            client.token_endpoint_auth_method,
            Some(AuthMethod::ClientSecretPost)
        );
        assert_eq!(client.origin.developer_id.unwrap().as_str(), "d");
        assert!(client.origin.application_id.is_none());
        assert!(!client.probe);
    }

    #[test]
    fn a_name_is_enough() {
        let client = read(r#"{"client_name":"x"}"#);
        assert_eq!(client.grant_types, [GrantType::ClientCredentials]);
        assert!(client.redirect_uris.is_empty() && client.scopes.is_empty());
        assert!(client.description.is_none() && client.token_endpoint_auth_method.is_none());
    }

    #[test]
    fn konnects_verify_is_a_probe() {
        let body = r#"{"client_name":"probe","redirect_uris":[],"grant_types":[],"scopes":[],
            "token_endpoint_auth_method":"client_secret_post","application_description":"",
            "portal_id":"test portal_id","organization_id":"5c0a6a54-6d5c-4d7e-8f0f-0a6d6f1b2c22"}"#;
        let client = read(body);
        assert!(client.probe);
        assert_eq!(client.grant_types, [GrantType::ClientCredentials]);
        assert!(client.description.is_none());
    }

    #[test]
    fn unknown_words_are_ignored_and_noted() {
        let body = r#"{"client_name":"x","grant_types":["session"],"token_endpoint_auth_method":"none",
            "portal_id":{},"brand_new":1}"#;
        assert_eq!(read(body).grant_types, [GrantType::ClientCredentials]);
        let oddities = oddities(body);
        assert_eq!(oddities.unknown_members, ["brand_new"]);
        assert_eq!(
            oddities.ignored_values,
            ["grant_types", "token_endpoint_auth_method", "portal_id"]
        );
    }

    #[test]
    fn a_string_of_scopes_is_split_at_spaces() {
        assert_eq!(
            read(r#"{"client_name":"x","scopes":" openid  a "}"#)
                .scopes
                .len(),
            2
        );
        assert!(read(r#"{"client_name":"x","scopes":""}"#).scopes.is_empty());
    }

    #[test]
    fn every_violation_is_told_at_once() {
        let long = "d".repeat(256);
        let found = violations(&format!(
            r#"{{"client_name":"","redirect_uris":["https://a.example","javascript:alert(1)",""],
                "scopes":["ok","a\"b"],"application_description":"{long}","grant_types":{{}}}}"#
        ));
        assert_eq!(
            found,
            [
                (Field::Name, None),
                (Field::RedirectUris, Some(1)),
                (Field::RedirectUris, Some(2)),
                (Field::GrantTypes, None),
                (Field::Scopes, Some(1)),
                (Field::Description, None),
            ]
        );
        for body in ["{}", r#"{"client_name":null}"#, r#"{"client_name":[]}"#] {
            assert_eq!(violations(body), [(Field::Name, None)], "{body}");
        }
        let many = format!(
            r#"{{"client_name":"x","scopes":[{}]}}"#,
            vec!["\"s\""; 51].join(",")
        );
        assert_eq!(violations(&many), [(Field::Scopes, None)]);
    }

    #[test]
    fn the_answer_has_the_specifications_members_and_no_other() {
        let mut client = CreatedClient {
            client_id: ClientId::parse("c-1").unwrap(),
            secret: ClientSecret::parse("s\"3".to_owned().into()).unwrap(),
            secret_id: None,
            issued_at: Some("2026-09-01T08:30:00Z".parse().unwrap()),
            secret_expires_at: Some("2027-09-01T08:30:00.5Z".parse().unwrap()),
            adjustments: Vec::new(),
        };
        assert_eq!(
            String::from_utf8(created(&client).unwrap()).unwrap(),
            r#"{"client_id":"c-1","client_secret":"s\"3","client_id_issued_at":"2026-09-01T08:30:00Z","client_secret_expires_at":"2027-09-01T08:30:00.5Z"}"#
        );
        client.issued_at = None;
        client.secret_expires_at = None;
        assert_eq!(
            created(&client).unwrap(),
            br#"{"client_id":"c-1","client_secret":"s\"3"}"#
        );
    }
}
