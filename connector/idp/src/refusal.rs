//! Why a call was not done: one type for the token endpoint and the admin API.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer `{ "error", "error_description" }` (RFC 6749 section 5.2).
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    challenge: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &'static str, description: &str) -> Self {
        // RFC 6749 allows no quotation mark, backslash, control or non-ASCII character here.
        let legal = |c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let description = description
            .chars()
            .map(|c| if legal(c) { c } else { '\'' })
            .collect();
        Self {
            status,
            error,
            description,
            challenge: None,
        }
    }

    pub(crate) fn invalid_request(description: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub(crate) fn not_found(description: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", description)
    }

    pub(crate) fn conflict(error: &'static str, description: &str) -> Self {
        Self::new(StatusCode::CONFLICT, error, description)
    }

    pub(crate) fn unauthorized(
        error: &'static str,
        description: &str,
        challenge: &'static str,
    ) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error, description).challenging(challenge)
    }

    pub(crate) fn challenging(self, challenge: &'static str) -> Self {
        Self {
            challenge: Some(challenge),
            ..self
        }
    }
}

/// The operating system gave no randomness, or the key did not sign.
impl From<ring::error::Unspecified> for Refusal {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "cryptography failed",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        response
    }
}
