//! The model into what Keycloak has, and back; pure.

use std::collections::{BTreeMap, BTreeSet};

use dcr_connector::fault::{Fault, Reason, Violation};
use dcr_connector::model::{
    ClientId, ClientUpdate, Field, GrantType, Malformed, ManagedClient, NewClient, OperationId,
    Origin, RedirectUri, Scope, SecretId, SecretMetadata, SecretStatus,
};
use dcr_connector::{Found, Mark, Marked, Registrations};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::{self, Assigned, Named};
use crate::config::Grant;

/// The attribute that keeps which scopes a client had before its first registration: they are never taken away.
const BEFORE: &str = "dcr_before_registrations";
/// How long before its expiry a secret counts as expired: clocks differ, and the call takes time.
const MARGIN_SECONDS: i64 = 60;
/// The scope that every OpenID Connect server knows; Keycloak has no client scope of this name.
const OPENID: &str = "openid";

/// The client id that an operation creates: known again without a search.
pub(crate) fn client_id(operation: OperationId) -> String {
    format!("dcr-{}", operation.simple())
}

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
        .chain(origin(&client.origin))
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
        client_id: client_id(mark.operation_id),
        name: client.name.as_str(),
        description: client.description.as_ref().map_or("", |text| text.as_str()),
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

/// What Konnect said about where an application comes from, for whoever looks at it in Keycloak.
pub(crate) fn origin(origin: &Origin) -> impl Iterator<Item = (&'static str, String)> {
    [
        ("konnect_organization_id", &origin.organization_id),
        ("konnect_portal_id", &origin.portal_id),
        ("konnect_developer_id", &origin.developer_id),
        ("konnect_auth_strategy_id", &origin.auth_strategy_id),
        ("konnect_dcr_provider_id", &origin.dcr_provider_id),
        ("konnect_application_id", &origin.application_id),
    ]
    .into_iter()
    .filter_map(|(name, id)| Some((name, id.as_ref()?.to_string())))
}

/// The requested scopes that need a client scope, each once.
pub(crate) fn requested(client: &NewClient) -> BTreeSet<&str> {
    let scopes = client.scopes.iter().map(Scope::as_str);
    scopes.filter(|scope| *scope != OPENID).collect()
}

/// The requested scopes that the realm does not have, as violations.
pub(crate) fn missing(client: &NewClient, realm: &[Named]) -> Vec<Violation> {
    let is_missing = |scope: &str| scope != OPENID && realm.iter().all(|known| known.name != scope);
    let scopes = client.scopes.iter().enumerate();
    let missing = scopes.filter(|(_, scope)| is_missing(scope.as_str()));
    missing
        .map(|(index, scope)| {
            let rule = format!("is {scope}, which the realm has no client scope for");
            Violation::of_element(Field::Scopes, index, &Malformed::new(rule))
        })
        .collect()
}

