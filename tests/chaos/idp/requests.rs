//! What is asked of the admin API, read strictly.

use axum::extract::Query;
use http::{HeaderMap, Method, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::journal::Call;
use crate::table::{NewClient, NewSecret, Patch, Refusal};

pub(crate) type Result<T> = std::result::Result<T, Refusal>;

/// A request that was understood.
pub(crate) enum Asked {
    Get,
    Secrets,
    Create(NewClient),
    Patch(Patch),
    Delete,
    Rotate,
    Add(NewSecret),
    Remove(String),
    List(Filter),
}

/// Which clients a list is to show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    pub(crate) attribute: String,
    pub(crate) value: String,
    pub(crate) limit: usize,
    /// The last client of the page before.
    pub(crate) after: Option<String>,
}

impl Asked {
    pub(crate) fn call(&self) -> Call {
        match self {
            Self::Get => Call::Get,
            Self::Secrets => Call::Secrets,
            Self::Create(_) => Call::Create,
            Self::Patch(_) => Call::Patch,
            Self::Delete => Call::Delete,
            Self::Rotate => Call::Rotate,
            Self::Add(_) => Call::Add,
            Self::Remove(_) => Call::Remove,
            Self::List(_) => Call::List,
        }
    }
}

/// What a request to the admin API asks for, and of which client.
pub(crate) fn understood(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Asked, String)> {
    let rest = uri.path().strip_prefix("/admin/clients");
    let rest = rest.ok_or((404, "not_found"))?;
    let segments: Vec<_> = rest.split('/').skip(1).collect();
    let has_body = matches!(
        (method.as_str(), &*segments),
        ("POST", [] | [_, "secrets"]) | ("PATCH", [_])
    );
    if has_body {
        is_of_type(headers, "application/json")?;
    } else if !body.is_empty() {
        return Err((400, "invalid_request"));
    }
    if let ("GET", []) = (method.as_str(), &*segments) {
        let filter = Query::try_from_uri(uri).map_err(|_| (400, "invalid_request"))?;
        return Ok((Asked::List(filter.0), String::new()));
    }
    if uri.query().is_some() {
        return Err((400, "invalid_request"));
    }
    let asked = match (method.as_str(), &*segments) {
        ("POST", []) => {
            let new: NewClient = read(body)?;
            let id = new.client_id.clone();
            return Ok((Asked::Create(new), id));
        }
        ("GET", [_]) => Asked::Get,
        ("PATCH", [_]) => Asked::Patch(read(body)?),
        ("DELETE", [_]) => Asked::Delete,
        ("POST", [_, "new-secret"]) => Asked::Rotate,
        ("GET", [_, "secrets"]) => Asked::Secrets,
        ("POST", [_, "secrets"]) => Asked::Add(read(body)?),
        ("DELETE", [_, "secrets", secret]) => Asked::Remove((*secret).to_owned()),
        _ => return Err((404, "no_such_path")),
    };
    let id = segments.first().copied().unwrap_or_default();
    Ok((asked, id.to_owned()))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|_| (400, "invalid_request"))
}

pub(crate) fn is_of_type(headers: &HeaderMap, wanted: &str) -> Result<()> {
    let given = headers.get("content-type").and_then(|v| v.to_str().ok());
    let given = given.and_then(|text| text.split(';').next());
    if given.is_some_and(|given| given.trim() == wanted) {
        Ok(())
    } else {
        Err((415, "unsupported_media_type"))
    }
}
