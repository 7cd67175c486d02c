//! Registrations become grants: the configuration maps audiences and entities to what the IdP has.

mod oauth;

use std::collections::{BTreeMap, BTreeSet};

pub use oauth::{Before, Granted, OAuthGrant, OAuthRule};
use serde::{Deserialize, Serialize};

use crate::config::{Located, Problems};
use crate::model::{Audience, Entity, EntityKind, OpaqueId, Registration, Scope};

/// What the names of attributes that keep a registration begin with.
const ATTRIBUTE: &str = "dcr_registration:";
/// The kinds of entities in those names.
const KINDS: [(EntityKind, &str); 3] = [
    (EntityKind::ApiProductVersion, "api_product_version"),
    (EntityKind::Api, "api"),
    (EntityKind::Other, "entity"),
];

/// The value of an attribute that keeps a registration: JSON, since an IdP may take an empty text for none.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<std::borrow::Cow<'a, str>>,
}

/// The registrations of a client, one per entity, as kept with the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registrations(BTreeMap<Entity, Option<Audience>>);

impl Registrations {
    /// Whether the entity is registered with this audience.
    #[must_use]
    pub fn contains(&self, registration: &Registration) -> bool {
        self.0.get(&registration.entity) == Some(&registration.audience)
    }

    /// The registration of an entity.
    #[must_use]
    pub fn of(&self, entity: &Entity) -> Option<Registration> {
        let (entity, audience) = self.0.get_key_value(entity)?;
        Some(Registration {
            entity: entity.clone(),
            audience: audience.clone(),
        })
    }

    /// Adds a registration; that of the same entity is replaced.
    pub fn insert(&mut self, registration: Registration) {
        self.0.insert(registration.entity, registration.audience);
    }

    /// Removes the registration of an entity.
    pub fn remove(&mut self, entity: &Entity) {
        self.0.remove(entity);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Registration> {
        self.0.iter().map(|(entity, audience)| Registration {
            entity: entity.clone(),
            audience: audience.clone(),
        })
    }

    /// The name of the text attribute that keeps an entity's registration, at most 165 characters.
    #[must_use]
    pub fn attribute_name(entity: &Entity) -> String {
        let kind = KINDS.into_iter().find(|(kind, _)| *kind == entity.kind);
        format!(
            "{ATTRIBUTE}{}:{}",
            kind.map_or("entity", |(_, name)| name),
            entity.id
        )
    }

    /// Name and value of the text attribute that keeps a registration, for IdPs that keep such with a client: one
    /// attribute for each, so that concurrent changes of two do not undo each other. The value has at most 300
    /// characters.
    #[must_use]
    pub fn attribute(registration: &Registration) -> (String, String) {
        let audience = registration.audience.as_ref().map(|a| a.as_str().into());
        let value = serde_json::to_string(&Kept { audience }).unwrap_or_default();
        (Self::attribute_name(&registration.entity), value)
    }

    /// Reads all attributes of a client; what keeps no registration, or was edited into nonsense, is none.
    pub fn from_attributes<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let read = |(name, value): (&str, &str)| {
            let (kind, id) = name.strip_prefix(ATTRIBUTE)?.split_once(':')?;
            let (kind, _) = KINDS.into_iter().find(|(_, known)| *known == kind)?;
            let kept: Kept<'_> = serde_json::from_str(value).ok()?;
            Some(Registration {
                entity: Entity {
                    id: OpaqueId::parse(id).ok()?,
                    kind,
                },
                audience: kept
                    .audience
                    .map(|a| Audience::parse(&a))
                    .transpose()
                    .ok()?,
            })
        };
        attributes.into_iter().filter_map(read).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Registration> for Registrations {
    fn from_iter<I: IntoIterator<Item = Registration>>(registrations: I) -> Self {
        Self(
            registrations
                .into_iter()
                .map(|r| (r.entity, r.audience))
                .collect(),
        )
    }
}

/// What one rule of a connector's configuration maps to grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every registration with this audience.
    Audience(Audience),
    /// The registration of this entity.
    Entity(OpaqueId),
}

impl Subject {
    /// Reads the members `audience` and `entity` of the rule at `path`, of which there must be exactly one; what is
    /// wrong is noted.
    pub fn parse(
        audience: Option<&Located<String>>,
        entity: Option<&Located<String>>,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let (member, text, parsed) = match (audience, entity) {
            (Some(text), None) => {
                let parsed = Audience::parse(&text.value).map(Self::Audience);
                ("audience", text, parsed)
            }
            (None, Some(text)) => {
                let parsed = OpaqueId::parse(&text.value).map(Self::Entity);
                ("entity", text, parsed)
            }
            (Some(text), Some(_)) => {
                problems.at(
                    text,
                    path,
                    "has both `audience` and `entity`: make two rules of it",
                );
                return None;
            }
            (None, None) => {
                problems.anywhere(
                    path,
                    "has neither `audience` nor `entity`: name one of them",
                );
                return None;
            }
        };
        parsed
            .map_err(|rule| problems.at(text, format!("{path}.{member}"), rule.to_string()))
            .ok()
    }
}

/// The scopes that the member at `path` of a rule names; what is no scope (RFC 6749 section 3.3) is noted.
pub fn scope_names(scopes: &[Located<String>], path: &str, problems: &mut Problems) -> Vec<String> {
    let mut names = Vec::with_capacity(scopes.len());
    for scope in scopes {
        match Scope::parse(&scope.value) {
            Ok(scope) => names.push(scope.to_string()),
            Err(rule) => problems.at(scope, path, rule.to_string()),
        }
    }
    names
}

/// The operator's map from what Konnect registers to what the IdP grants. `G` is one grant of this IdP: a scope, a
/// role, a policy.
#[derive(Debug, Clone)]
pub struct GrantMap<G> {
    by_audience: BTreeMap<Audience, BTreeSet<G>>,
    by_entity: BTreeMap<OpaqueId, BTreeSet<G>>,
}

impl<G> Default for GrantMap<G> {
    fn default() -> Self {
        Self {
            by_audience: BTreeMap::new(),
            by_entity: BTreeMap::new(),
        }
    }
}

impl<G: Ord + Clone> GrantMap<G> {
    /// Maps an audience or an entity to grants, beside those it is mapped to already.
    pub fn map(&mut self, subject: Subject, grants: impl IntoIterator<Item = G>) {
        match subject {
            Subject::Audience(audience) => self.by_audience.entry(audience).or_default(),
            Subject::Entity(id) => self.by_entity.entry(id).or_default(),
        }
        .extend(grants);
    }

