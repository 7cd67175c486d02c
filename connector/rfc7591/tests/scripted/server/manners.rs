//! What servers do differently, as a table.

use serde_json::{Map, Value, json};

/// How a registration is authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// By one token, again and again.
    InitialAccessToken,
    /// By an access token with the scope `dcr`, which is good for one registration.
    ScopeOnce,
    /// By nothing.
    Open,
}

/// What a GET does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Get {
    Nothing,
    NewToken,
    NewTokenAndSecret,
    Unsupported,
}

/// What a PUT does to the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutSecret {
    Kept,
    KeptIfSent,
    MustBeSent,
    New,
    Unsupported,
}

/// One server.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of what is so and what is not"
)]
pub(crate) struct Manners {
    pub(crate) registration_path: &'static str,
    pub(crate) token_path: &'static str,
    pub(crate) registration: Registration,
    /// Whether an access token with the scope `dcrm` manages every client.
    pub(crate) dcrm: bool,
    /// Whether what `dcrm` does replaces secrets as what a registration token does.
    pub(crate) dcrm_rotates: bool,
    pub(crate) get: Get,
    pub(crate) put_secret: PutSecret,
    pub(crate) put_replaces_token: bool,
    pub(crate) can_delete: bool,
    /// Whether a registration comes with what it is managed by.
    pub(crate) is_managed: bool,
    /// 200 where the RFCs have 201 and 204.
    pub(crate) says_200: bool,
    /// Doubles the slashes of what it names.
    pub(crate) doubles_slashes: bool,
    /// Answers a GET with a list where a text belongs, and does not take it back.
    pub(crate) lists_auth_method: bool,
    /// Wants a redirect URI of every client.
    pub(crate) wants_redirect_uri: bool,
    /// Members that a GET does not tell.
    pub(crate) get_leaves_out: &'static [&'static str],
    /// Members that a PUT does not tell.
    pub(crate) put_leaves_out: &'static [&'static str],
    /// Whether a PUT leaves redirect URIs out that a POST takes, and says nothing of it.
    pub(crate) put_drops_redirect_uris: bool,
    /// Whether it refuses every update, and says what it was.
    pub(crate) repeats_what_it_refuses: bool,
    /// Whether its discovery document names the token endpoint.
    pub(crate) names_token_endpoint: bool,
    /// Whether the secret before opens tokens, too (Curity's rotated-secret-ttl).
    pub(crate) old_secret_lives_on: bool,
    /// Whether a registration comes without a secret.
    pub(crate) gives_no_secret: bool,
    /// Members that it answers with of its own, and wants back.
    pub(crate) own_members: Map<String, Value>,
    /// The grant types that it gives.
    pub(crate) grant_types: &'static [&'static str],
    /// The scopes that it has.
    pub(crate) scopes: &'static [&'static str],
    /// How long a secret lives, in seconds; 0: for ever.
    pub(crate) secret_lives: i64,
    /// What `software_id` names, and what its instances are.
    pub(crate) template: Option<(&'static str, Map<String, Value>)>,
    /// Whether clients may be described by their registrants.
    pub(crate) non_templatised: bool,
    /// Where it says that a client's registration is, whatever is true.
    pub(crate) claims_uri: Option<String>,
}

impl Default for Manners {
    /// What the RFCs have, and nothing else.
    fn default() -> Self {
        Self {
            registration_path: "/register",
            token_path: "/token",
            registration: Registration::InitialAccessToken,
            dcrm: false,
            dcrm_rotates: false,
            get: Get::Nothing,
            put_secret: PutSecret::Kept,
            put_replaces_token: false,
            can_delete: true,
            is_managed: true,
            says_200: false,
            doubles_slashes: false,
            lists_auth_method: false,
            wants_redirect_uri: false,
            get_leaves_out: &[],
            put_leaves_out: &[],
            put_drops_redirect_uris: false,
            repeats_what_it_refuses: false,
            names_token_endpoint: true,
            old_secret_lives_on: false,
            gives_no_secret: false,
            own_members: object(&json!({"unheard_of": {"level": [1, 2.5]}})),
            grant_types: &[
                "authorization_code",
                "client_credentials",
                "refresh_token",
                "implicit",
            ],
            scopes: &["orders:read", "orders:write", "ferries"],
            secret_lives: 0,
            template: None,
            non_templatised: true,
            claims_uri: None,
        }
    }
}

impl Manners {
    /// The token of a client is good for one call, and its answer has the next.
    pub(crate) fn tokens_once() -> Self {
        Self {
            get: Get::NewToken,
            put_replaces_token: true,
            ..Self::default()
        }
    }

    /// An update without the secret makes a new one, and every update a new token.
    pub(crate) fn secret_sent_back() -> Self {
        Self {
            put_secret: PutSecret::KeptIfSent,
            put_replaces_token: true,
            ..Self::default()
        }
    }

    /// Every update makes a new secret, and much is said in another way than the RFCs have it.
    pub(crate) fn always_a_new_secret() -> Self {
        Self {
            put_secret: PutSecret::New,
            says_200: true,
            doubles_slashes: true,
            lists_auth_method: true,
            ..Self::default()
        }
    }

    /// Curity's, as its documentation has it: with the token of a registration, GET and PUT make a new token and a new
    /// secret; initial tokens have the scope `dcr` and are good for one registration; `dcrm` manages every client.
    pub(crate) fn curity() -> Self {
        Self {
            registration_path: "/token-service/oauth-registration",
            token_path: "/oauth/v2/oauth-token",
            registration: Registration::ScopeOnce,
            dcrm: true,
            get: Get::NewTokenAndSecret,
            put_secret: PutSecret::New,
            put_replaces_token: true,
            own_members: object(&json!({"require_proof_key": false, "subject_type": "public"})),
            template: Some((
                "template-client",
                object(&json!({
                    "client_name": "Template", "grant_types": ["client_credentials"], "scope": "ferries",
                    "token_endpoint_auth_method": "client_secret_basic", "software_id": "template-client",
                })),
            )),
            ..Self::default()
        }
    }
}

pub(crate) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}
