//! The IdP's JSON and paths.

use std::collections::BTreeMap;

use dcr_connector::fault::{Fault, FaultKind, Reason, Violation};
use dcr_connector::http::{Answer, Client as Http, StatusCode};
use dcr_connector::model::{Deadline, Field, Malformed, Page};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// A client as the IdP shows it; the members that the connector needs.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_field_names, reason = "named as in the IdP's JSON")]
pub struct Client {
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
}

/// What a new client is asked for with.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NewClient<'a> {
    pub(crate) client_id: String,
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) redirect_uris: Vec<&'a str>,
    pub(crate) grant_types: Vec<&'static str>,
    pub(crate) scopes: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_endpoint_auth_method: Option<&'static str>,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// What is to change: lists are replaced whole, attributes one by one; `None` removes one.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Patch<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redirect_uris: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audiences: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, Option<String>>,
}

/// A new secret: the only copy.
#[derive(Debug, Deserialize)]
pub(crate) struct NewSecret {
    pub(crate) client_secret: SecretString,
    pub(crate) secret_id: String,
    pub(crate) created_at: Timestamp,
}

/// A new client with its first secret: the only copy.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    pub(crate) client_id: String,
    #[serde(flatten)]
    pub(crate) secret: NewSecret,
}

/// What is known of a secret.
#[derive(Debug, Deserialize)]
pub(crate) struct KnownSecret {
    pub(crate) secret_id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) label: Option<String>,
}

/// One page of clients.
#[derive(Debug, Deserialize)]
pub(crate) struct Clients {
    pub(crate) clients: Vec<Client>,
    pub(crate) next: Option<String>,
}

pub(crate) async fn create(
    http: &Http,
    deadline: Deadline,
    client: &NewClient<'_>,
) -> Result<Created, Fault> {
    let answer = http
        .create(&["admin", "clients"])
        .json(client)
        .send(deadline)
        .await?;
    if complains_of(&answer, StatusCode::CONFLICT, "client_exists") {
        // The id is derived from the operation's, which therefore was here before.
        return Err(answer.fault().reason(Reason::OperationRepeated));
    }
    answer.expect(&[StatusCode::CREATED])?.json()
}

pub(crate) async fn get(
    http: &Http,
    deadline: Deadline,
    id: &str,
) -> Result<Option<Client>, Fault> {
    let answer = http.get(&["admin", "clients", id]).send(deadline).await?;
    // Any proxy can answer 404: only the provider's own says that there is no such client.
    match answer.status() {
        StatusCode::NOT_FOUND if complains_of(&answer, StatusCode::NOT_FOUND, "not_found") => {
            Ok(None)
        }
        _ => answer.expect(&[StatusCode::OK])?.json().map(Some),
    }
}

pub(crate) async fn list(
    http: &Http,
    deadline: Deadline,
    (attribute, value): (&str, &str),
    page: &Page,
) -> Result<Clients, Fault> {
    let mut request = http
        .get(&["admin", "clients"])
        .query("attribute", attribute)
        .query("value", value)
        .query("limit", &page.size);
    if let Some(after) = &page.token {
        request = request.query("after", after);
    }
    let answer = request.send(deadline).await?;
    if page.token.is_some() && complains_of(&answer, StatusCode::BAD_REQUEST, "invalid_request") {
        // All else of the request is the connector's own.
        let rule = Malformed::new("must have the token of a page before");
        return Err(Fault::invalid(vec![Violation::new(Field::Page, &rule)]));
    }
    answer.expect(&[StatusCode::OK])?.json()
}

pub(crate) async fn update(
    http: &Http,
    deadline: Deadline,
    id: &str,
    patch: &Patch<'_>,
) -> Result<(), Fault> {
    let answer = http
        .patch(&["admin", "clients", id])
        .json(patch)
        .send(deadline)
        .await?
        .of_client()?;
    if complains_of(&answer, StatusCode::CONFLICT, "attribute_limit") {
        let sentence = "The identity provider has no room for another registration of this client.";
        return Err(limit(&answer, Reason::RegistrationLimit, sentence));
    }
    answer.expect(&[StatusCode::OK]).map(drop)
}

pub(crate) async fn delete(http: &Http, deadline: Deadline, id: &str) -> Result<(), Fault> {
    let answer = http
        .delete(&["admin", "clients", id])
        .send(deadline)
        .await?;
    answer
        .expect(&[StatusCode::NO_CONTENT, StatusCode::NOT_FOUND])
        .map(drop)
}

pub(crate) async fn rotate(http: &Http, deadline: Deadline, id: &str) -> Result<NewSecret, Fault> {
    let answer = http
        .post(&["admin", "clients", id, "new-secret"])
        .send(deadline)
        .await?
        .of_client()?;
    answer.expect(&[StatusCode::OK])?.json()
}

pub(crate) async fn secrets(
    http: &Http,
    deadline: Deadline,
    id: &str,
) -> Result<Vec<KnownSecret>, Fault> {
    #[derive(Deserialize)]
    struct Secrets {
        secrets: Vec<KnownSecret>,
    }
    let answer = http
        .get(&["admin", "clients", id, "secrets"])
        .send(deadline)
        .await?
        .of_client()?;
    let Secrets { secrets } = answer.expect(&[StatusCode::OK])?.json()?;
    Ok(secrets)
}

pub(crate) async fn add_secret(
    http: &Http,
    deadline: Deadline,
    id: &str,
    label: &str,
) -> Result<NewSecret, Fault> {
    #[derive(Serialize)]
    struct New<'a> {
        label: &'a str,
    }
    let answer = http
        .create(&["admin", "clients", id, "secrets"])
        .json(&New { label })
        .send(deadline)
        .await?
        .of_client()?;
    if complains_of(&answer, StatusCode::CONFLICT, "label_exists") {
        // The label is the operation's id, which therefore was here before.
        return Err(answer.fault().reason(Reason::OperationRepeated));
    }
    if complains_of(&answer, StatusCode::CONFLICT, "secret_limit") {
        let sentence =
            "The client has as many secrets as the identity provider allows: delete one first.";
        return Err(limit(&answer, Reason::SecretLimit, sentence));
    }
    answer.expect(&[StatusCode::CREATED])?.json()
}

/// Whether there was one.
pub(crate) async fn remove_secret(
    http: &Http,
    deadline: Deadline,
    id: &str,
    secret_id: &str,
) -> Result<bool, Fault> {
    let answer = http
        .delete(&["admin", "clients", id, "secrets", secret_id])
        .send(deadline)
        .await?
        .expect(&[StatusCode::NO_CONTENT, StatusCode::NOT_FOUND])?;
    Ok(answer.status() == StatusCode::NO_CONTENT)
}

fn complains_of(answer: &Answer, status: StatusCode, error: &str) -> bool {
    answer.status() == status
        && answer
            .complaint()
            .is_some_and(|complaint| complaint.starts_with(error))
}

fn limit(answer: &Answer, reason: Reason, sentence: &str) -> Fault {
    let message = answer.fault().message().to_owned();
    Fault::new(FaultKind::Limit, message)
        .reason(reason)
        .saying(sentence)
}
