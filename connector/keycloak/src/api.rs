//! Keycloak's Admin REST API: its JSON and paths.

use std::collections::BTreeMap;
use std::fmt;

use dcr_connector::fault::{Fault, Outcome, Reason, Violation};
use dcr_connector::http::{Answer, Client as Http, Request, StatusCode};
use dcr_connector::model::{Deadline, Field, Malformed};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const OK: &[StatusCode] = &[StatusCode::OK];
const DONE: &[StatusCode] = &[StatusCode::NO_CONTENT];
const DONE_OR_ABSENT: &[StatusCode] = &[StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];

/// One realm.
#[derive(Debug)]
pub(crate) struct Api {
    http: Http,
    realm: String,
}

/// A client as Keycloak shows it. It may hold secrets, so nothing prints it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "named as in Keycloak's JSON")]
pub struct Client {
    /// Keycloak's own name for it, which every path needs.
    pub(crate) id: String,
    pub(crate) client_id: String,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) default_client_scopes: Vec<String>,
    #[serde(default)]
    pub(crate) optional_client_scopes: Vec<String>,
    #[serde(default)]
    pub(crate) service_accounts_enabled: bool,
    #[serde(default)]
    pub(crate) full_scope_allowed: bool,
    pub(crate) authorization_services_enabled: Option<bool>,
    /// Read after a create only.
    pub(crate) secret: Option<SecretString>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What a new client is asked for with. What is left out is the realm's choice.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "named as in Keycloak's JSON")]
pub(crate) struct NewClient<'a> {
    pub(crate) client_id: String,
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) enabled: bool,
    pub(crate) protocol: &'static str,
    pub(crate) public_client: bool,
    pub(crate) client_authenticator_type: &'static str,
    pub(crate) standard_flow_enabled: bool,
    pub(crate) implicit_flow_enabled: bool,
    pub(crate) direct_access_grants_enabled: bool,
    pub(crate) service_accounts_enabled: bool,
    pub(crate) full_scope_allowed: bool,
    pub(crate) redirect_uris: Vec<&'a str>,
    pub(crate) attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_client_scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) optional_client_scopes: Option<Vec<String>>,
}

/// A client scope, or a role: what is needed to name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// How a client scope belongs to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assigned {
    Default,
    Optional,
}

impl Assigned {
    fn segment(self) -> &'static str {
        match self {
            Self::Default => "default-client-scopes",
            Self::Optional => "optional-client-scopes",
        }
    }
}

