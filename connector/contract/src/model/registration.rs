//! Registrations: what an application is registered for.

use super::{Audience, OpaqueId};

/// One registration of a client. Konnect names the entity, and for some APIs an audience.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registration {
    /// What the client is registered for.
    pub entity: Entity,
    /// The audience of the API, where Konnect tells one.
    pub audience: Option<Audience>,
}

/// An API of Konnect's. Two entities are the same when id and kind are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity {
    /// Konnect's id.
    pub id: OpaqueId,
    /// What the id is of.
    pub kind: EntityKind,
}

/// What an entity's id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityKind {
    /// `api_product_version_id`.
    ApiProductVersion,
    /// `api_id`.
    Api,
    /// `entity_id`.
    Other,
}

/// What a registration call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationChange {
    /// Registrations or grants were changed.
    Changed,
    /// Everything was as asked already.
    Unchanged,
    /// The configuration maps the entity and its audience to nothing.
    NotMapped,
}