    /// What a registration grants: its audience's and its entity's grants together; empty when it is not mapped.
    #[must_use]
    pub fn grants(&self, registration: &Registration) -> BTreeSet<G> {
        let by_audience = registration
            .audience
            .as_ref()
            .and_then(|a| self.by_audience.get(a));
        let by_entity = self.by_entity.get(&registration.entity.id);
        by_audience
            .into_iter()
            .chain(by_entity)
            .flatten()
            .cloned()
            .collect()
    }

    /// What all registrations grant together.
    #[must_use]
    pub fn needed(&self, registrations: &Registrations) -> BTreeSet<G> {
        registrations.iter().flat_map(|r| self.grants(&r)).collect()
    }

    /// What is to be taken away when a registration ends: what today's configuration grants for it and the
    /// remaining ones do not need.
    #[must_use]
    pub fn freed(&self, removed: &Registration, remaining: &Registrations) -> BTreeSet<G> {
        let needed = self.needed(remaining);
        self.grants(removed)
            .into_iter()
            .filter(|grant| !needed.contains(grant))
            .collect()
    }

    /// Every grant of the map, for checks against the IdP.
    #[must_use]
    pub fn all(&self) -> BTreeSet<G> {
        self.by_audience
            .values()
            .chain(self.by_entity.values())
            .flatten()
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntityKind;

    fn registration(id: &str, audience: Option<&str>) -> Registration {
        Registration {
            entity: Entity {
                id: OpaqueId::parse(id).unwrap(),
                kind: EntityKind::Api,
            },
            audience: audience.map(|a| Audience::parse(a).unwrap()),
        }
    }

    fn map() -> GrantMap<&'static str> {
        let mut map = GrantMap::default();
        let ferry = Audience::parse("https://ferry.example").unwrap();
        map.map(Subject::Audience(ferry), ["read", "list"]);
        map.map(Subject::Entity(OpaqueId::parse("b").unwrap()), ["write"]);
        map
    }

    #[test]
    fn two_apis_of_one_audience_do_not_undo_each_other() {
        let (a, b) = ("https://ferry.example", "https://ferry.example");
        let (first, second) = (registration("a", Some(a)), registration("b", Some(b)));
        let remaining = Registrations::from_iter([second.clone()]);
        assert!(map().freed(&first, &remaining).is_empty());
        assert_eq!(
            map().freed(&second, &Registrations::from_iter([first])),
            ["write"].into()
        );
    }

    #[test]
    fn what_is_not_mapped_grants_nothing() {
        assert!(
            map()
                .grants(&registration("c", Some("https://other.example")))
                .is_empty()
        );
        assert!(map().grants(&registration("c", None)).is_empty());
        let both = map().grants(&registration("b", Some("https://ferry.example")));
        assert_eq!(both, ["list", "read", "write"].into());
    }

    #[test]
    fn an_entity_is_registered_once() {
        let mut all = Registrations::default();
        all.insert(registration("a", None));
        all.insert(registration("a", Some("https://ferry.example")));
        assert_eq!(all.len(), 1);
        assert!(all.contains(&registration("a", Some("https://ferry.example"))));
        all.remove(&registration("a", None).entity);
        assert!(all.is_empty());
    }

    #[test]
    fn a_registration_is_read_as_it_was_kept() {
        for kind in [
            EntityKind::ApiProductVersion,
            EntityKind::Api,
            EntityKind::Other,
        ] {
            for audience in [None, Some("https://ferry.example/\"x\"")] {
                let mut kept = registration("test id: with colons", audience);
                kept.entity.kind = kind;
                let (name, value) = Registrations::attribute(&kept);
                assert!(!value.is_empty() && name.len() <= 165);
                let read = Registrations::from_attributes([(&*name, &*value), ("other", "{}")]);
                assert_eq!(read.iter().collect::<Vec<_>>(), [kept]);
            }
        }
    }

    #[test]
    fn what_keeps_no_registration_is_none() {
        for (name, value) in [
            ("dcr_registration:api:", "{}"),
            ("dcr_registration:api:a", ""),
            ("dcr_registration:api:a", "{\"audience\":\"a b\"}"),
            ("dcr_registration:unheard-of:a", "{}"),
            ("dcr_operation", "{}"),
        ] {
            assert!(
                Registrations::from_attributes([(name, value)]).is_empty(),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn a_rule_is_about_one_thing() {
        let one = || Some(Located::from("a".to_owned()));
        for (audience, entity, legal) in [
            (one(), None, true),
            (None, one(), true),
            (one(), one(), false),
            (None, None, false),
            (Some(Located::from("a b".to_owned())), None, false),
        ] {
            let mut problems = Problems::in_file("f");
            let subject = Subject::parse(
                audience.as_ref(),
                entity.as_ref(),
                "idp.grants[0]",
                &mut problems,
            );
            assert_eq!((subject.is_some(), problems.is_empty()), (legal, legal));
        }
    }
}
