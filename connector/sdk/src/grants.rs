//! Registrations become grants: the configuration maps audiences and entities to what the IdP has.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Audience, Entity, OpaqueId, Registration};

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
    /// Maps an audience to grants, beside those it is mapped to already.
    pub fn map_audience(&mut self, audience: Audience, grants: impl IntoIterator<Item = G>) {
        self.by_audience.entry(audience).or_default().extend(grants);
    }

    /// Maps an entity's id to grants, beside those it is mapped to already.
    pub fn map_entity(&mut self, id: OpaqueId, grants: impl IntoIterator<Item = G>) {
        self.by_entity.entry(id).or_default().extend(grants);
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
        map.map_audience(
            Audience::parse("https://ferry.example").unwrap(),
            ["read", "list"],
        );
        map.map_entity(OpaqueId::parse("b").unwrap(), ["write"]);
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
}
