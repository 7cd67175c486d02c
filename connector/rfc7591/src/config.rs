//! The section `idp` of the connector's configuration.

use std::path::PathBuf;

use dcr_connector::config::{Located, Problems};
use dcr_connector::http::{BaseUrl, Client, ClientAuthMethod};
use dcr_connector::model::{AuthMethod, RedirectUri};
use dcr_connector::store::{Store, StoreConfig};
use dcr_connector::{GrantMap, Settings, Subject, scope_names};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Rfc7591;
use crate::api::{Api, Endpoints, Management, OwnCredential, Registration};
use crate::behaviour::{Behaviour, PutSecret};
use crate::map::Mapping;

/// What the bridge changes, or must not lose, by an update.
const UPDATED: [&str; 4] = ["client_name", "grant_types", "redirect_uris", "scope"];
/// What is no metadata for every client, and what it is instead.
const OF_THEIR_OWN: [(&str, &str); 3] = [
    ("client_id", "is the server's to give"),
    ("client_secret", "is the server's to give"),
    (
        "software_statement",
        "is a credential: put it into a file, and name that in idp.software_statement_file",
    ),
];

/// The section `idp`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    issuer: Option<Located<String>>,
    registration_endpoint: Option<Located<String>>,
    token_endpoint: Option<Located<String>>,
    client_configuration_endpoint: Option<Located<String>>,
    ca_file: Option<Located<PathBuf>>,
    #[serde(default)]
    insecure_http: bool,
    registration: RegistrationSection,
    #[serde(default)]
    management: ManagementSection,
    #[serde(default)]
    behaviour: Behaviour,
    #[serde(default)]
    unauthorized_means: UnauthorizedMeans,
    template: Option<String>,
    software_statement_file: Option<Located<PathBuf>>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    not_sent_back: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods: Vec<Located<String>>,
    redirect_uri_if_none: Option<Located<String>>,
    longest_name: Option<usize>,
    longest_redirect_uri: Option<usize>,
    #[serde(default)]
    grants: Vec<Rule>,
    store: StoreConfig,
}

/// How a registration is authorised: one of the three.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationSection {
    initial_access_token_file: Option<Located<PathBuf>>,
    client_credentials: Option<CredentialSection>,
    #[serde(default)]
    token_valid_once: bool,
    #[serde(default)]
    open: bool,
}

/// How a client's registration is managed: by the token that came with it, unless one of these is given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManagementSection {
    client_credentials: Option<CredentialSection>,
    #[serde(default)]
    unsupported: bool,
}

/// A client of the connector's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialSection {
    client_id: String,
    client_secret_file: Located<PathBuf>,
    scope: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    token_endpoint_auth_method: ClientAuthMethod,
}

/// What a 401 to a call about a client says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnauthorizedMeans {
    /// That the token is not accepted, for a reason that an operator has to find.
    #[default]
    Refused,
    /// That the client is gone, as RFC 7592 section 2.1 has it.
    Gone,
}

/// What the registrations of an audience, or of one entity, grant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    audience: Option<Located<String>>,
    entity: Option<Located<String>>,
    #[serde(default)]
    scopes: Vec<Located<String>>,
}

impl Config {
    pub(crate) fn open(self, settings: &Settings) -> Result<Rfc7591, Problems> {
        let mut problems = settings.problems();
        let grants = grants(&self.grants, &mut problems);
        let auth_methods = auth_methods(&self.token_endpoint_auth_methods, &mut problems);
        let redirect_uri_if_none = self.redirect_uri_if_none.as_ref().and_then(|uri| {
            let path = "idp.redirect_uri_if_none";
            RedirectUri::parse(&uri.value)
                .map_err(|rule| problems.at(uri, path, rule.to_string()))
                .ok()
        });
        self.contradictions(&mut problems);
        let endpoints = self.endpoints(&mut problems);
        let registration = self.registration.open(settings, &mut problems);
        let management = self.management.open(settings, &mut problems);
        let software_statement = self.software_statement_file.as_ref().map(|file| {
            let path = "idp.software_statement_file";
            settings.secret_file(file, path, &mut problems)
        });
        let ca = self.ca_file.as_ref();
        let ca = ca.and_then(|file| settings.read(file, "idp.ca_file", &mut problems));
        let store = Store::open(&self.store, "idp.store", settings, &mut problems);
        let http = self.base(&mut problems).and_then(|base| {
            Client::new(base, ca.as_deref())
                .map_err(|rule| problems.anywhere("idp.ca_file", rule.to_string()))
                .ok()
        });
        let (Some(http), Some(registration), Some(management), Some(store)) =
            (http, registration, management, store)
        else {
            return Err(problems);
        };
        problems.or(Rfc7591 {
            api: Api::new(http, endpoints, registration, management),
            store,
            behaviour: self.behaviour,
            unauthorized_means: self.unauthorized_means,
            mapping: Mapping {
                template: self.template,
                software_statement: software_statement.flatten(),
                metadata: self.metadata,
                not_sent_back: self.not_sent_back,
                auth_methods,
                redirect_uri_if_none,
                longest_name: self.longest_name,
                longest_redirect_uri: self.longest_redirect_uri,
            },
            grants,
        })
    }

