//! Requests as the gateway makes them, each with an operation of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dcr_proto::v1;
use dcr_proto::v1::abort_operation_request::Target;
use uuid::{NoContext, Timestamp, Uuid};

use crate::bridge::Bridge;

/// A new operation's id.
pub(crate) fn operation_id() -> String {
    Uuid::now_v7().to_string()
}

/// The id of an operation that was begun this long ago.
pub(crate) fn operation_id_aged(age: Duration) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.saturating_sub(age);
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        then.as_secs(),
        then.subsec_nanos(),
    ))
    .to_string()
}

/// A new operation.
pub(crate) fn operation() -> v1::Operation {
    v1::Operation {
        operation_id: operation_id(),
    }
}

/// An id that no client has, and that an IdP could have given.
pub(crate) fn unknown_id() -> String {
    format!("dcr-conformance-{}", Uuid::now_v7().as_simple())
}

/// An API of Konnect's that is new.
pub(crate) fn entity() -> v1::Entity {
    v1::Entity {
        id: Uuid::now_v7().to_string(),
        kind: v1::EntityKind::Api.into(),
    }
}

/// Ids that no client can have.
pub(crate) fn impossible_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2Fb", "a b", "a\r\nb", "ä",
    ]
    .map(str::to_owned)
    .into();
    ids.push("a".repeat(256));
    ids
}

impl Bridge {
    /// Whose clients the run makes.
    pub(crate) fn caller(&self) -> v1::Caller {
        v1::Caller {
            installation: self.options().installation.clone(),
            provider_id: self.options().provider.clone(),
        }
    }

    /// Another provider of the same installation.
    pub(crate) fn other_provider(&self) -> v1::Caller {
        v1::Caller {
            provider_id: other(&self.options().provider),
            ..self.caller()
        }
    }

    /// The same provider's name in another installation.
    pub(crate) fn other_installation(&self) -> v1::Caller {
        v1::Caller {
            installation: other(&self.options().installation),
            ..self.caller()
        }
    }

    /// The redirect URI of this number.
    pub(crate) fn redirect_uri(&self, number: usize) -> String {
        format!(
            "{}/{number}",
            self.options().redirect_uri.trim_end_matches('/')
        )
    }

    pub(crate) fn create(&self) -> v1::CreateClientRequest {
        v1::CreateClientRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            origin: Some(v1::Origin::default()),
            name: "dcr-conformance".to_owned(),
            grant_types: self.options().grant_types.clone(),
            scopes: self.options().scopes.clone(),
            ..v1::CreateClientRequest::default()
        }
    }

    pub(crate) fn delete(&self, client_id: &str) -> v1::DeleteClientRequest {
        v1::DeleteClientRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            client_id: client_id.to_owned(),
        }
    }

    pub(crate) fn rotate(&self, client_id: &str) -> v1::RotateClientSecretRequest {
        v1::RotateClientSecretRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            client_id: client_id.to_owned(),
        }
    }

    pub(crate) fn list_secrets(&self, client_id: &str) -> v1::ListClientSecretsRequest {
        v1::ListClientSecretsRequest {
            caller: Some(self.caller()),
            client_id: client_id.to_owned(),
        }
    }

    pub(crate) fn add_secret(&self, client_id: &str) -> v1::AddClientSecretRequest {
        v1::AddClientSecretRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            client_id: client_id.to_owned(),
        }
    }

    pub(crate) fn remove_secret(
        &self,
        client_id: &str,
        secret_id: &str,
    ) -> v1::RemoveClientSecretRequest {
        v1::RemoveClientSecretRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            client_id: client_id.to_owned(),
            secret_id: secret_id.to_owned(),
        }
    }

    pub(crate) fn update(&self, client_id: &str) -> v1::UpdateClientRequest {
        v1::UpdateClientRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            client_id: client_id.to_owned(),
            ..v1::UpdateClientRequest::default()
        }
    }

    pub(crate) fn register(
        &self,
        client_id: &str,
        entity: &v1::Entity,
    ) -> v1::AddRegistrationRequest {
        v1::AddRegistrationRequest {
            caller: Some(self.caller()),
            operation: Some(operation()),
            client_id: client_id.to_owned(),
            origin: Some(v1::Origin::default()),
            entity: Some(entity.clone()),
            audience: self.options().mapped_audience.clone().unwrap_or_default(),
        }
    }

    pub(crate) fn unregister(
        &self,
        client_id: &str,
        entity: &v1::Entity,
    ) -> v1::RemoveRegistrationRequest {
        let v1::AddRegistrationRequest {
            caller,
            operation,
            client_id,
            origin,
            entity,
            audience,
        } = self.register(client_id, entity);
        v1::RemoveRegistrationRequest {
            caller,
            operation,
            client_id,
            origin,
            entity,
            audience,
        }
    }

    pub(crate) fn abort_create(&self, operation_id: &str) -> v1::AbortOperationRequest {
        v1::AbortOperationRequest {
            caller: Some(self.caller()),
            operation_id: operation_id.to_owned(),
            target: Some(Target::Create(v1::AbortCreate {})),
        }
    }

    pub(crate) fn abort_add_secret(
        &self,
        operation_id: &str,
        client_id: &str,
    ) -> v1::AbortOperationRequest {
        let client_id = client_id.to_owned();
        v1::AbortOperationRequest {
            target: Some(Target::AddSecret(v1::AbortAddSecret { client_id })),
            ..self.abort_create(operation_id)
        }
    }

    pub(crate) fn list(&self, page_size: i32, page_token: &str) -> v1::ListManagedClientsRequest {
        v1::ListManagedClientsRequest {
            caller: Some(self.caller()),
            page_size,
            page_token: page_token.to_owned(),
        }
    }
}

/// Another label, and one that the rules allow.
fn other(label: &str) -> String {
    let kept: String = label.chars().take(56).collect();
    format!("{kept}-other")
}
