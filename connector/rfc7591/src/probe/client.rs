//! A client that is made to learn from: registered, tried at the token endpoint, and removed again.

use dcr_connector::fault::Fault;
use dcr_connector::http::{ClientAuthMethod, Method, StatusCode};
use dcr_connector::model::{AuthMethod, ClientName, GrantType, NewClient, Origin, Severity};
use secrecy::SecretString;
use serde_json::Value;

use super::{NAME, Probe, failed};
use crate::api::Management;
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

impl Probe<'_> {
    /// Makes a client that can be removed again.
    pub(super) async fn register(&mut self, method: Option<AuthMethod>) -> Option<Client> {
        let made = self.try_register(method).await;
        let information = match made {
            Ok(information) => information,
            Err(fault) => {
                self.findings.push(failed(
                    "NOT_REGISTERED",
                    "No client could be registered",
                    &fault,
                ));
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
        let (Ok(uri), Some(secret)) = (&uri, &information.client_secret) else {
            let why = uri
                .err()
                .map_or("it came without client_secret".to_owned(), |e| {
                    e.to_string()
                });
            let sentence =
                format!("The server's clients cannot be managed: {why}; see idp.management.");
            self.found(Severity::Error, "NOT_MANAGEABLE", &sentence);
            self.left_behind(&information.client_id, "see above");
            return None;
        };
        let mut client = Client {
            id: information.client_id.clone(),
            secret: secret.clone(),
            uri: uri.clone(),
            token: information.registration_access_token.clone(),
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
        let answer = match self.manage(client, Method::DELETE, None).await {
            Ok(answer) => answer,
            Err(fault) => {
                self.left_behind(&client.id, &fault.to_string());
                return None;
            }
        };
        let delete = match answer.status() {
            StatusCode::NO_CONTENT => Delete::Answers204,
            StatusCode::OK => Delete::Answers200,
            status => {
                self.left_behind(&client.id, answer.fault().message());
                let is_unsupported =
                    status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED;
                return is_unsupported.then_some(Delete::Unsupported);
            }
        };
        if self.opens(client, &client.secret).await == Some(true) {
            let sentence = "The server deleted the client, and its secret still opens tokens: look for a cache there.";
            self.found(Severity::Warning, "DELETED_STILL_OPENS", sentence);
        }
        Some(delete)
    }

    fn left_behind(&mut self, client_id: &str, why: &str) {
        let sentence =
            format!("The client {client_id} stays behind: delete it at the server ({why}).");
        self.found(Severity::Error, "LEFT_BEHIND", &sentence);
    }
}
