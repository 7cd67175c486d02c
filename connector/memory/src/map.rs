//! The model into what the IdP has, and back; pure.

use std::collections::{BTreeMap, BTreeSet};

use dcr_connector::fault::{Fault, Violation};
use dcr_connector::model::{
    AuthMethod, ClientId, ClientName, ClientUpdate, Description, Field, GrantType, Malformed,
    ManagedClient, NewClient, RedirectUri, Registration, Scope, SecretId, SecretMetadata,
    SecretStatus,
};
use dcr_connector::{Before, Found, Granted, Mark, Marked, OAuthGrant, Registrations};

use crate::api;

/// What to ask for.
///
/// # Errors
/// `Invalid` for the grant types and scopes that the IdP does not have.
pub(crate) fn new_client<'a>(
    mark: &Mark,
    client: &'a NewClient,
) -> Result<api::NewClient<'a>, Fault> {
    let mut violations = Vec::new();
    let grant_types = client
        .grant_types
        .iter()
        .enumerate()
        .filter_map(|(index, grant)| {
            if matches!(grant, GrantType::TokenExchange | GrantType::DeviceCode) {
                let rule = Malformed::new("must be a grant type that the identity provider has");
                violations.push(Violation::of_element(Field::GrantTypes, index, &rule));
                return None;
            }
            Some(grant.as_str())
        });
    let grant_types = without_repetition(grant_types);
    if let Some(index) = client
        .scopes
        .iter()
        .position(|scope| scope.as_str() == "admin")
    {
        let rule = Malformed::new("must not be admin, which the identity provider keeps to itself");
        violations.push(Violation::of_element(Field::Scopes, index, &rule));
    }
    if !violations.is_empty() {
        return Err(Fault::invalid(violations));
    }
    let attributes = mark.attributes().into_iter();
    Ok(api::NewClient {
        client_id: mark.operation_id.client_id(),
        name: client.name.as_str(),
        description: client.description.as_ref().map_or("", |text| text.as_str()),
        redirect_uris: without_repetition(client.redirect_uris.iter().map(RedirectUri::as_str)),
        grant_types,
        scopes: without_repetition(client.scopes.iter().map(Scope::as_str)),
        // The other methods need keys that nobody has given; left out, both of these are allowed.
        token_endpoint_auth_method: match client.token_endpoint_auth_method {
            Some(method @ (AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)) => {
                Some(method.as_str())
            }
            Some(AuthMethod::ClientSecretJwt | AuthMethod::PrivateKeyJwt) | None => None,
        },
        attributes: attributes
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    })
}

/// What to change.
pub(crate) fn update(update: &ClientUpdate) -> api::Patch<'_> {
    let uris = update.redirect_uris.as_ref();
    api::Patch {
        name: update.name.as_ref().map(ClientName::as_str),
        description: update.description.as_ref().map(Description::as_str),
        redirect_uris: uris.map(|uris| without_repetition(uris.iter().map(RedirectUri::as_str))),
        ..api::Patch::default()
    }
}

/// Writes a mark.
pub(crate) fn marking(mark: &Mark) -> api::Patch<'static> {
    let attributes = mark.attributes().into_iter();
    api::Patch {
        attributes: attributes
            .map(|(key, value)| (key.to_owned(), Some(value)))
            .collect(),
        ..api::Patch::default()
    }
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

/// A client of a list; `None` when it bears no whole mark, or an id that nobody could name.
pub(crate) fn managed(client: api::Client) -> Option<ManagedClient> {
    let found = found(client);
    let Marked::Yes(mark) = found.mark else {
        return None;
    };
    Some(ManagedClient {
        client_id: ClientId::parse(&found.handle.client_id).ok()?,
        provider_id: mark.caller.provider_id,
        operation_id: mark.operation_id,
        created_at: Some(found.handle.created_at),
        probe: mark.probe,
    })
}

/// What is known of a secret.
pub(crate) fn secret(known: &api::KnownSecret) -> Result<SecretMetadata, Malformed> {
    Ok(SecretMetadata {
        secret_id: SecretId::parse(&known.secret_id)?,
        status: SecretStatus::Active,
        created_at: Some(known.created_at),
        expires_at: None,
    })
}

fn granted(client: &api::Client) -> Granted {
    Granted {
        scopes: client.scopes.clone(),
        audiences: client.audiences.clone(),
    }
}

fn before(client: &api::Client, now: &Granted) -> Before {
    Before::of(
        client.attributes.get(Before::ATTRIBUTE).map(String::as_str),
        now,
    )
}

/// Records a registration and grants what all of them need; `None` when all is so already.
pub(crate) fn register(
    client: &api::Client,
    added: &Registration,
    needed: &BTreeSet<OAuthGrant>,
) -> Option<api::Patch<'static>> {
    let now = granted(client);
    let before = before(client, &now).to_attribute();
    let then = now.clone().and(needed);
    let kept = [
        Registrations::attribute(added),
        (Before::ATTRIBUTE.to_owned(), before),
    ];
    let is_kept = kept
        .iter()
        .all(|(name, value)| client.attributes.get(name) == Some(value));
    if is_kept && then == now {
        return None;
    }
    let kept = kept.into_iter().map(|(name, value)| (name, Some(value)));
    Some(granting(then, kept.collect()))
}

/// Forgets a registration and takes away what it granted, but nothing that the client had before.
pub(crate) fn unregister(
    client: &api::Client,
    removed: &Registration,
    freed: &BTreeSet<OAuthGrant>,
) -> api::Patch<'static> {
    let now = granted(client);
    let before = before(client, &now);
    let forgotten = Registrations::attribute_name(&removed.entity);
    granting(
        now.without(freed, &before),
        BTreeMap::from([(forgotten, None)]),
    )
}

fn granting(granted: Granted, attributes: BTreeMap<String, Option<String>>) -> api::Patch<'static> {
    api::Patch {
        scopes: Some(granted.scopes),
        audiences: Some(granted.audiences),
        attributes,
        ..api::Patch::default()
    }
}

/// The values in their order, each once: the IdP refuses repetitions.
fn without_repetition<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}
