//! The model into what Keycloak has, and back; pure.

pub(crate) mod fitting;
pub(crate) mod scopes;
pub(crate) mod secrets;

use std::collections::BTreeMap;

use dcr_connector::fault::{Fault, Violation};
use dcr_connector::model::{
    ClientId, ClientUpdate, Field, GrantType, Malformed, ManagedClient, NewClient, RedirectUri,
};
use dcr_connector::{Found, Mark, Marked, Registrations};
use serde_json::{Map, Value};

use self::fitting::fitting;
use crate::api;

/// What to ask for, with its scopes left to the realm.
///
/// # Errors
/// `Invalid` for the grant types that Keycloak does not have, and for redirect URIs that it has no room for.
pub(crate) fn new_client<'a>(
    mark: &Mark,
    client: &'a NewClient,
) -> Result<api::NewClient<'a>, Fault> {
    let refused = |(index, grant): (usize, &GrantType)| {
        let rule = Malformed::new("must be a grant type that Keycloak has");
        (*grant == GrantType::JwtBearer)
            .then(|| Violation::of_element(Field::GrantTypes, index, &rule))
    };
    let mut violations: Vec<_> = client
        .grant_types
        .iter()
        .enumerate()
        .filter_map(refused)
        .collect();
    violations.extend(too_long(&client.redirect_uris));
    if !violations.is_empty() {
        return Err(Fault::invalid(violations));
    }
    let has = |grant| client.grant_types.contains(&grant);
    let mut attributes: BTreeMap<String, String> = mark
        .attributes()
        .into_iter()
        .chain(
            client
                .origin
                .attributes()
                .map(|(name, id)| (name, id.to_owned())),
        )
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (grant, switch) in [
        (
            GrantType::DeviceCode,
            "oauth2.device.authorization.grant.enabled",
        ),
        (GrantType::TokenExchange, "standard.token.exchange.enabled"),
    ] {
        if has(grant) {
            attributes.insert(switch.to_owned(), "true".to_owned());
        }
    }
    Ok(api::NewClient {
        client_id: mark.operation_id.client_id(),
        name: fitting(client.name.as_str()),
        description: client
            .description
            .as_ref()
            .map_or("", |text| fitting(text.as_str())),
        enabled: true,
        protocol: "openid-connect",
        public_client: false,
        // Basic and post alike; the other methods need keys that nobody has given.
        client_authenticator_type: "client-secret",
        standard_flow_enabled: has(GrantType::AuthorizationCode),
        implicit_flow_enabled: has(GrantType::Implicit),
        direct_access_grants_enabled: has(GrantType::Password),
        service_accounts_enabled: has(GrantType::ClientCredentials),
        // Else every role of whoever logs in would stand in the application's tokens.
        full_scope_allowed: false,
        redirect_uris: client
            .redirect_uris
            .iter()
            .map(RedirectUri::as_str)
            .collect(),
        attributes,
        default_client_scopes: None,
        optional_client_scopes: None,
    })
}

/// The redirect URIs that Keycloak's column has no room for: it would answer 500.
fn too_long(uris: &[RedirectUri]) -> impl Iterator<Item = Violation> {
    let long = uris
        .iter()
        .enumerate()
        .filter(|(_, uri)| uri.as_str().len() > 255);
    long.map(|(index, _)| {
        let rule = Malformed::new("must have at most 255 characters, which is Keycloak's limit");
        Violation::of_element(Field::RedirectUris, index, &rule)
    })
}

/// The members of an update.
///
/// # Errors
/// `Invalid` for redirect URIs that Keycloak has no room for.
pub(crate) fn update(update: &ClientUpdate) -> Result<Map<String, Value>, Fault> {
    let uris = update.redirect_uris.as_deref();
    let violations: Vec<_> = too_long(uris.unwrap_or_default()).collect();
    if !violations.is_empty() {
        return Err(Fault::invalid(violations));
    }
    let origin = update.origin.attributes();
    let origin = origin.map(|(name, id)| (name.to_owned(), id.to_owned()));
    let mut members = attributes(origin);
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    set(
        "name",
        update
            .name
            .as_ref()
            .map(|name| fitting(name.as_str()).into()),
    );
    set(
        "description",
        update
            .description
            .as_ref()
            .map(|text| fitting(text.as_str()).into()),
    );
    set(
        "redirectUris",
        uris.map(|uris| uris.iter().map(RedirectUri::as_str).collect()),
    );
    Ok(members)
}

