//! What a client is made of, and what becomes of it.

use std::fmt;

use jiff::Timestamp;

use super::{ClientId, ClientName, ClientSecret, Description, OpaqueId, RedirectUri, Scope};
use super::{SecretId, Sentence};

/// What a connector is asked to create. Always a confidential client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    /// The application's name.
    pub name: ClientName,
    /// Its description; `None` and empty mean the same.
    pub description: Option<Description>,
    /// Where authorization codes may be sent; may be empty, even with `authorization_code`.
    pub redirect_uris: Vec<RedirectUri>,
    /// The grants the client may use; never empty.
    pub grant_types: Vec<GrantType>,
    /// The scopes it may ask for.
    pub scopes: Vec<Scope>,
    /// A hint: the connector's policy decides.
    pub token_endpoint_auth_method: Option<AuthMethod>,
    /// Where the application comes from.
    pub origin: Origin,
    /// Whether Konnect's Verify asks: the client is marked as a probe and may be removed after 10 minutes.
    pub probe: bool,
}

/// What Konnect said about where an application comes from; all opaque, none required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in Konnect's contract")]
pub struct Origin {
    pub organization_id: Option<OpaqueId>,
    pub portal_id: Option<OpaqueId>,
    pub developer_id: Option<OpaqueId>,
    pub auth_strategy_id: Option<OpaqueId>,
    pub dcr_provider_id: Option<OpaqueId>,
    pub application_id: Option<OpaqueId>,
}

impl Origin {
    /// What is known as named text attributes of at most 128 characters each, for whoever looks at the client in the IdP.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("konnect_organization_id", &self.organization_id),
            ("konnect_portal_id", &self.portal_id),
            ("konnect_developer_id", &self.developer_id),
            ("konnect_auth_strategy_id", &self.auth_strategy_id),
            ("konnect_dcr_provider_id", &self.dcr_provider_id),
            ("konnect_application_id", &self.application_id),
        ]
        .into_iter()
        .filter_map(|(name, id)| Some((name, id.as_ref()?.as_str())))
    }
}

/// What is to change; `None` means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientUpdate {
    /// The new name.
    pub name: Option<ClientName>,
    /// The new description; empty clears it.
    pub description: Option<Description>,
    /// The new redirect URIs, replacing all.
    pub redirect_uris: Option<Vec<RedirectUri>>,
    /// Where the application comes from.
    pub origin: Origin,
}

/// What was created; holds the only copy of the secret.
#[derive(Debug)]
pub struct CreatedClient {
    /// The client's id.
    pub client_id: ClientId,
    /// Its first secret.
    pub secret: ClientSecret,
    /// The secret's id where the IdP has one.
    pub secret_id: Option<SecretId>,
    /// When the client was made.
    pub issued_at: Option<Timestamp>,
    /// When the secret stops working; `None`: never.
    pub secret_expires_at: Option<Timestamp>,
    /// What was done differently from what was asked.
    pub adjustments: Vec<Adjustment>,
}

/// Something that was done differently from what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// What was adjusted.
    pub field: Field,
    /// What was done and why.
    pub sentence: Sentence,
}

/// What a delete did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The client is gone.
    Deleted,
    /// It was not there.
    Absent,
    /// It is not the bridge's to delete and stays.
    LeftInPlace,
}

/// A grant type as registered with IANA. Konnect's own words (`bearer`) end in the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as in the IANA registry")]
pub enum GrantType {
    AuthorizationCode,
    ClientCredentials,
    RefreshToken,
    Implicit,
    Password,
    JwtBearer,
    TokenExchange,
    DeviceCode,
}

impl NewClient {
    /// The most redirect URIs of a client.
    pub const MAX_REDIRECT_URIS: usize = 20;
    /// The most scopes of a client: Konnect's own limit.
    pub const MAX_SCOPES: usize = 50;
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AuthorizationCode,
        Self::ClientCredentials,
        Self::RefreshToken,
        Self::Implicit,
        Self::Password,
        Self::JwtBearer,
        Self::TokenExchange,
        Self::DeviceCode,
    ];

    /// IANA's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::Implicit => "implicit",
            Self::Password => "password",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }

    /// Reads IANA's spelling; `None` when it is none of these.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|g| g.as_str() == name)
    }
}

/// How a client authenticates at the token endpoint (RFC 7591 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in the IANA registry")]
pub enum AuthMethod {
    ClientSecretBasic,
    ClientSecretPost,
    ClientSecretJwt,
    PrivateKeyJwt,
}

impl AuthMethod {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::ClientSecretJwt,
        Self::PrivateKeyJwt,
    ];

    /// IANA's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// Reads IANA's spelling; `None` when it is none of these.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

/// A field that can be violated or adjusted. The wire and Konnect each have a name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in the contract")]
pub enum Field {
    Name,
    Description,
    RedirectUris,
    GrantTypes,
    Scopes,
    TokenEndpointAuthMethod,
    Origin,
    ClientId,
    SecretId,
    Entity,
    Audience,
    Operation,
    Caller,
    Page,
    /// The request as a whole.
    Request,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Name,
        Self::Description,
        Self::RedirectUris,
        Self::GrantTypes,
        Self::Scopes,
        Self::TokenEndpointAuthMethod,
        Self::Origin,
        Self::ClientId,
        Self::SecretId,
        Self::Entity,
        Self::Audience,
        Self::Operation,
        Self::Caller,
        Self::Page,
        Self::Request,
    ];

    /// The name in `connector.proto`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::RedirectUris => "redirect_uris",
            Self::GrantTypes => "grant_types",
            Self::Scopes => "scopes",
            Self::TokenEndpointAuthMethod => "token_endpoint_auth_method",
            Self::Origin => "origin",
            Self::ClientId => "client_id",
            Self::SecretId => "secret_id",
            Self::Entity => "entity",
            Self::Audience => "audience",
            Self::Operation => "operation",
            Self::Caller => "caller",
            Self::Page => "page_token",
            Self::Request => "request",
        }
    }

    /// Reads the name in `connector.proto`; what is unknown concerns the request as a whole.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|f| f.as_str() == name)
            .unwrap_or(Self::Request)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