/// To whom roles are given: to the service account, and to the client, whose tokens else leave them out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder<'a> {
    User(&'a str),
    ScopeOf(&'a str),
}

impl Api {
    pub(crate) fn new(http: Http, realm: String) -> Self {
        Self { http, realm }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// What the issuer of the realm's tokens is called, seen from here.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/realms/{}", self.http.base(), self.realm)
    }

    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        [&["admin", "realms", &*self.realm][..], rest].concat()
    }

    fn get(&self, rest: &[&str]) -> Request<'_> {
        self.http.get(&self.path(rest))
    }

    /// The realm's discovery document.
    pub(crate) async fn discovery(&self, deadline: Deadline) -> Result<Answer, Fault> {
        let path = ["realms", &self.realm, ".well-known", "openid-configuration"];
        self.http.get(&path).send_anonymously(deadline).await
    }

    /// The client of exactly this client id.
    pub(crate) async fn find(
        &self,
        deadline: Deadline,
        client_id: &str,
    ) -> Result<Option<Client>, Fault> {
        let request = self.get(&["clients"]).query("clientId", client_id);
        let found: Vec<Client> = request.send(deadline).await?.expect(OK)?.json()?;
        Ok(found
            .into_iter()
            .find(|client| client.client_id == client_id))
    }

    /// All clients of the realm, page by page.
    pub(crate) async fn list(
        &self,
        deadline: Deadline,
        first: usize,
        max: usize,
    ) -> Result<Vec<Client>, Fault> {
        let request = self
            .get(&["clients"])
            .query("first", &first)
            .query("max", &max);
        request.send(deadline).await?.expect(OK)?.json()
    }

    /// Creates a client and tells Keycloak's own name for it.
    pub(crate) async fn create(
        &self,
        deadline: Deadline,
        client: &NewClient<'_>,
    ) -> Result<String, Fault> {
        let request = self.http.create(&self.path(&["clients"])).json(client);
        let answer = request.send(deadline).await?;
        match answer.status() {
            StatusCode::CREATED => {}
            // The client id is derived from the operation's id, which therefore was here before.
            StatusCode::CONFLICT => return Err(answer.fault().reason(Reason::OperationRepeated)),
            StatusCode::BAD_REQUEST => return Err(refused(&answer)),
            _ => return Err(answer.fault()),
        }
        let location = answer
            .header("location")
            .and_then(|url| url.rsplit('/').next());
        location.map(str::to_owned).ok_or_else(|| {
            let fault = Fault::internal("a client was created and its Location not told");
            fault
                .reason(Reason::IdpAnswerUnusable)
                .outcome(Outcome::Unknown)
        })
    }

    /// A client by Keycloak's own name.
    pub(crate) async fn read(&self, deadline: Deadline, id: &str) -> Result<Client, Fault> {
        self.get(&["clients", id])
            .send(deadline)
            .await?
            .expect(OK)?
            .json()
    }

    /// Changes members of a client and no others, so that two replicas do not undo each other. Attributes are merged by name, an empty one is removed.
    pub(crate) async fn update(
        &self,
        deadline: Deadline,
        client: &Client,
        members: Map<String, Value>,
    ) -> Result<(), Fault> {
        let mut body = Map::new();
        body.insert("id".to_owned(), client.id.clone().into());
        body.insert("clientId".to_owned(), client.client_id.clone().into());
        // Keycloak leaves alone what is left out, but for these two, which it would switch off.
        body.insert(
            "serviceAccountsEnabled".to_owned(),
            client.service_accounts_enabled.into(),
        );
        let authorization = client.authorization_services_enabled;
        if let Some(enabled) = authorization {
            body.insert("authorizationServicesEnabled".to_owned(), enabled.into());
        }
        body.extend(members);
        let request = self
            .http
            .put(&self.path(&["clients", &client.id]))
            .json(&body);
        let answer = request.send(deadline).await?.of_client()?;
        match answer.status() {
            StatusCode::BAD_REQUEST => Err(refused(&answer)),
            _ => answer.expect(DONE).map(drop),
        }
    }

    pub(crate) async fn delete(&self, deadline: Deadline, id: &str) -> Result<(), Fault> {
        let request = self.http.delete(&self.path(&["clients", id]));
        request
            .send(deadline)
            .await?
            .expect(DONE_OR_ABSENT)
            .map(drop)
    }

    /// Makes a new secret.
    pub(crate) async fn rotate(&self, deadline: Deadline, id: &str) -> Result<SecretString, Fault> {
        #[derive(Deserialize)]
        struct Credential {
            value: SecretString,
        }
        let request = self
            .http
            .post(&self.path(&["clients", id, "client-secret"]));
        let answer = request.send(deadline).await?.of_client()?;
        let Credential { value } = answer.expect(OK)?.json()?;
        Ok(value)
    }

    /// Removes the secret before the current one, which only a client policy keeps.
    pub(crate) async fn forget_rotated(&self, deadline: Deadline, id: &str) -> Result<(), Fault> {
        let path = self.path(&["clients", id, "client-secret", "rotated"]);
        let answer = self.http.delete(&path).send(deadline).await?;
        answer.expect(DONE_OR_ABSENT).map(drop)
    }

    /// All client scopes of the realm.
    pub(crate) async fn scopes(&self, deadline: Deadline) -> Result<Vec<Named>, Fault> {
        self.get(&["client-scopes"])
            .send(deadline)
            .await?
            .expect(OK)?
            .json()
    }

    /// What a new client is assigned by the realm.
    pub(crate) async fn realm_scopes(
        &self,
        deadline: Deadline,
        assigned: Assigned,
    ) -> Result<Vec<Named>, Fault> {
        let segment = match assigned {
            Assigned::Default => "default-default-client-scopes",
            Assigned::Optional => "default-optional-client-scopes",
        };
        self.get(&[segment])
            .send(deadline)
            .await?
            .expect(OK)?
            .json()
    }

    /// Makes a client scope that stands in tokens under its name; one that is there already is as good.
    pub(crate) async fn create_scope(&self, deadline: Deadline, name: &str) -> Result<(), Fault> {
        let scope = serde_json::json!({
            "name": name,
            "protocol": "openid-connect",
            "attributes": { "include.in.token.scope": "true", "display.on.consent.screen": "false" },
        });
        let request = self.http.post(&self.path(&["client-scopes"])).json(&scope);
        let answer = request.send(deadline).await?;
        answer
            .expect(&[StatusCode::CREATED, StatusCode::CONFLICT])
            .map(drop)
    }

    pub(crate) async fn assign_scope(
        &self,
        deadline: Deadline,
        id: &str,
        scope_id: &str,
        assigned: Assigned,
    ) -> Result<(), Fault> {
        let path = self.path(&["clients", id, assigned.segment(), scope_id]);
        self.http
            .put(&path)
            .send(deadline)
            .await?
            .expect(DONE)
            .map(drop)
    }

    pub(crate) async fn withdraw_scope(
        &self,
        deadline: Deadline,
        id: &str,
        scope_id: &str,
        assigned: Assigned,
    ) -> Result<(), Fault> {
        let path = self.path(&["clients", id, assigned.segment(), scope_id]);
        self.http
            .delete(&path)
            .send(deadline)
            .await?
            .expect(DONE_OR_ABSENT)
            .map(drop)
    }

    /// The user that a client is when it acts for itself.
    pub(crate) async fn service_account(
        &self,
        deadline: Deadline,
        id: &str,
    ) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct User {
            id: String,
        }
        let request = self.get(&["clients", id, "service-account-user"]);
        let User { id } = request.send(deadline).await?.expect(OK)?.json()?;
        Ok(id)
    }

    /// A role of a client.
    pub(crate) async fn role(
        &self,
        deadline: Deadline,
        id: &str,
        name: &str,
    ) -> Result<Option<Named>, Fault> {
        let answer = self
            .get(&["clients", id, "roles", name])
            .send(deadline)
            .await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => answer.expect(OK)?.json().map(Some),
        }
    }

    /// Gives roles of the client `of`; giving twice changes nothing.
    pub(crate) async fn give_roles(
        &self,
        deadline: Deadline,
        holder: Holder<'_>,
        of: &str,
        roles: &[Named],
    ) -> Result<(), Fault> {
        let request = self.http.post(&self.roles_path(holder, of)).json(&roles);
        request.send(deadline).await?.expect(DONE).map(drop)
    }

    pub(crate) async fn take_roles(
        &self,
        deadline: Deadline,
        holder: Holder<'_>,
        of: &str,
        roles: &[Named],
    ) -> Result<(), Fault> {
        let request = self.http.delete(&self.roles_path(holder, of)).json(&roles);
        request
            .send(deadline)
            .await?
            .expect(DONE_OR_ABSENT)
            .map(drop)
    }

    fn roles_path<'a>(&'a self, holder: Holder<'a>, of: &'a str) -> Vec<&'a str> {
        match holder {
            Holder::User(user) => self.path(&["users", user, "role-mappings", "clients", of]),
            Holder::ScopeOf(client) => {
                self.path(&["clients", client, "scope-mappings", "clients", of])
            }
        }
    }
}

/// A 400: Keycloak has rules of its own for names and redirect URIs, and policies may add more.
fn refused(answer: &Answer) -> Fault {
    let rule = Malformed::new(
        "was refused by the identity provider; its reason is in the connector's log",
    );
    tracing::warn!("{}", answer.fault().message());
    Fault::invalid(vec![Violation::new(Field::Request, &rule)])
}
