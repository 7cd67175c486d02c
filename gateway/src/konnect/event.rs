//! `EventHook` in.

use dcr_contract::model::{
    Audience, ClientId, ClientName, ClientUpdate, Description, Entity, EntityKind, Field, OpaqueId,
    Origin, Registration,
};
use dcr_contract::{Fault, Violations};

use super::Oddities;
use super::application::{origin, redirect_uris};
use super::read::{Members, Text};

pub(super) const MEMBERS: &[&str] = &[
    "event_type",
    "client_id",
    "application_id",
    "application_name",
    "application_description",
    "portal_id",
    "organization_id",
    "developer_id",
    "auth_strategy_id",
    "dcr_provider_id",
    "redirect_uris",
    "audience",
    "api_product_version_id",
    "api_id",
    "entity_id",
];

/// The members that may name what an application is registered for, the published one first.
const ENTITIES: [(&str, EntityKind); 3] = [
    ("api_product_version_id", EntityKind::ApiProductVersion),
    ("api_id", EntityKind::Api),
    ("entity_id", EntityKind::Other),
];

/// What happened in Konnect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `update_application`.
    Updated(ClientUpdate),
    /// `add_registration`.
    Registered(Registration, Origin),
    /// `remove_registration`.
    Deregistered(Registration, Origin),
    /// An event we do not know, by its name.
    Unknown(String),
}

impl Event {
    /// Where it comes from; not known of events that nobody knows.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Updated(update) => Some(&update.origin),
            Self::Registered(_, origin) | Self::Deregistered(_, origin) => Some(origin),
            Self::Unknown(_) => None,
        }
    }
}

/// Reads an event about the client that the path names.
///
/// # Errors
/// `Invalid` with every violation; a `client_id` that is not the path's is one.
pub(crate) fn event(
    body: &[u8],
    client_id: &ClientId,
    oddities: &mut Oddities,
) -> Result<Event, Fault> {
    let mut members = Members::read(body, MEMBERS, oddities)?;
    let mut v = Violations::default();

    if let Some(id) = members.text("client_id").given(Field::ClientId, &mut v)
        && id != client_id.as_str()
    {
        v.note(Field::ClientId, "must be the client of the path");
    }
    let event_type = match members.text("event_type") {
        Text::Given(name) if !name.is_empty() => name,
        _ => {
            v.note(Field::Request, "must have an event_type");
            return Err(v.into_fault());
        }
    };
    let event = match event_type.as_str() {
        "update_application" => Some(Event::Updated(update(&mut members, &mut v, oddities))),
        "add_registration" => registration(&mut members, &mut v)
            .map(|r| Event::Registered(r, origin(&mut members, oddities))),
        "remove_registration" => registration(&mut members, &mut v)
            .map(|r| Event::Deregistered(r, origin(&mut members, oddities))),
        _ => Some(Event::Unknown(event_type)),
    };
    match event {
        Some(event) if v.is_empty() => Ok(event),
        _ => Err(v.into_fault()),
    }
}

/// What is not said stays as it is. A description that is null is none, as in Konnect's own answers.
fn update(members: &mut Members, v: &mut Violations, oddities: &mut Oddities) -> ClientUpdate {
    let name = members.text("application_name").given(Field::Name, v);
    let description = match members.text("application_description") {
        Text::Null => Some(String::new()),
        text => text.given(Field::Description, v),
    };
    ClientUpdate {
        name: v.check_optional(Field::Name, name.map(|n| ClientName::parse(&n))),
        description: v.check_optional(
            Field::Description,
            description.map(|d| Description::parse(&d)),
        ),
        redirect_uris: redirect_uris(members.list("redirect_uris"), v),
        origin: origin(members, oddities),
    }
}

fn registration(members: &mut Members, v: &mut Violations) -> Option<Registration> {
    let audience = members
        .text("audience")
        .given(Field::Audience, v)
        .filter(|text| !text.is_empty())
        .and_then(|text| v.check(Field::Audience, Audience::parse(&text)));
    for (name, kind) in ENTITIES {
        let id = members.text(name);
        if matches!(id, Text::Missing | Text::Null) {
            continue;
        }
        let id = id.given(Field::Entity, v)?;
        let id = v.check(Field::Entity, OpaqueId::parse(&id))?;
        return Some(Registration {
            entity: Entity { id, kind },
            audience,
        });
    }
    v.note(Field::Entity, "must be given");
    None
}

