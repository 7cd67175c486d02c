//! Konnect's JSON exactly as it is on the wire, into and out of the model.
//!
//! Reading is tolerant, as field practice demands (`read`); writing is strict: the members of Konnect's
//! specification and no other (`write`). Konnect's own words (`bearer`, `test portal_id`) end here. Pure functions,
//! no clock and no log: what was odd about a request is handed back as [`Oddities`].

mod application;
mod event;
mod read;
mod secret;
mod write;

pub(crate) use application::{created, new_client};
pub(crate) use event::{Event, event};
pub(crate) use secret::{added, listed, rotated};

use dcr_contract::model::Field;

/// Whether a member of this name is in one of Konnect's bodies.
pub(crate) fn is_member(name: &str) -> bool {
    application::MEMBERS.contains(&name) || event::MEMBERS.contains(&name)
}

/// What a request held that nobody understands. None of it fails a call; all of it is counted.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    /// Members that are in no version of the specification we know.
    pub(crate) unknown_members: Vec<String>,
    /// Members of which a value was ignored: an unknown grant type, an id that cannot be an id.
    pub(crate) ignored_values: Vec<&'static str>,
}

/// Which of Konnect's two bodies a field was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// `ApplicationPayload`; also for calls without a body.
    Application,
    /// `EventHook`.
    Event,
}

/// Konnect's name for a field.
pub(crate) const fn name_of(field: Field, body: Body) -> &'static str {
    match field {
        Field::Name => match body {
            Body::Application => "client_name",
            Body::Event => "application_name",
        },
        Field::Description => "application_description",
        Field::RedirectUris => "redirect_uris",
        Field::GrantTypes => "grant_types",
        Field::Scopes => "scopes",
        Field::TokenEndpointAuthMethod => "token_endpoint_auth_method",
        Field::ClientId => "client_id",
        Field::SecretId => "secret_id",
        Field::Entity => "api_product_version_id (or api_id, entity_id)",
        Field::Audience => "audience",
        // Not Konnect's: who breaks them is a connector or ourselves.
        Field::Origin | Field::Operation | Field::Caller | Field::Page | Field::Request => {
            "the request"
        }
    }
}
