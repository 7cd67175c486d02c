//! A client that is made to learn from: registered, tried at the token endpoint, and removed again.

use dcr_connector::fault::{Fault, Outcome};
use dcr_connector::http::{ClientAuthMethod, Method, StatusCode};
use dcr_connector::model::{
    AuthMethod, ClientName, Deadline, GrantType, NewClient, Origin, Severity,
};
use secrecy::SecretString;
use serde_json::Value;

use super::{NAME, PATIENCE, Probe, UNSUPPORTED, failed};
use crate::api::{Management, Place};
use crate::behaviour::Delete;
use crate::create::REGISTERED;
use crate::metadata::{Information, Metadata};

/// A client made to learn from.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) uri: String,
    pub(super) token: Option<SecretString>,
    pub(super) metadata: Metadata,
    /// How its secret is tried; `None` where that tells nothing.
    tried_by: Option<ClientAuthMethod>,
}

impl Client {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            uri: &self.uri,
            token: self.token.as_ref(),
        }
    }
}

impl Probe<'_> {
    /// Makes a client that can be removed again.
    pub(super) async fn register(&mut self, method: Option<AuthMethod>) -> Option<Client> {
        let made = self.try_register(method).await;
        let information = match made {
            Ok(information) => information,
            Err(fault) if fault.done() == Outcome::NotApplied => {
                self.findings.push(failed(
                    "NOT_REGISTERED",
                    "No client could be registered",
                    &fault,
                ));
                return None;
            }
            Err(fault) => {
                let what = format!(
                    "Whether a client was registered is not known: look for one named \"{NAME}\" at the server, and delete it"
                );
                self.findings
                    .push(failed("MAY_BE_LEFT_BEHIND", &what, &fault));
                return None;
            }
        };
        tracing::info!(
            client_id = information.client_id,
            "a client was registered to learn from; it is removed in the end"
        );
        let api = &self.idp.api;
        let is_by_token = matches!(api.management(), Management::RegistrationAccessToken);
        let uri = match &information.registration_client_uri {
            Some(uri) => api.client_uri(self.server, uri),
            None if is_by_token => Err(Fault::internal("it came without registration_client_uri")),
            None => api.usual_uri(self.server, &information.client_id),
        };
        let uri = match uri {
            Ok(_) if is_by_token && information.registration_access_token.is_none() => {
                Err(Fault::internal("it came without registration_access_token"))
            }
            uri => uri,
        };
        let uri = match uri {
            Ok(uri) => uri,
            Err(fault) => {
                let why = fault.message();
                let sentence =
                    format!("The server's clients cannot be managed: {why}; see idp.management.");
                self.found(Severity::Error, "NOT_MANAGEABLE", &sentence);
                self.left_behind(&information.client_id, "see above");
                return None;
            }
        };
        let token = information.registration_access_token.as_ref();
        let Some(secret) = &information.client_secret else {
            let sentence = "The server made a client without a secret, which is of no use to Konnect: see \
                            idp.token_endpoint_auth_methods.";
            self.found(Severity::Error, "NO_SECRET", sentence);
            let place = Place { uri: &uri, token };
            self.remove(&information.client_id, place).await;
            return None;
        };
        let mut client = Client {
            id: information.client_id.clone(),
            secret: secret.clone(),
            token: token.cloned(),
            uri,
            metadata: information.metadata(),
            tried_by: None,
        };
        self.first_token(&mut client, method).await;
        Some(client)
    }

    async fn try_register(&self, method: Option<AuthMethod>) -> Result<Information, Fault> {
        let name = ClientName::parse(NAME)
            .map_err(|rule| Fault::internal(format!("the name of a client {rule}")))?;
        let body = self.idp.mapping.registration(&NewClient {
            name,
            description: None,
            redirect_uris: Vec::new(),
            grant_types: vec![GrantType::ClientCredentials],
            scopes: Vec::new(),
            token_endpoint_auth_method: method,
            origin: Origin::default(),
            probe: true,
        })?;
        let register = self.idp.api.register(self.soon(), self.server, &body);
        register.await?.expect(REGISTERED)?.json()
    }

    /// Whether the new secret opens a token, and by which method.
    async fn first_token(&mut self, client: &mut Client, asked: Option<AuthMethod>) {
        let stored = client.metadata.get("token_endpoint_auth_method");
        let stored = stored.and_then(Value::as_str).map(str::to_owned);
        let method = stored.or(asked.map(|method| method.as_str().to_owned()));
        let method = method.unwrap_or("client_secret_basic".to_owned());
        let by = match method.as_str() {
            "client_secret_basic" => ClientAuthMethod::ClientSecretBasic,
            "client_secret_post" => ClientAuthMethod::ClientSecretPost,
            _ => return,
        };
        client.tried_by = Some(by);
        match self.opens(client, &client.secret).await {
            Some(true) => {
                let sentence =
                    format!("A new client authenticates at the token endpoint by {method}.");
                self.found(Severity::Ok, "AUTH_METHOD", &sentence);
            }
            Some(false) => {
                client.tried_by = None;
                let sentence = format!(
                    "A new client's secret opens no token by {method}, without a scope of its own: what becomes of secrets \
                     is learned from the server's answers alone."
                );
                self.found(Severity::Warning, "NO_TOKEN", &sentence);
            }
            None => client.tried_by = None,
        }
        let other = asked.filter(|asked| asked.as_str() != method);
        if let Some(other) = other {
            let sentence = format!(
                "The server makes {method} of {}: leave that out of idp.token_endpoint_auth_methods.",
                other.as_str()
            );
            self.found(Severity::Warning, "AUTH_METHOD_CHANGED", &sentence);
        }
    }

    /// Whether a secret is the client's; `None` where that cannot be told.
    pub(super) async fn opens(&self, client: &Client, secret: &SecretString) -> Option<bool> {
        let (by, endpoint) = (client.tried_by?, self.server.token_endpoint.as_ref()?);
        let scope = client.metadata.get("scope").and_then(Value::as_str);
        let http = self.idp.api.http();
        let pair = (client.id.as_str(), secret);
        let answer = http
            .try_secret(self.soon(), endpoint, by, pair, scope)
            .await
            .ok()?;
        // A scope is looked at when the secret was right.
        let is_about_the_scope = || {
            let complaint = answer.complaint().unwrap_or_default();
            complaint.starts_with("invalid_scope")
        };
        Some(answer.status() == StatusCode::OK || is_about_the_scope())
    }

    /// Removes the client, or names it.
    pub(super) async fn delete(&mut self, client: &Client) -> Option<Delete> {
        let delete = self.remove(&client.id, client.place()).await;
        let is_deleted = delete.is_some_and(|delete| delete != Delete::Unsupported);
        if is_deleted && self.opens(client, &client.secret).await == Some(true) {
            let sentence = "The server deleted the client, and its secret still opens tokens: look for a cache there.";
            self.found(Severity::Warning, "DELETED_STILL_OPENS", sentence);
        }
        delete
    }

    async fn remove(&mut self, client_id: &str, place: Place<'_>) -> Option<Delete> {
        let api = &self.idp.api;
        // Whatever time the rest has taken.
        let deadline = Deadline::after(PATIENCE);
        let asked = api.manage(deadline, self.server, Method::DELETE, place, None);
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(fault) => {
                self.left_behind(client_id, &fault.to_string());
                return None;
            }
        };
        match answer.status() {
            StatusCode::NO_CONTENT => Some(Delete::Answers204),
            StatusCode::OK => Some(Delete::Answers200),
            status => {
                self.left_behind(client_id, answer.fault().message());
                UNSUPPORTED.contains(&status).then_some(Delete::Unsupported)
            }
        }
    }

    fn left_behind(&mut self, client_id: &str, why: &str) {
        let sentence =
            format!("The client {client_id} stays behind: delete it at the server ({why}).");
        self.found(Severity::Error, "LEFT_BEHIND", &sentence);
    }
}
