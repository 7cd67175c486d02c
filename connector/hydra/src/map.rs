//! The model into what Hydra has, and back; pure.
//!
//! Mark, registrations, description and origin are members of `metadata`, which only the admin API shows and changes;
//! `owner` is what the clients of an installation are listed by.

use std::collections::BTreeSet;

use dcr_connector::fault::{Fault, FaultKind, Violation};
use dcr_connector::model::{
    Adjustment, AuthMethod, ClientId, ClientUpdate, Field, GrantType, Installation, Malformed,
    ManagedClient, NewClient, Origin, RedirectUri, Registration, Scope, SecretId, SecretMetadata,
    SecretStatus, Sentence,
};
use dcr_connector::{Before, Found, Granted, Mark, Marked, OAuthGrant, Registrations};
use serde_json::{Map, Value};

use crate::api::{self, Change};

/// The member of the metadata that keeps the description, for which Hydra has no place.
const DESCRIPTION: &str = "konnect_description";

/// What clients of an installation are listed by.
pub(crate) fn owner(installation: &Installation) -> String {
    format!("dcr:{installation}")
}

/// What to ask for.
///
/// # Errors
/// `Invalid` for the grant types that Hydra does not have.
pub(crate) fn new_client<'a>(
    mark: &Mark,
    client: &'a NewClient,
) -> Result<api::NewClient<'a>, Fault> {
    let refused = |(index, grant): (usize, &GrantType)| {
        let rule = Malformed::new("must be a grant type that Hydra has");
        matches!(
            grant,
            GrantType::Password | GrantType::TokenExchange | GrantType::DeviceCode
        )
        .then(|| Violation::of_element(Field::GrantTypes, index, &rule))
    };
    let violations: Vec<_> = client
        .grant_types
        .iter()
        .enumerate()
        .filter_map(refused)
        .collect();
    if !violations.is_empty() {
        return Err(Fault::invalid(violations));
    }
    let has = |grant| client.grant_types.contains(&grant);
    let mut response_types = Vec::new();
    if has(GrantType::AuthorizationCode) {
        response_types.push("code");
    }
    if has(GrantType::Implicit) {
        response_types.push("token");
    }
    let scopes: Vec<_> = client.scopes.iter().map(Scope::as_str).collect();
    let mut metadata: Map<_, _> = mark
        .attributes()
        .into_iter()
        .chain(
            client
                .origin
                .attributes()
                .map(|(name, id)| (name, id.to_owned())),
        )
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if let Some(description) = &client.description {
        metadata.insert(DESCRIPTION.to_owned(), description.as_str().into());
    }
    Ok(api::NewClient {
        client_id: mark.operation_id.client_id(),
        client_name: client.name.as_str(),
        owner: owner(&mark.caller.installation),
        redirect_uris: client
            .redirect_uris
            .iter()
            .map(RedirectUri::as_str)
            .collect(),
        grant_types: client
            .grant_types
            .iter()
            .map(|grant| grant.as_str())
            .collect(),
        response_types,
        scope: scopes.join(" "),
        // Hydra holds a client to the one that it is registered for. The others need keys that nobody has given.
        token_endpoint_auth_method: match client.token_endpoint_auth_method {
            Some(AuthMethod::ClientSecretPost) => AuthMethod::ClientSecretPost.as_str(),
            Some(
                AuthMethod::ClientSecretBasic
                | AuthMethod::ClientSecretJwt
                | AuthMethod::PrivateKeyJwt,
            )
            | None => AuthMethod::ClientSecretBasic.as_str(),
        },
        metadata,
    })
}

/// What was done differently from what was asked.
pub(crate) fn adjustments(asked: &NewClient) -> Vec<Adjustment> {
    let keyed = |method| {
        matches!(
            method,
            AuthMethod::ClientSecretJwt | AuthMethod::PrivateKeyJwt
        )
    };
    let method = asked
        .token_endpoint_auth_method
        .filter(|method| keyed(*method));
    let adjustment = |method: AuthMethod| Adjustment {
        field: Field::TokenEndpointAuthMethod,
        sentence: Sentence::new(&format!(
            "The client uses client_secret_basic: {} needs a key that Konnect does not give.",
            method.as_str()
        )),
    };
    method.map(adjustment).into_iter().collect()
}