    /// What names the origin of all that is asked.
    fn base(&self, problems: &mut Problems) -> Option<BaseUrl> {
        let (path, url) = match (&self.registration_endpoint, &self.issuer) {
            (Some(url), _) => ("idp.registration_endpoint", url),
            (None, Some(url)) => ("idp.issuer", url),
            (None, None) => {
                let sentence = "neither idp.issuer nor idp.registration_endpoint is given: name the IdP by one of them";
                problems.anywhere("idp", sentence);
                return None;
            }
        };
        let base = BaseUrl::parse(&url.value, self.insecure_http)
            .map_err(|rule| problems.at(url, path, rule.to_string()))
            .ok()?;
        for (path, other) in [
            ("idp.issuer", &self.issuer),
            ("idp.token_endpoint", &self.token_endpoint),
            (
                "idp.client_configuration_endpoint",
                &self.client_configuration_endpoint,
            ),
        ] {
            let Some(other) = other else { continue };
            if base.same_origin(&other.value).is_err() {
                let sentence = format!(
                    "must be of the same origin as {}, for no credential goes elsewhere",
                    url.value
                );
                problems.at(other, path, sentence);
            }
        }
        Some(base)
    }

    fn endpoints(&self, problems: &mut Problems) -> Endpoints {
        let text = |url: &Option<Located<String>>| url.as_ref().map(|url| url.value.clone());
        let needs_tokens = self.registration.client_credentials.is_some()
            || self.management.client_credentials.is_some();
        if needs_tokens && self.token_endpoint.is_none() && self.issuer.is_none() {
            let sentence =
                "must be given where client_credentials are, unless idp.issuer leads to it";
            problems.anywhere("idp.token_endpoint", sentence);
        }
        Endpoints {
            issuer: text(&self.issuer),
            registration: text(&self.registration_endpoint),
            token: text(&self.token_endpoint),
            client_configuration: text(&self.client_configuration_endpoint),
        }
    }

    /// What cannot all be true, or be done, at once.
    fn contradictions(&self, problems: &mut Problems) {
        let behaviour = self.behaviour;
        let mut wrong = |path: &str, sentence: &str| problems.anywhere(path, sentence);
        let sends_the_secret = matches!(
            behaviour.put_secret,
            Some(PutSecret::KeptIfSent | PutSecret::MustBeSent)
        );
        if sends_the_secret && !behaviour.can_read() && !self.grants.is_empty() {
            let sentence = "needs idp.behaviour.get: nothing where the secret has to be sent back: it is read before";
            wrong("idp.grants", sentence);
        } else if self.management.unsupported && !self.grants.is_empty() {
            let sentence =
                "cannot be given to clients where idp.management is unsupported: remove the grants";
            wrong("idp.grants", sentence);
        } else if !self.grants.is_empty() && behaviour.update().is_none() {
            let sentence = "needs updates that leave the secret alone: say so in idp.behaviour.put_secret, as \
                            `check --probe` finds it, or remove the grants";
            wrong("idp.grants", sentence);
        }
        if self.management.unsupported && behaviour.delete.is_some_and(|_| behaviour.can_delete()) {
            let sentence =
                "must be unsupported where idp.management is: there is nothing to delete by";
            wrong("idp.behaviour.delete", sentence);
        }
        let is_for_all = self.management.client_credentials.is_some();
        if is_for_all && self.unauthorized_means == UnauthorizedMeans::Gone {
            let sentence = "must be refused where idp.management has client_credentials: a 401 is about their token there, and \
                            says nothing of a client";
            wrong("idp.unauthorized_means", sentence);
        }
        for member in &self.not_sent_back {
            if UPDATED.contains(&member.as_str()) {
                let sentence = format!(
                    "names {member}, which an update that leaves it out would take from every client"
                );
                wrong("idp.not_sent_back", &sentence);
            }
        }
        for (member, instead) in OF_THEIR_OWN {
            if self.metadata.contains_key(member) {
                let sentence = format!("has {member}, which {instead}");
                wrong("idp.metadata", &sentence);
            }
        }
        if self.template.is_some() && self.software_statement_file.is_some() {
            let sentence = "is not sent where idp.template is: remove one of them";
            wrong("idp.software_statement_file", sentence);
        }
    }
}

