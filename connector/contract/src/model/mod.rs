//! The nouns of the bridge, valid by construction.
//!
//! A value that exists is usable: ids fit into a path, redirect URIs are safe, texts are printable. Each
//! type's `parse` is the only way in, for requests and for what IdPs answer alike.

mod call;
mod client;
mod describe;
mod id;
mod managed;
mod redirect_uri;
mod registration;
mod secret;
mod text;

pub use call::{Call, Caller, Deadline};
pub use client::{
    Adjustment, AuthMethod, ClientUpdate, CreatedClient, Deletion, Field, GrantType, NewClient,
    Origin,
};
pub use describe::{CONTRACT_MINOR, Capability, ConnectorInfo, Finding, Severity};
pub use id::{ClientId, Installation, OperationId, ProviderId, Reference, SecretId};
pub use managed::{Abort, AbortTarget, ManagedClient, ManagedClients, Page};
pub use redirect_uri::RedirectUri;
pub use registration::{Entity, EntityKind, Registration, RegistrationChange};
pub use secret::{AddedSecret, ClientSecret, Removal, RotatedSecret, SecretMetadata, SecretStatus};
pub use text::{Audience, ClientName, Description, OpaqueId, Scope, Sentence};

pub(crate) use text::printable;

/// Says what is wrong with a value; never repeats the value itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) String);

impl Malformed {
    /// Makes one from the end of a sentence that begins with the name of the field: "must …".
    pub fn new(predicate: impl Into<String>) -> Self {
        Self(predicate.into())
    }
}