/// What to change for an update.
///
/// # Errors
/// `Conflict` when the metadata is no object.
pub(crate) fn update(client: &api::Client, update: &ClientUpdate) -> Result<Vec<Change>, Fault> {
    let mut changes = Vec::new();
    if let Some(name) = &update.name {
        changes.push(set("client_name", name.as_str().into()));
    }
    if let Some(uris) = &update.redirect_uris {
        let uris = uris.iter().map(RedirectUri::as_str).collect();
        changes.push(set("redirect_uris", uris));
    }
    let description = update.description.as_ref();
    let members = update
        .origin
        .attributes()
        .map(|(name, id)| (name.to_owned(), Some(id.to_owned())))
        .chain(description.map(|text| (DESCRIPTION.to_owned(), Some(text.as_str().to_owned()))));
    changes.extend(in_metadata(client, members)?);
    Ok(changes)
}

/// Writes a mark into a client that bears none.
///
/// # Errors
/// `Conflict` when another owner is set, or the metadata is no object.
pub(crate) fn marking(client: &api::Client, mark: &Mark) -> Result<Vec<Change>, Fault> {
    let owner = owner(&mark.caller.installation);
    if !client.owner.is_empty() && client.owner != owner {
        return Err(taken("owner"));
    }
    let members = mark.attributes().into_iter();
    let members = members.map(|(name, value)| (name.to_owned(), Some(value)));
    let mut changes = in_metadata(client, members)?;
    changes.push(set("owner", owner.into()));
    Ok(changes)
}

/// The mark's place in a client is not the connector's to use.
fn taken(member: &str) -> Fault {
    let sentence = format!(
        "The client's {member} is in use: clear it, or name the client under imported_clients."
    );
    Fault::new(FaultKind::Conflict, format!("{member} is in use")).saying(&sentence)
}

/// What bears a mark or none.
pub(crate) fn found(client: api::Client) -> Found<api::Client> {
    let members = client.metadata.as_object().into_iter().flatten();
    let texts: Vec<_> = members
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    let text = |key: &str| {
        texts
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, text)| *text)
    };
    let mark = Mark::from_attributes(text);
    let registrations = Registrations::from_attributes(texts.iter().copied());
    Found {
        mark,
        registrations,
        handle: client,
    }
}

/// A client of a list; `None` when it bears no whole mark of this installation, or an id that nobody could name.
pub(crate) fn managed(client: api::Client, installation: &Installation) -> Option<ManagedClient> {
    let found = found(client);
    let Marked::Yes(mark) = found.mark else {
        return None;
    };
    (mark.caller.installation == *installation).then_some(())?;
    Some(ManagedClient {
        client_id: ClientId::parse(&found.handle.client_id).ok()?,
        provider_id: mark.caller.provider_id,
        operation_id: mark.operation_id,
        created_at: found.handle.created_at,
        probe: mark.probe,
    })
}

/// The one secret of a client, under a name that stays: Hydra gives it none.
pub(crate) fn secret() -> Option<SecretMetadata> {
    Some(SecretMetadata {
        secret_id: SecretId::parse("current").ok()?,
        status: SecretStatus::Active,
        created_at: None,
        expires_at: None,
    })
}

fn granted(client: &api::Client) -> Granted {
    Granted {
        scopes: client
            .scope
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
        audiences: client.audience.clone().unwrap_or_default(),
    }
}

fn before(client: &api::Client, now: &Granted) -> Before {
    let kept = client.metadata.get(Before::ATTRIBUTE);
    Before::of(kept.and_then(Value::as_str), now)
}

/// Records a registration and grants what all of them need; empty when all is so already.
///
/// # Errors
/// `Conflict` when the metadata is no object.
pub(crate) fn register(
    client: &api::Client,
    added: &Registration,
    needed: &BTreeSet<OAuthGrant>,
    origin: &Origin,
) -> Result<Vec<Change>, Fault> {
    let now = granted(client);
    let before = before(client, &now).to_attribute();
    let kept = [
        Registrations::attribute(added),
        (Before::ATTRIBUTE.to_owned(), before),
    ];
    let origin = origin.attributes();
    let kept = kept
        .into_iter()
        .chain(origin.map(|(name, id)| (name.to_owned(), id.to_owned())));
    let mut changes = in_metadata(client, kept.map(|(name, value)| (name, Some(value))))?;
    changes.extend(granting(&now, &now.clone().and(needed)));
    Ok(changes)
}

/// Forgets a registration and takes away what it granted, but nothing that the client had before.
///
/// # Errors
/// `Conflict` when the metadata is no object.
pub(crate) fn unregister(
    client: &api::Client,
    removed: &Registration,
    freed: &BTreeSet<OAuthGrant>,
) -> Result<Vec<Change>, Fault> {
    let now = granted(client);
    let left = now.clone().without(freed, &before(client, &now));
    let forgotten = Registrations::attribute_name(&removed.entity);
    let mut changes = granting(&now, &left);
    changes.extend(in_metadata(client, [(forgotten, None)])?);
    Ok(changes)
}