impl RegistrationSection {
    fn open(&self, settings: &Settings, problems: &mut Problems) -> Option<Registration> {
        let path = "idp.registration";
        if self.token_valid_once && self.client_credentials.is_none() {
            let sentence = "is about the tokens of client_credentials, which are not given";
            problems.anywhere("idp.registration.token_valid_once", sentence);
        }
        match (
            &self.initial_access_token_file,
            &self.client_credentials,
            self.open,
        ) {
            (Some(file), None, false) => {
                let path = "idp.registration.initial_access_token_file";
                let file = settings.secret_file(file, path, problems)?;
                Some(Registration::InitialAccessToken(file))
            }
            (None, Some(credential), false) => {
                let path = "idp.registration.client_credentials";
                Some(Registration::Credential {
                    credential: credential.open(settings, path, problems)?,
                    token_valid_once: self.token_valid_once,
                })
            }
            (None, None, true) => Some(Registration::Open),
            _ => {
                let sentence = "must have exactly one of initial_access_token_file, client_credentials and `open: true`";
                problems.anywhere(path, sentence);
                None
            }
        }
    }
}

impl ManagementSection {
    fn open(&self, settings: &Settings, problems: &mut Problems) -> Option<Management> {
        match (&self.client_credentials, self.unsupported) {
            (None, false) => Some(Management::RegistrationAccessToken),
            (None, true) => Some(Management::Unsupported),
            (Some(credential), false) => {
                let path = "idp.management.client_credentials";
                let credential = credential.open(settings, path, problems)?;
                Some(Management::Credential(credential))
            }
            (Some(_), true) => {
                let sentence = "must not have both client_credentials and `unsupported: true`";
                problems.anywhere("idp.management", sentence);
                None
            }
        }
    }
}

impl CredentialSection {
    fn open(
        &self,
        settings: &Settings,
        path: &str,
        problems: &mut Problems,
    ) -> Option<OwnCredential> {
        let path = format!("{path}.client_secret_file");
        let secret_file = settings.secret_file(&self.client_secret_file, &path, problems)?;
        Some(OwnCredential {
            client_id: self.client_id.clone(),
            secret_file,
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            auth_method: self.token_endpoint_auth_method,
        })
    }
}

/// Those that a client may have, the preferred one first.
fn auth_methods(methods: &[Located<String>], problems: &mut Problems) -> Vec<AuthMethod> {
    let mut known = Vec::new();
    for method in methods {
        match AuthMethod::from_name(&method.value) {
            Some(AuthMethod::PrivateKeyJwt) | None => {
                let sentence =
                    "must be client_secret_basic, client_secret_post or client_secret_jwt";
                problems.at(method, "idp.token_endpoint_auth_methods", sentence);
            }
            Some(method) => known.push(method),
        }
    }
    if known.is_empty() {
        known = vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
    }
    known
}

fn grants(rules: &[Rule], problems: &mut Problems) -> GrantMap<String> {
    let mut map = GrantMap::default();
    for (number, rule) in rules.iter().enumerate() {
        let path = format!("idp.grants[{number}]");
        let (audience, entity) = (rule.audience.as_ref(), rule.entity.as_ref());
        let subject = Subject::parse(audience, entity, &path, problems);
        let granted = scope_names(&rule.scopes, &format!("{path}.scopes"), problems);
        if rule.scopes.is_empty() {
            problems.anywhere(path, "grants nothing: name `scopes`, or remove it");
        }
        if let Some(subject) = subject {
            map.map(subject, granted);
        }
    }
    map
}