#[cfg(test)]
mod tests {
    use dcr_contract::FaultKind;

    use super::*;

    fn read(body: &str) -> Result<Event, Vec<Field>> {
        let id = ClientId::parse("c-1").unwrap();
        event(body.as_bytes(), &id, &mut Oddities::default()).map_err(|fault| match fault.kind() {
            FaultKind::Invalid(violations) => violations.iter().map(|v| v.field).collect(),
            other => panic!("{other:?}"),
        })
    }

    fn updated(body: &str) -> ClientUpdate {
        match read(body) {
            Ok(Event::Updated(update)) => update,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_update_changes_what_it_names() {
        let update = updated(
            r#"{"event_type":"update_application","client_id":"c-1","application_id":"app",
                "application_name":"New","application_description":"","redirect_uris":["https://a.example"]}"#,
        );
        assert_eq!(update.name.unwrap().as_str(), "New");
        assert_eq!(update.description.unwrap().as_str(), "");
        assert_eq!(update.redirect_uris.unwrap().len(), 1);
        assert_eq!(update.origin.application_id.unwrap().as_str(), "app");

        let nothing = updated(r#"{"event_type":"update_application"}"#);
        assert_eq!(nothing, ClientUpdate::default());

        let nulls = updated(
            r#"{"event_type":"update_application","application_name":null,
                "application_description":null,"redirect_uris":null}"#,
        );
        assert_eq!(nulls.name, None);
        assert_eq!(nulls.description.unwrap().as_str(), "");
        assert_eq!(nulls.redirect_uris, None);

        let emptied = updated(r#"{"event_type":"update_application","redirect_uris":[]}"#);
        assert_eq!(emptied.redirect_uris, Some(Vec::new()));
    }

    #[test]
    fn a_registration_may_name_its_entity_in_three_ways() {
        for (name, kind) in ENTITIES {
            let body = format!(
                r#"{{"event_type":"add_registration","{name}":"e-1","audience":"https://api.example"}}"#
            );
            let Ok(Event::Registered(registration, _)) = read(&body) else {
                panic!("{body}");
            };
            assert_eq!(registration.entity.id.as_str(), "e-1");
            assert_eq!(registration.entity.kind, kind);
            assert_eq!(
                registration.audience.unwrap().as_str(),
                "https://api.example"
            );
        }
        let body = r#"{"event_type":"remove_registration","api_product_version_id":null,"api_id":"e","audience":null}"#;
        assert!(matches!(read(body), Ok(Event::Deregistered(r, _)) if r.audience.is_none()));
    }

    #[test]
    fn an_unknown_event_is_no_failure() {
        let body = r#"{"event_type":"archive_application","client_id":"c-1"}"#;
        assert_eq!(
            read(body),
            Ok(Event::Unknown("archive_application".to_owned()))
        );
    }

    #[test]
    fn every_violation_is_told_at_once() {
        let cases: [(&str, &[Field]); 7] = [
            (
                r#"{"client_id":"other"}"#,
                &[Field::ClientId, Field::Request],
            ),
            (r#"{"event_type":null}"#, &[Field::Request]),
            (r#"{"event_type":[]}"#, &[Field::Request]),
            (
                r#"{"event_type":"anything","client_id":"other"}"#,
                &[Field::ClientId],
            ),
            (r#"{"event_type":"add_registration"}"#, &[Field::Entity]),
            (
                r#"{"event_type":"add_registration","audience":"a b","entity_id":{}}"#,
                &[Field::Audience, Field::Entity],
            ),
            (
                r#"{"event_type":"update_application","client_id":"other","application_name":"",
                    "redirect_uris":["http://a.example"]}"#,
                &[Field::ClientId, Field::Name, Field::RedirectUris],
            ),
        ];
        for (body, fields) in cases {
            assert_eq!(read(body).unwrap_err(), fields, "{body}");
        }
    }
}
