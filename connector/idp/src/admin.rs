//! The admin API: clients and their secrets.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Idp;
use crate::form;
use crate::keys::random_text;
use crate::metadata::{Metadata, Patch};
use crate::refusal::Refusal;
use crate::state::{Client, Issued, Secret};

/// The most clients of a page.
const LARGEST_PAGE: usize = 500;

type Answer = Result<Response, Refusal>;

/// `POST /admin/clients`: the one answer but that of a new secret that holds a secret.
pub(crate) async fn create(State(idp): State<Arc<Idp>>, body: Bytes) -> Answer {
    let mut metadata: Metadata = read(&body)?;
    if metadata.client_id.is_empty() {
        metadata.client_id = random_text::<16>()?;
    }
    metadata.check()?;
    let issued = Issued::random(Timestamp::now())?;
    let client = idp.table().insert(metadata, &issued)?;
    let mut shown = shown(&client)?;
    add(&mut shown, &with_secret(&issued));
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// `GET /admin/clients`: all, or those with an attribute of this value, page by page.
pub(crate) async fn list(State(idp): State<Arc<Idp>>, RawQuery(query): RawQuery) -> Answer {
    let query = query.unwrap_or_default();
    let broken = |what: &str| Refusal::invalid_request(what);
    let mut parameters = form::parse(&query).ok_or_else(|| broken("the query is broken"))?;
    let mut take = |name: &str| {
        let place = parameters.iter().position(|(known, _)| known == name)?;
        Some(parameters.swap_remove(place).1)
    };
    let (attribute, value) = (take("attribute"), take("value").unwrap_or_default());
    let after = take("after").map_or(Ok(0), |text| text.parse());
    let after = after.map_err(|_| broken("after: what `next` of the page before said"))?;
    let limit = take("limit").map_or(Ok(LARGEST_PAGE), |text| text.parse());
    let limit = limit
        .ok()
        .filter(|limit| (1..=LARGEST_PAGE).contains(limit));
    let limit = limit.ok_or_else(|| broken("limit: 1 to 500"))?;
    if !parameters.is_empty() {
        return Err(broken("the query has unknown or repeated parameters"));
    }

    let wanted = |metadata: &Metadata| match &attribute {
        None => true,
        Some(name) => metadata.attributes.get(name) == Some(&value),
    };
    let table = idp.table();
    let found = table.list(after, wanted);
    let page = found.get(..limit.min(found.len())).unwrap_or_default();
    let more = found.len() > page.len();
    let next = page
        .last()
        .filter(|_| more)
        .map(|client| client.birth.to_string());
    let clients = page
        .iter()
        .map(|client| shown(client))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "clients": clients, "next": next })).into_response())
}

/// `GET /admin/clients/{id}`.
pub(crate) async fn get(State(idp): State<Arc<Idp>>, Path(id): Path<String>) -> Answer {
    let shown = shown(idp.table().get(&id)?)?;
    Ok(Json(shown).into_response())
}

/// `PATCH /admin/clients/{id}`: whole or not at all.
pub(crate) async fn update(
    State(idp): State<Arc<Idp>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let patch: Patch = read(&body)?;
    let client = idp.table().update(&id, patch)?;
    Ok(Json(shown(&client)?).into_response())
}

/// `DELETE /admin/clients/{id}`: its secrets go with it, at once.
pub(crate) async fn delete(State(idp): State<Arc<Idp>>, Path(id): Path<String>) -> Answer {
    idp.table().remove(&id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /admin/clients/{id}/new-secret`: one new secret in the place of all others.
pub(crate) async fn rotate(State(idp): State<Arc<Idp>>, Path(id): Path<String>) -> Answer {
    let issued = Issued::random(Timestamp::now())?;
    idp.table().rotate(&id, &issued)?;
    Ok(Json(with_secret(&issued)).into_response())
}

/// `GET /admin/clients/{id}/secrets`: never their values, of which only hashes are kept.
pub(crate) async fn list_secrets(State(idp): State<Arc<Idp>>, Path(id): Path<String>) -> Answer {
    let known = |secret: &Secret| json!({ "secret_id": secret.id, "created_at": secret.created_at, "label": secret.label });
    let secrets: Vec<_> = idp.table().get(&id)?.secrets.iter().map(known).collect();
    Ok(Json(json!({ "secrets": secrets })).into_response())
}

/// `POST /admin/clients/{id}/secrets`: one more, beside the others; its label has at most 64 characters.
pub(crate) async fn add_secret(
    State(idp): State<Arc<Idp>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct New {
        label: Option<String>,
    }
    let New { label } = read(&body)?;
    if label
        .as_ref()
        .is_some_and(|label| label.chars().count() > 64)
    {
        return Err(Refusal::invalid_request("label: at most 64 characters"));
    }
    let issued = Issued::random(Timestamp::now())?;
    idp.table().add_secret(&id, &issued, label)?;
    Ok((StatusCode::CREATED, Json(with_secret(&issued))).into_response())
}

/// `DELETE /admin/clients/{id}/secrets/{secret_id}`.
pub(crate) async fn remove_secret(
    State(idp): State<Arc<Idp>>,
    Path((id, secret_id)): Path<(String, String)>,
) -> Answer {
    idp.table().remove_secret(&id, &secret_id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        // serde_json's own message may repeat what was sent.
        let place = format!("line {} column {}", error.line(), error.column());
        Refusal::invalid_request(&format!("the body does not fit at {place}"))
    })
}

/// A client as the API shows it: its metadata and its birthday.
fn shown(client: &Client) -> Result<Value, Refusal> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        metadata: &'a Metadata,
        created_at: String,
    }
    let shown = Shown {
        metadata: &client.metadata,
        created_at: client.created_at.to_string(),
    };
    serde_json::to_value(shown).map_err(|_| Refusal::invalid_request("the client cannot be shown"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one answer that shows a secret"
)]
fn with_secret(issued: &Issued) -> Value {
    json!({
        "client_secret": issued.secret.expose_secret(),
        "secret_id": issued.id,
        "created_at": issued.created_at,
    })
}

fn add(object: &mut Value, members: &Value) {
    if let (Some(object), Some(members)) = (object.as_object_mut(), members.as_object()) {
        object.extend(members.clone());
    }
}
