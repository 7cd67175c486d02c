//! The section `idp` of the connector's configuration.

use std::path::PathBuf;

use dcr_connector::config::{Located, Problems};
use dcr_connector::http::{BaseUrl, Client, ClientAuthMethod, ClientCredentials, TokenEndpoint};
use dcr_connector::model::{Audience, Malformed, Scope};
use dcr_connector::{GrantMap, SecretFile, Settings, Subject};
use serde::Deserialize;

use crate::Memory;

/// The section `idp`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    base_url: Located<String>,
    client_id: String,
    client_secret_file: Located<PathBuf>,
    #[serde(default)]
    grants: Vec<Rule>,
}

/// What the registrations of an audience, or of one entity, grant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    audience: Option<Located<String>>,
    entity: Option<Located<String>>,
    #[serde(default)]
    scopes: Vec<Located<String>>,
    #[serde(default)]
    audiences: Vec<Located<String>>,
}

/// What a client can be granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// A scope that it may ask for.
    Scope(String),
    /// An audience of its tokens.
    Audience(String),
}

impl Config {
    pub(crate) fn open(self, settings: &Settings) -> Result<Memory, Problems> {
        let mut problems = settings.problems();
        let grants = grants(&self.grants, &mut problems);
        let base = BaseUrl::parse(&self.base_url.value, false)
            .map_err(|rule| problems.at(&self.base_url, "idp.base_url", rule.to_string()));
        let secret = settings.secret_file(
            &self.client_secret_file,
            "idp.client_secret_file",
            &mut problems,
        );
        let (Ok(base), Some(secret)) = (base, secret) else {
            return Err(problems);
        };
        match memory(base, self.client_id, secret, grants) {
            Ok(memory) => problems.or(memory),
            Err(rule) => {
                problems.anywhere("idp", rule.to_string());
                Err(problems)
            }
        }
    }
}

/// The connector with its HTTP client.
pub(crate) fn memory(
    base: BaseUrl,
    client_id: String,
    secret_file: SecretFile,
    grants: GrantMap<Grant>,
) -> Result<Memory, Malformed> {
    let credentials = ClientCredentials {
        token_endpoint: TokenEndpoint::Below(vec!["token".to_owned()]),
        client_id: client_id.clone(),
        secret_file,
        scope: Some("admin".to_owned()),
        audience: None,
        auth_method: ClientAuthMethod::default(),
    };
    Ok(Memory {
        http: Client::new(base, None)?.authorized_by(credentials),
        own_client_id: client_id,
        grants,
    })
}

fn grants(rules: &[Rule], problems: &mut Problems) -> GrantMap<Grant> {
    let mut map = GrantMap::default();
    for (number, rule) in rules.iter().enumerate() {
        let path = format!("idp.grants[{number}]");
        let (audience, entity) = (rule.audience.as_ref(), rule.entity.as_ref());
        let subject = Subject::parse(audience, entity, &path, problems);
        let mut granted = Vec::new();
        for scope in &rule.scopes {
            match Scope::parse(&scope.value) {
                Ok(scope) => granted.push(Grant::Scope(scope.to_string())),
                Err(rule) => problems.at(scope, format!("{path}.scopes"), rule.to_string()),
            }
        }
        for audience in &rule.audiences {
            match Audience::parse(&audience.value) {
                Ok(audience) => granted.push(Grant::Audience(audience.to_string())),
                Err(rule) => problems.at(audience, format!("{path}.audiences"), rule.to_string()),
            }
        }
        if rule.scopes.is_empty() && rule.audiences.is_empty() {
            problems.anywhere(
                path,
                "grants nothing: name `scopes` or `audiences`, or remove it",
            );
        }
        if let Some(subject) = subject {
            map.map(subject, granted);
        }
    }
    map
}