fn granting(now: &Granted, then: &Granted) -> Vec<Change> {
    let mut changes = Vec::new();
    if then.scopes != now.scopes {
        changes.push(set("scope", then.scopes.join(" ").into()));
    }
    if then.audiences != now.audiences {
        changes.push(set("audience", then.audiences.clone().into()));
    }
    changes
}

fn set(member: &str, value: Value) -> Change {
    Change::Add {
        path: format!("/{member}"),
        value,
    }
}

/// What sets and removes members of the metadata; nothing for what is so already.
fn in_metadata(
    client: &api::Client,
    members: impl IntoIterator<Item = (String, Option<String>)>,
) -> Result<Vec<Change>, Fault> {
    let is = |name: &str| client.metadata.get(name);
    let mut changes: Vec<_> = members
        .into_iter()
        .filter(|(name, value)| is(name).and_then(Value::as_str) != value.as_deref())
        .filter_map(|(name, value)| {
            // RFC 6901 section 3.
            let path = format!("/metadata/{}", name.replace('~', "~0").replace('/', "~1"));
            match value {
                Some(value) => Some(Change::Add {
                    path,
                    value: value.into(),
                }),
                None => is(&name).map(|_| Change::Remove { path }),
            }
        })
        .collect();
    if !changes.is_empty() {
        match &client.metadata {
            Value::Object(_) => {}
            Value::Null => changes.insert(0, set("metadata", Value::Object(Map::new()))),
            _ => return Err(taken("metadata")),
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcr_connector::Made;
    use dcr_connector::model::{
        Audience, Caller, ClientName, Description, Entity, EntityKind, OpaqueId, OperationId,
        ProviderId,
    };
    use serde_json::json;

    fn mark() -> Mark {
        Mark {
            caller: Caller {
                installation: Installation::parse("i").unwrap(),
                provider_id: ProviderId::parse("p").unwrap(),
            },
            operation_id: OperationId::generate(),
            made: Made::ByUs,
            probe: false,
        }
    }

    fn asked(grant_types: &[GrantType], method: Option<AuthMethod>) -> NewClient {
        NewClient {
            name: ClientName::parse("ferry").unwrap(),
            description: None,
            redirect_uris: Vec::new(),
            grant_types: grant_types.to_vec(),
            scopes: vec![Scope::parse("a").unwrap(), Scope::parse("b").unwrap()],
            token_endpoint_auth_method: method,
            origin: Origin::default(),
            probe: false,
        }
    }

    fn client(json: &Value) -> api::Client {
        serde_json::from_value(json.clone()).unwrap()
    }

    fn registration(id: &str) -> Registration {
        Registration {
            entity: Entity {
                id: OpaqueId::parse(id).unwrap(),
                kind: EntityKind::Api,
            },
            audience: Some(Audience::parse("aud").unwrap()),
        }
    }

    /// What JSON Patch makes of the client, for the two operations that are used.
    fn patched(mut client: Value, changes: &[Change]) -> Value {
        for change in changes {
            let (Change::Add { path, .. } | Change::Remove { path }) = change;
            let (parent, member) = path.rsplit_once('/').unwrap();
            let member = member.replace("~1", "/").replace("~0", "~");
            let parent = client.pointer_mut(parent).expect("the parent is there");
            let members = parent.as_object_mut().expect("the parent is an object");
            match change {
                Change::Add { value, .. } => {
                    members.insert(member, value.clone());
                }
                Change::Remove { .. } => {
                    members.remove(&member).expect("what is removed is there");
                }
            }
        }
        client
    }

    #[test]
    fn grant_types_have_their_response_types_or_are_refused() {
        for (grant, response_types) in [
            (GrantType::ClientCredentials, Some(&[][..])),
            (GrantType::RefreshToken, Some(&[])),
            (GrantType::JwtBearer, Some(&[])),
            (GrantType::AuthorizationCode, Some(&["code"])),
            (GrantType::Implicit, Some(&["token"])),
            (GrantType::Password, None),
            (GrantType::TokenExchange, None),
            (GrantType::DeviceCode, None),
        ] {
            let asked = asked(&[grant], None);
            let new = new_client(&mark(), &asked).ok();
            let made = new.as_ref().map(|new| &*new.response_types);
            assert_eq!(made, response_types, "{grant:?}");
            assert!(new.is_none_or(|new| new.scope == "a b"));
        }
    }

    #[test]
    fn a_method_that_needs_a_key_becomes_basic_and_is_told() {
        use AuthMethod::{ClientSecretBasic, ClientSecretJwt, ClientSecretPost, PrivateKeyJwt};
        for (method, becomes, told) in [
            (None, ClientSecretBasic, 0),
            (Some(ClientSecretBasic), ClientSecretBasic, 0),
            (Some(ClientSecretPost), ClientSecretPost, 0),
            (Some(ClientSecretJwt), ClientSecretBasic, 1),
            (Some(PrivateKeyJwt), ClientSecretBasic, 1),
        ] {
            let asked = asked(&[GrantType::ClientCredentials], method);
            let new = new_client(&mark(), &asked).unwrap();
            assert_eq!(new.token_endpoint_auth_method, becomes.as_str());
            assert_eq!(adjustments(&asked).len(), told, "{method:?}");
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_whatever_else_the_metadata_holds() {
        let mark = mark();
        for metadata in [json!(null), json!({"theirs": [1], "a/b": "c"})] {
            let before = json!({"client_id": "c", "metadata": metadata});
            let after = patched(before.clone(), &marking(&client(&before), &mark).unwrap());
            assert_eq!(after["owner"], "dcr:i");
            assert_eq!(after["metadata"]["theirs"], metadata["theirs"]);
            assert_eq!(found(client(&after)).mark, Marked::Yes(mark.clone()));
            assert_eq!(found(client(&before)).mark, Marked::No);
        }
    }

    #[test]
    fn what_somebody_else_has_set_is_read_as_unmarked_and_never_replaced() {
        for theirs in [
            json!({"client_id": "c", "owner": "somebody"}),
            json!({"client_id": "c", "metadata": ["theirs"]}),
            json!({"client_id": "c", "metadata": "theirs"}),
        ] {
            let theirs = client(&theirs);
            let fault = marking(&theirs, &mark()).unwrap_err();
            assert_eq!(fault.kind(), &FaultKind::Conflict);
            assert_eq!(found(theirs).mark, Marked::No);
        }
        let odd = client(&json!({"client_id": "c", "metadata": ["theirs"]}));
        let update_of = |change| update(&odd, &change).map_err(|fault| fault.kind().clone());
        let name = Some(ClientName::parse("new").unwrap());
        let changed = update_of(ClientUpdate {
            name,
            ..ClientUpdate::default()
        });
        assert_eq!(changed.unwrap().len(), 1);
        let described = update_of(ClientUpdate {
            description: Some(Description::parse("new").unwrap()),
            ..ClientUpdate::default()
        });
        assert_eq!(described, Err(FaultKind::Conflict));
    }

    #[test]
    fn registrations_come_and_go_and_leave_what_was_there_before() {
        let grants = BTreeSet::from([
            OAuthGrant::Scope("own".to_owned()),
            OAuthGrant::Scope("timetable.read".to_owned()),
            OAuthGrant::Audience("aud".to_owned()),
        ]);
        let origin = Origin::default();
        let start = json!({"client_id": "c", "scope": "own", "audience": null, "metadata": {}});
        let (one, other) = (registration("api/1~x"), registration("2"));
        let with = |json: &Value, added| {
            patched(
                json.clone(),
                &register(&client(json), added, &grants, &origin).unwrap(),
            )
        };
        let both = with(&with(&start, &one), &other);
        assert_eq!(both["scope"], "own timetable.read");
        assert_eq!(both["audience"], json!(["aud"]));
        assert_eq!(found(client(&both)).registrations.len(), 2);
        let again = register(&client(&both), &one, &grants, &origin);
        assert!(again.unwrap().is_empty());

        let none = BTreeSet::new();
        let left = patched(
            both.clone(),
            &unregister(&client(&both), &one, &none).unwrap(),
        );
        assert_eq!(left["scope"], both["scope"]);
        assert!(found(client(&left)).registrations.contains(&other));
        let end = patched(
            left.clone(),
            &unregister(&client(&left), &other, &grants).unwrap(),
        );
        assert_eq!(end["scope"], "own");
        assert_eq!(end["audience"], json!([]));
        assert!(found(client(&end)).registrations.is_empty());
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let before = json!({
            "client_id": "c", "scope": "own", "client_name": "old", "redirect_uris": ["https://a.example/"],
            "metadata": {"konnect_description": "old"}
        });
        let update_of = |change: ClientUpdate| {
            patched(before.clone(), &update(&client(&before), &change).unwrap())
        };
        assert_eq!(update_of(ClientUpdate::default()), before);
        let mut renamed = before.clone();
        renamed["client_name"] = "new".into();
        let name = Some(ClientName::parse("new").unwrap());
        assert_eq!(
            update_of(ClientUpdate {
                name,
                ..ClientUpdate::default()
            }),
            renamed
        );
        let mut cleared = before.clone();
        cleared["redirect_uris"] = json!([]);
        let redirect_uris = Some(Vec::new());
        assert_eq!(
            update_of(ClientUpdate {
                redirect_uris,
                ..ClientUpdate::default()
            }),
            cleared
        );
    }
}
