//! The section `idp` of the connector's configuration.

use std::path::PathBuf;

use dcr_connector::config::{Located, Problems};
use dcr_connector::http::{BaseUrl, Client};
use dcr_connector::{GrantMap, OAuthRule, Settings};
use serde::Deserialize;

use crate::Hydra;
use crate::api::Api;

/// The section `idp`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    admin_url: Located<String>,
    /// A bearer token for what stands before the admin API; Hydra itself asks for none.
    token_file: Option<Located<PathBuf>>,
    ca_file: Option<Located<PathBuf>>,
    #[serde(default)]
    insecure_http: bool,
    #[serde(default)]
    grants: Vec<OAuthRule>,
}

impl Config {
    pub(crate) fn open(self, settings: &Settings) -> Result<Hydra, Problems> {
        let mut problems = settings.problems();
        let grants = GrantMap::of_rules(&self.grants, "idp.grants", &mut problems);
        let base = BaseUrl::parse(&self.admin_url.value, self.insecure_http)
            .map_err(|rule| problems.at(&self.admin_url, "idp.admin_url", rule.to_string()));
        let ca = self
            .ca_file
            .as_ref()
            .and_then(|file| settings.read(file, "idp.ca_file", &mut problems));
        let token = self
            .token_file
            .as_ref()
            .and_then(|file| settings.secret_file(file, "idp.token_file", &mut problems))
            // Read once: a change of the file makes a new connector of this value.
            .and_then(|file| file.read().ok());
        let Ok(base) = base else {
            return Err(problems);
        };
        match Client::new(base, ca.as_deref()) {
            Ok(http) => problems.or(Hydra {
                api: Api::new(http, token),
                grants,
            }),
            Err(rule) => {
                problems.anywhere("idp.ca_file", rule.to_string());
                Err(problems)
            }
        }
    }
}
