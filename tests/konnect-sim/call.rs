//! Konnect's seven calls, and any other that somebody may make.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stands for itself in a segment of a path: RFC 3986's `pchar`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The media type of every body.
pub(crate) const JSON: &str = "application/json";

/// The keys that a call shows.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    /// The one that was given.
    Own,
    /// None.
    None,
    /// Another.
    Other(String),
    /// The one that was given, and another.
    Two(String),
}

/// One call, before it is made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// What follows the base URL, as it is written.
    pub(crate) path: String,
    pub(crate) keys: Keys,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
    /// The name of the client that this creates.
    pub(crate) creates: Option<String>,
    /// The id of the client that this deletes.
    pub(crate) deletes: Option<String>,
}

impl Call {
    /// Any call without a body.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            keys: Keys::Own,
            content_type: None,
            body: Bytes::new(),
            creates: None,
            deletes: None,
        }
    }

    /// `POST /`.
    pub(crate) fn create(body: &Value) -> Self {
        let name = body.get("client_name").and_then(Value::as_str);
        Self {
            creates: Some(name.unwrap_or("without a name").to_owned()),
            ..Self::new(Method::POST, "/").json(body)
        }
    }

    /// `DELETE /{clientId}`.
    pub(crate) fn delete(client_id: &str) -> Self {
        Self {
            deletes: Some(client_id.to_owned()),
            ..Self::new(Method::DELETE, of(client_id))
        }
    }

    /// `POST /{clientId}/new-secret`.
    pub(crate) fn rotate(client_id: &str) -> Self {
        Self::new(Method::POST, of(client_id) + "/new-secret")
    }

    /// `POST /{clientId}/event-hook`.
    pub(crate) fn hook(client_id: &str, event: &Value) -> Self {
        Self::new(Method::POST, of(client_id) + "/event-hook").json(event)
    }

    /// `GET /{clientId}/secrets`.
    pub(crate) fn list(client_id: &str) -> Self {
        Self::new(Method::GET, of(client_id) + "/secrets")
    }

    /// `POST /{clientId}/secrets`.
    pub(crate) fn add(client_id: &str) -> Self {
        Self::new(Method::POST, of(client_id) + "/secrets")
    }

    /// `DELETE /{clientId}/secrets/{secretId}`.
    pub(crate) fn remove(client_id: &str, secret_id: &str) -> Self {
        Self::new(
            Method::DELETE,
            of(client_id) + "/secrets" + of(secret_id).as_str(),
        )
    }

    /// The same with this body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(JSON, &body.to_string())
    }

    /// The same with this body of this type.
    pub(crate) fn text(self, content_type: &'static str, body: &str) -> Self {
        Self {
            content_type: Some(content_type),
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..self
        }
    }

    /// The same with these keys.
    pub(crate) fn showing(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// The same at another path.
    pub(crate) fn at(self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self
        }
    }
}

fn of(id: &str) -> String {
    format!("/{}", utf8_percent_encode(id, SEGMENT))
}