/// Both lists of scopes of a new client: what the realm gives everybody, and what was asked for as optional.
pub(crate) fn assigned(
    requested: &BTreeSet<&str>,
    defaults: Vec<Named>,
    optionals: Vec<Named>,
) -> (Vec<String>, Vec<String>) {
    let names = |scopes: Vec<Named>| scopes.into_iter().map(|s| s.name).collect::<Vec<_>>();
    let (defaults, mut optionals) = (names(defaults), names(optionals));
    for scope in requested {
        let has = |list: &[String]| list.iter().any(|known| known == scope);
        if !has(&defaults) && !has(&optionals) {
            optionals.push((*scope).to_owned());
        }
    }
    (defaults, optionals)
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

/// Whether an update leaves the secret alone.
///
/// # Errors
/// `Unsupported` when a client policy has let the secret expire: Keycloak would replace it with any update, and nobody
/// would learn the new one.
pub(crate) fn may_be_updated(client: &api::Client, now: Timestamp) -> Result<(), Fault> {
    match expiry(client) {
        Some(expires_at) if expires_at.as_second() <= now.as_second() + MARGIN_SECONDS => {
            let sentence = "The client's secret has expired, and Keycloak would replace it with this update: \
                            refresh the secret first.";
            Err(Fault::unsupported(sentence).reason(Reason::UpdateRotatesSecret))
        }
        _ => Ok(()),
    }
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
    let origin = origin(&update.origin).map(|(name, value)| (name.to_owned(), value));
    let mut members = attributes(origin);
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    set(
        "name",
        update.name.as_ref().map(|name| name.as_str().into()),
    );
    set(
        "description",
        update.description.as_ref().map(|text| text.as_str().into()),
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

/// A time that Keycloak keeps as an attribute, in seconds since 1970; 0 is none.
fn time(client: &api::Client, attribute: &str) -> Option<Timestamp> {
    let seconds = client.attributes.get(attribute)?.parse().ok()?;
    Timestamp::from_second(seconds)
        .ok()
        .filter(|time| time.as_second() > 0)
}

/// When the current secret stops working, where a client policy says so.
pub(crate) fn expiry(client: &api::Client) -> Option<Timestamp> {
    time(client, "client.secret.expiration.time")
}

/// The current secret under a name that stays, and before it the one that a client policy may keep for a while.
pub(crate) fn secrets(client: &api::Client, now: Timestamp) -> Vec<SecretMetadata> {
    let time = |name: &str| time(client, name);
    let secret = |id: &str, created_at, expires_at: Option<Timestamp>| {
        let expired = expires_at.is_some_and(|time| time <= now);
        Some(SecretMetadata {
            secret_id: SecretId::parse(id).ok()?,
            status: if expired {
                SecretStatus::Inactive
            } else {
                SecretStatus::Active
            },
            created_at,
            expires_at,
        })
    };
    let rotated = time("client.secret.rotated.expiration.time")
        .filter(|_| client.attributes.contains_key("client.secret.rotated"))
        .and_then(|expires| {
            secret(
                "rotated",
                time("client.secret.rotated.creation.time"),
                Some(expires),
            )
        });
    let current = secret(
        "current",
        time("client.secret.creation.time"),
        expiry(client),
    );
    rotated.into_iter().chain(current).collect()
}

/// Which scopes a client had before its first registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    default: BTreeSet<String>,
    optional: BTreeSet<String>,
}

impl Before {
    pub(crate) fn of(client: &api::Client) -> Self {
        let kept = client.attributes.get(BEFORE);
        kept.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| Self {
                default: client.default_client_scopes.iter().cloned().collect(),
                optional: client.optional_client_scopes.iter().cloned().collect(),
            })
    }

    /// Name and value of the attribute that keeps it.
    pub(crate) fn attribute(&self) -> (String, String) {
        (BEFORE.to_owned(), json!(self).to_string())
    }

    /// How a scope has to be assigned when the client needs these grants.
    fn wanted(&self, scope: &str, needed: &BTreeSet<Grant>) -> Option<Assigned> {
        let needs = |grant: fn(String) -> Grant| needed.contains(&grant(scope.to_owned()));
        if self.default.contains(scope) || needs(Grant::DefaultScope) {
            Some(Assigned::Default)
        } else if self.optional.contains(scope) || needs(Grant::OptionalScope) {
            Some(Assigned::Optional)
        } else {
            None
        }
    }
}

/// One change of a scope's assignment: from, to.
pub(crate) type Move<'a> = (&'a str, Option<Assigned>, Option<Assigned>);

