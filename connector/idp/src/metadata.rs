//! What a client is registered with, and the rules it must keep.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::refusal::Refusal;
use crate::token::ADMIN_SCOPE;

/// Every attribute a client can hold.
const MAX_ATTRIBUTES: usize = 64;

/// The metadata of a client; also what a new one is asked for with, where `client_id` may be left to the server.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) client_id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) grant_types: Vec<GrantType>,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) audiences: Vec<String>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) token_endpoint_auth_method: Option<AuthMethod>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Metadata {
    /// A client that can use client_credentials, and bears its id as its name.
    pub(crate) fn plain(client_id: String) -> Self {
        Self {
            name: client_id.clone(),
            client_id,
            description: String::new(),
            redirect_uris: Vec::new(),
            grant_types: vec![GrantType::ClientCredentials],
            scopes: Vec::new(),
            audiences: Vec::new(),
            token_endpoint_auth_method: None,
            attributes: BTreeMap::new(),
        }
    }
}

/// The grant types of RFC 7591 section 2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrantType {
    AuthorizationCode,
    ClientCredentials,
    Implicit,
    Password,
    RefreshToken,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:saml2-bearer")]
    Saml2Bearer,
}

/// How a client may authenticate at the token endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMethod {
    ClientSecretBasic,
    ClientSecretPost,
}

/// What is to change. A list replaces the whole list; attributes are merged by key, and null deletes one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    description: Option<String>,
    #[serde(default, deserialize_with = "present")]
    redirect_uris: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    audiences: Option<Vec<String>>,
    #[serde(default)]
    attributes: BTreeMap<String, Option<String>>,
}

/// Refuses a null where a member may be absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

impl Patch {
    /// The metadata as it would be; whether it may be so is for `check`.
    pub(crate) fn of(self, mut old: Metadata) -> Metadata {
        for (key, value) in self.attributes {
            match value {
                Some(value) => old.attributes.insert(key, value),
                None => old.attributes.remove(&key),
            };
        }
        Metadata {
            name: self.name.unwrap_or(old.name),
            description: self.description.unwrap_or(old.description),
            redirect_uris: self.redirect_uris.unwrap_or(old.redirect_uris),
            scopes: self.scopes.unwrap_or(old.scopes),
            audiences: self.audiences.unwrap_or(old.audiences),
            ..old
        }
    }
}

impl Metadata {
    /// Checks every rule and tells everything that is wrong.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let rules = [
            (
                is_client_id(&self.client_id),
                "client_id: 1 to 255 of A-Z a-z 0-9 - . _ ~, not . or ..",
            ),
            (
                !self.name.trim().is_empty()
                    && is_text(&self.name, 255)
                    && !self.name.contains(char::is_control),
                "name: 1 to 255 characters, not blank, no control characters",
            ),
            (
                is_text(&self.description, 255),
                "description: at most 255 characters, no control characters but line breaks and tabs",
            ),
            (
                are_all(&self.redirect_uris, 32, is_redirect_uri),
                "redirect_uris: at most 32 different absolute URIs of at most 2048 characters without fragment",
            ),
            (
                !self.grant_types.is_empty() && are_all(&self.grant_types, 7, |_| true),
                "grant_types: at least one, none twice",
            ),
            (
                are_all(&self.scopes, 128, |s| is_scope(s)),
                "scopes: at most 128 different scope tokens of at most 128 characters",
            ),
            (
                !self.scopes.iter().any(|s| s == ADMIN_SCOPE),
                "scopes: admin is reserved",
            ),
            (
                are_all(&self.audiences, 128, |a| is_token(a, 255)),
                "audiences: at most 128 different ones of at most 255 printable ASCII characters",
            ),
            (
                self.attributes
                    .iter()
                    .all(|(k, v)| !k.is_empty() && is_text(k, 255) && is_text(v, 16 * 1024)),
                "attributes: keys of 1 to 255 and values of at most 16384 characters, no control characters but line breaks and tabs",
            ),
        ];
        let broken: Vec<&str> = rules
            .into_iter()
            .filter(|(kept, _)| !kept)
            .map(|(_, rule)| rule)
            .collect();
        if !broken.is_empty() {
            return Err(Refusal::invalid_request(&broken.join("; ")));
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            let description = "a client holds at most 64 attributes";
            return Err(Refusal::conflict("attribute_limit", description));
        }
        Ok(())
    }
}

fn are_all<T: Ord>(values: &[T], most: usize, legal: impl Fn(&T) -> bool) -> bool {
    let different: BTreeSet<&T> = values.iter().collect();
    values.len() <= most && different.len() == values.len() && values.iter().all(legal)
}

fn is_client_id(id: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    (1..=255).contains(&id.len()) && id.bytes().all(legal) && id != "." && id != ".."
}

fn is_text(text: &str, most: usize) -> bool {
    let breaks = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    text.chars().count() <= most && !text.contains(breaks)
}

fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// RFC 6749 section 3.3.
fn is_scope(text: &str) -> bool {
    is_token(text, 128) && !text.contains(['"', '\\'])
}

/// RFC 6749 section 3.1.2: an absolute URI without fragment, in the characters of RFC 3986.
#[expect(
    clippy::ptr_arg,
    reason = "passed where a rule for the elements of a list is wanted"
)]
fn is_redirect_uri(uri: &String) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let in_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    is_token(uri, 2048)
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && !rest.contains(['#', '"', '<', '>', '\\', '^', '`', '{', '|', '}'])
}