/// The members that write attributes; an empty value removes one.
pub(crate) fn attributes(
    attributes: impl IntoIterator<Item = (String, String)>,
) -> Map<String, Value> {
    let attributes: Map<_, Value> = attributes
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    Map::from_iter([("attributes".to_owned(), Value::Object(attributes))])
}

/// What bears a mark or none.
pub(crate) fn found(client: api::Client) -> Found<api::Client> {
    let attributes = &client.attributes;
    let mark = Mark::from_attributes(|key| attributes.get(key).map(String::as_str));
    let pairs = attributes.iter().map(|(key, value)| (&**key, &**value));
    let registrations = Registrations::from_attributes(pairs);
    Found {
        handle: client,
        mark,
        registrations,
    }
}

/// A client of a list, if it bears a whole mark of this installation and an id that can be named.
pub(crate) fn managed(client: api::Client, installation: &str) -> Option<ManagedClient> {
    let found = found(client);
    let Marked::Yes(mark) = found.mark else {
        return None;
    };
    (mark.caller.installation.as_str() == installation).then_some(())?;
    Some(ManagedClient {
        client_id: ClientId::parse(&found.handle.client_id).ok()?,
        provider_id: mark.caller.provider_id,
        created_at: None,
        operation_id: mark.operation_id,
        probe: mark.probe,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcr_connector::fault::FaultKind;
    use dcr_connector::model::{Caller, ClientName, OperationId, Origin, ProviderId, Scope};
    use dcr_connector::{Made, model};
    use serde_json::json;

    fn mark() -> Mark {
        Mark {
            caller: Caller {
                installation: model::Installation::parse("i").unwrap(),
                provider_id: ProviderId::parse("p").unwrap(),
            },
            operation_id: OperationId::generate(),
            made: Made::ByUs,
            probe: false,
        }
    }

    pub(super) fn asked(grant_types: &[GrantType], scopes: &[&str]) -> NewClient {
        NewClient {
            name: ClientName::parse("ferry").unwrap(),
            description: None,
            redirect_uris: Vec::new(),
            grant_types: grant_types.to_vec(),
            scopes: scopes
                .iter()
                .map(|scope| Scope::parse(scope).unwrap())
                .collect(),
            token_endpoint_auth_method: None,
            origin: Origin::default(),
            probe: false,
        }
    }

    pub(super) fn client(json: &Value) -> api::Client {
        let mut whole = json!({"id": "u", "clientId": "c"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(json.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn grant_types_switch_what_keycloak_calls_flows() {
        let all: Vec<_> = GrantType::ALL
            .into_iter()
            .filter(|g| *g != GrantType::JwtBearer)
            .collect();
        for grant in &all {
            let asked = asked(&[*grant], &[]);
            let made = new_client(&mark(), &asked).unwrap();
            let has = |name: &str| made.attributes.contains_key(name);
            let switched = [
                (GrantType::AuthorizationCode, made.standard_flow_enabled),
                (GrantType::ClientCredentials, made.service_accounts_enabled),
                (GrantType::Implicit, made.implicit_flow_enabled),
                (GrantType::Password, made.direct_access_grants_enabled),
                (
                    GrantType::TokenExchange,
                    has("standard.token.exchange.enabled"),
                ),
                (
                    GrantType::DeviceCode,
                    has("oauth2.device.authorization.grant.enabled"),
                ),
            ];
            for (of, on) in switched {
                assert_eq!(on, of == *grant, "{grant:?} and the switch of {of:?}");
            }
            assert!(!made.public_client && !made.full_scope_allowed);
        }
        let fault = new_client(&mark(), &asked(&[GrantType::JwtBearer], &[])).unwrap_err();
        assert_eq!(fault.kind().name(), "invalid");
    }

    #[test]
    fn a_redirect_uri_that_keycloak_has_no_room_for_is_named() {
        let uri = |length: usize| {
            let uri = format!("https://ferry.example/{}", "x".repeat(length - 22));
            RedirectUri::parse(&uri).unwrap()
        };
        let mut asked = asked(&[], &[]);
        asked.redirect_uris = vec![uri(255), uri(256)];
        let created = new_client(&mark(), &asked).unwrap_err();
        let updated = update(&ClientUpdate {
            redirect_uris: Some(asked.redirect_uris),
            ..ClientUpdate::default()
        });
        for fault in [created, updated.unwrap_err()] {
            let FaultKind::Invalid(violations) = fault.kind() else {
                panic!("{fault}");
            };
            assert_eq!(violations.len(), 1);
            assert_eq!(violations[0].index, Some(1));
        }
    }
}