/// What has to change so that these scopes are assigned as the client needs them.
pub(crate) fn moves<'a>(
    client: &api::Client,
    before: &Before,
    touched: &'a BTreeSet<Grant>,
    needed: &BTreeSet<Grant>,
) -> Vec<Move<'a>> {
    let scopes: BTreeSet<&str> = touched
        .iter()
        .filter_map(|grant| match grant {
            Grant::DefaultScope(scope) | Grant::OptionalScope(scope) => Some(&**scope),
            Grant::Role(_) => None,
        })
        .collect();
    let has = |list: &[String], scope: &str| list.iter().any(|known| known == scope);
    scopes
        .into_iter()
        .filter_map(|scope| {
            let is = if has(&client.default_client_scopes, scope) {
                Some(Assigned::Default)
            } else if has(&client.optional_client_scopes, scope) {
                Some(Assigned::Optional)
            } else {
                None
            };
            let wanted = before.wanted(scope, needed);
            (is != wanted).then_some((scope, is, wanted))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcr_connector::fault::FaultKind;
    use dcr_connector::model::{Caller, ClientName, ProviderId};
    use dcr_connector::{Made, model};

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

    fn asked(grant_types: &[GrantType], scopes: &[&str]) -> NewClient {
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

    fn named(names: &[&str]) -> Vec<Named> {
        let scope = |name: &&str| Named {
            id: format!("id of {name}"),
            name: (*name).to_owned(),
        };
        names.iter().map(scope).collect()
    }

    fn client(json: &Value) -> api::Client {
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
    fn a_missing_scope_is_named_with_its_place_and_openid_is_never_missing() {
        let asked = asked(&[], &["openid", "read", "write"]);
        let missing = missing(&asked, &named(&["read"]));
        assert_eq!(missing.len(), 1);
        assert_eq!(
            (missing[0].field, missing[0].index),
            (Field::Scopes, Some(2))
        );
        assert!(missing[0].rule.as_str().contains("write"));
        assert_eq!(requested(&asked), ["read", "write"].into());
    }

    #[test]
    fn requested_scopes_are_optional_beside_what_the_realm_gives() {
        let requested = ["profile", "phone", "read"].into();
        let lists = assigned(&requested, named(&["profile"]), named(&["phone"]));
        let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(lists, (texts(&["profile"]), texts(&["phone", "read"])));
    }

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let client = client(&json!({"secret": "planted"}));
        assert!(client.secret.is_some());
        assert!(!format!("{client:?}").contains("planted"));
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

    #[test]
    fn an_update_that_would_replace_an_expired_secret_is_refused() {
        let expiring = client(&json!({"attributes": {"client.secret.expiration.time": "1000"}}));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(may_be_updated(&expiring, at(939)).is_ok());
        let fault = may_be_updated(&expiring, at(940)).unwrap_err();
        assert_eq!(fault.why(), Reason::UpdateRotatesSecret);
        assert!(may_be_updated(&client(&json!({})), at(1_000)).is_ok());
    }

    #[test]
    fn the_one_secret_has_a_name_that_stays_and_a_kept_one_stands_beside_it() {
        let now = Timestamp::from_second(2_000).unwrap();
        let one = client(&json!({"attributes": {"client.secret.creation.time": "1000"}}));
        let listed = secrets(&one, now);
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].secret_id.as_str(), "current");
        assert_eq!(listed[0].created_at.unwrap().as_second(), 1_000);
        let kept = client(&json!({"attributes": {
            "client.secret.rotated": "…", "client.secret.rotated.expiration.time": "1999",
        }}));
        let listed = secrets(&kept, now);
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].status, SecretStatus::Inactive);
        assert_eq!(listed[1].status, SecretStatus::Active);
    }

    #[test]
    fn scopes_move_to_where_they_are_needed_and_back_to_where_they_were() {
        use Assigned::{Default as D, Optional as O};
        let one = |grant: fn(String) -> Grant, scope: &str| grant(scope.to_owned());
        let nothing = BTreeSet::new();
        let (d, o) = (
            Grant::DefaultScope as fn(String) -> Grant,
            Grant::OptionalScope as fn(_) -> _,
        );
        let before = Before {
            default: ["base".to_owned()].into(),
            optional: ["asked".to_owned()].into(),
        };
        let fresh = client(&json!({
            "defaultClientScopes": ["base"], "optionalClientScopes": ["asked"],
        }));
        // Registering: what is optional becomes default, what is default already stays.
        let needed = [one(d, "asked"), one(o, "new"), one(o, "base")].into();
        let expected = [("asked", Some(O), Some(D)), ("new", None, Some(O))];
        assert_eq!(moves(&fresh, &before, &needed, &needed), expected);
        // Deregistering: what was asked for by the application itself goes back, the rest goes.
        let granted = client(&json!({
            "defaultClientScopes": ["base", "asked"], "optionalClientScopes": ["new"],
        }));
        let expected = [("asked", Some(D), Some(O)), ("new", Some(O), None)];
        assert_eq!(moves(&granted, &before, &needed, &nothing), expected);
        // Another registration still needs one of them.
        let still = [one(o, "new")].into();
        assert_eq!(
            moves(&granted, &before, &needed, &still),
            [("asked", Some(D), Some(O))]
        );
    }
}
