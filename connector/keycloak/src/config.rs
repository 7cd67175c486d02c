//! The section `idp` of the connector's configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dcr_connector::config::{Located, Problems};
use dcr_connector::http::{BaseUrl, Client, ClientAuthMethod, ClientCredentials, TokenEndpoint};
use dcr_connector::{GrantMap, Settings, Subject, scope_names};
use serde::Deserialize;

use crate::Keycloak;
use crate::api::Api;

/// The section `idp`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    base_url: Located<String>,
    realm: Located<String>,
    client_id: String,
    client_secret_file: Located<PathBuf>,
    ca_file: Option<Located<PathBuf>>,
    #[serde(default)]
    insecure_http: bool,
    #[serde(default)]
    missing_scopes: MissingScopes,
    #[serde(default)]
    grants: Vec<Rule>,
}

/// What becomes of a requested scope that the realm does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingScopes {
    /// The create is refused.
    #[default]
    Refuse,
    /// A client scope of this name is made.
    Create,
}

/// What the registrations of an audience, or of one entity, grant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    audience: Option<Located<String>>,
    entity: Option<Located<String>>,
    #[serde(default)]
    default_scopes: Vec<Located<String>>,
    #[serde(default)]
    optional_scopes: Vec<Located<String>>,
    #[serde(default)]
    client_roles: BTreeMap<String, Vec<String>>,
}

/// What a client can be granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// A client scope whose claims are in every token.
    DefaultScope(String),
    /// A client scope that the client may ask for.
    OptionalScope(String),
    /// A role of another client, for the service account.
    Role(Role),
}

/// A role of a client, both by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Role {
    pub(crate) client_id: String,
    pub(crate) name: String,
}

impl Config {
    pub(crate) fn open(self, settings: &Settings) -> Result<Keycloak, Problems> {
        let mut problems = settings.problems();
        let grants = grants(&self.grants, &mut problems);
        if self.realm.value.is_empty() || self.realm.value.contains('/') {
            let sentence = "must be the name of a realm, as in /realms/NAME";
            problems.at(&self.realm, "idp.realm", sentence);
        }
        let base = BaseUrl::parse(&self.base_url.value, self.insecure_http)
            .map_err(|rule| problems.at(&self.base_url, "idp.base_url", rule.to_string()));
        let ca = self
            .ca_file
            .as_ref()
            .and_then(|file| settings.read(file, "idp.ca_file", &mut problems));
        let secret = settings.secret_file(
            &self.client_secret_file,
            "idp.client_secret_file",
            &mut problems,
        );
        let (Ok(base), Some(secret)) = (base, secret) else {
            return Err(problems);
        };
        let http = match Client::new(base, ca.as_deref()) {
            Ok(http) => http,
            Err(rule) => {
                problems.anywhere("idp.ca_file", rule.to_string());
                return Err(problems);
            }
        };
        let realm = self.realm.value;
        let endpoint = ["realms", &realm, "protocol", "openid-connect", "token"];
        let credentials = ClientCredentials {
            token_endpoint: TokenEndpoint::Below(endpoint.map(str::to_owned).to_vec()),
            client_id: self.client_id.clone(),
            secret_file: secret,
            scope: None,
            audience: None,
            auth_method: ClientAuthMethod::default(),
        };
        problems.or(Keycloak {
            api: Api::new(http.authorized_by(credentials), realm),
            own_client_id: self.client_id,
            missing_scopes: self.missing_scopes,
            grants,
        })
    }
}

fn grants(rules: &[Rule], problems: &mut Problems) -> GrantMap<Grant> {
    let mut map = GrantMap::default();
    for (number, rule) in rules.iter().enumerate() {
        let path = format!("idp.grants[{number}]");
        let (audience, entity) = (rule.audience.as_ref(), rule.entity.as_ref());
        let subject = Subject::parse(audience, entity, &path, problems);
        let mut granted = Vec::new();
        for (member, scopes, grant) in [
            (
                "default_scopes",
                &rule.default_scopes,
                Grant::DefaultScope as fn(String) -> Grant,
            ),
            (
                "optional_scopes",
                &rule.optional_scopes,
                Grant::OptionalScope,
            ),
        ] {
            let scopes = scope_names(scopes, &format!("{path}.{member}"), problems);
            granted.extend(scopes.into_iter().map(grant));
        }
        for (client_id, names) in &rule.client_roles {
            granted.extend(names.iter().map(|name| {
                Grant::Role(Role {
                    client_id: client_id.clone(),
                    name: name.clone(),
                })
            }));
        }
        if granted.is_empty() {
            let sentence = "grants nothing: name default_scopes, optional_scopes or client_roles";
            problems.anywhere(path, sentence);
        }
        if let Some(subject) = subject {
            map.map(subject, granted);
        }
    }
    map
}
