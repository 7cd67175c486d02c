//! The answers that tell of secrets: `SecretResponse`, `SecretListResponse`, `SecretWithIdResponse`.

use dcr_contract::Fault;
use dcr_contract::model::{AddedSecret, ClientId, RotatedSecret, SecretMetadata, SecretStatus};
use serde::Serialize;

use super::write;

#[derive(Serialize)]
struct SecretResponse<'a> {
    client_id: &'a str,
    client_secret: write::Secret<'a>,
}

/// Writes what answers a rotation.
///
/// # Errors
/// `Internal` when it cannot be written, which is a bug.
pub(crate) fn rotated(client_id: &ClientId, secret: &RotatedSecret) -> Result<Vec<u8>, Fault> {
    write::json(&SecretResponse {
        client_id: client_id.as_str(),
        client_secret: write::Secret(&secret.secret),
    })
}

#[derive(Serialize)]
struct SecretListResponse<'a> {
    secrets: Vec<Metadata<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    secret_id: &'a str,
    client_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// Writes what answers a list. Times that are not known are left out.
///
/// # Errors
/// `Internal` when it cannot be written, which is a bug.
pub(crate) fn listed(client_id: &ClientId, secrets: &[SecretMetadata]) -> Result<Vec<u8>, Fault> {
    let entries = secrets.iter().map(|secret| Metadata {
        secret_id: secret.secret_id.as_str(),
        client_id: client_id.as_str(),
        status: match secret.status {
            SecretStatus::Active => "ACTIVE",
            SecretStatus::Inactive => "INACTIVE",
        },
        created_at: secret.created_at.and_then(write::time),
        expires_at: secret.expires_at.and_then(write::time),
    });
    write::json(&SecretListResponse {
        secrets: entries.collect(),
    })
}

#[derive(Serialize)]
struct SecretWithIdResponse<'a> {
    secret_id: &'a str,
    client_id: &'a str,
    client_secret: write::Secret<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// Writes what answers an added secret.
///
/// # Errors
/// `Internal` when it cannot be written, which is a bug.
pub(crate) fn added(client_id: &ClientId, secret: &AddedSecret) -> Result<Vec<u8>, Fault> {
    write::json(&SecretWithIdResponse {
        secret_id: secret.secret_id.as_str(),
        client_id: client_id.as_str(),
        client_secret: write::Secret(&secret.secret),
        created_at: secret.created_at.and_then(write::time),
        expires_at: secret.expires_at.and_then(write::time),
    })
}

#[cfg(test)]
mod tests {
    use dcr_contract::model::{ClientSecret, SecretId};

    use super::*;

    fn text(json: Result<Vec<u8>, Fault>) -> String {
        String::from_utf8(json.unwrap()).unwrap()
    }

    fn id() -> ClientId {
        ClientId::parse("c").unwrap()
    }

    fn secret() -> ClientSecret {
        ClientSecret::parse("v".to_owned().into()).unwrap()
    }

    #[test]
    fn a_rotation_tells_id_and_secret_and_nothing_else() {
        let rotated_secret = RotatedSecret {
            secret: secret(),
            secret_id: SecretId::parse("s").ok(),
            expires_at: "2027-01-01T00:00:00Z".parse().ok(),
        };
        let expected = r#"{"client_id":"c","client_secret":"v"}"#;
        assert_eq!(text(rotated(&id(), &rotated_secret)), expected);
    }

    #[test]
    fn a_list_tells_what_is_known_and_no_value() {
        let entry = |status, created: Option<&str>| SecretMetadata {
            secret_id: SecretId::parse("s").unwrap(),
            status,
            created_at: created.map(|t| t.parse().unwrap()),
            expires_at: None,
        };
        let secrets = [
            entry(SecretStatus::Active, Some("2026-09-01T08:30:00Z")),
            entry(SecretStatus::Inactive, None),
        ];
        assert_eq!(
            text(listed(&id(), &secrets)),
            r#"{"secrets":[{"secret_id":"s","client_id":"c","status":"ACTIVE","created_at":"2026-09-01T08:30:00Z"},{"secret_id":"s","client_id":"c","status":"INACTIVE"}]}"#
        );
        assert_eq!(text(listed(&id(), &[])), r#"{"secrets":[]}"#);
    }

    #[test]
    fn an_added_secret_has_no_status() {
        let secret = AddedSecret {
            secret_id: SecretId::parse("s").unwrap(),
            secret: secret(),
            created_at: None,
            expires_at: "2027-01-01T00:00:00Z".parse().ok(),
        };
        assert_eq!(
            text(added(&id(), &secret)),
            r#"{"secret_id":"s","client_id":"c","client_secret":"v","expires_at":"2027-01-01T00:00:00Z"}"#
        );
    }
}
