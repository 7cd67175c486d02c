//! The section `idp` of the connector's configuration.

use std::path::PathBuf;

use dcr_connector::config::{Located, Problems};
use dcr_connector::http::{BaseUrl, Client, ClientAuthMethod, ClientCredentials, TokenEndpoint};
use dcr_connector::{GrantMap, OAuthRule, Settings};
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
    grants: Vec<OAuthRule>,
}

impl Config {
    pub(crate) fn open(self, settings: &Settings) -> Result<Memory, Problems> {
        let mut problems = settings.problems();
        let grants = GrantMap::of_rules(&self.grants, "idp.grants", &mut problems);
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
        let http = match Client::new(base, None) {
            Ok(http) => http,
            Err(rule) => {
                problems.anywhere("idp", rule.to_string());
                return Err(problems);
            }
        };
        let credentials = ClientCredentials {
            token_endpoint: TokenEndpoint::Below(vec!["token".to_owned()]),
            client_id: self.client_id.clone(),
            secret_file: secret,
            scope: Some("admin".to_owned()),
            audience: None,
            auth_method: ClientAuthMethod::default(),
        };
        problems.or(Memory {
            http: http.authorized_by(credentials),
            own_client_id: self.client_id,
            grants,
        })
    }
}
