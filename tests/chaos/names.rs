//! Names each request to a connector by the life that it belongs to, so that a seed decides what becomes of it whatever
//! the order in which requests arrive and whatever ids are drawn.

use std::collections::HashMap;

use dcr_proto::v1::abort_operation_request::Target;
use dcr_proto::v1::{
    AbortOperationRequest, AddClientSecretRequest, AddRegistrationRequest, CreateClientRequest,
    DeleteClientRequest, ListClientSecretsRequest, RemoveClientSecretRequest,
    RemoveRegistrationRequest, RotateClientSecretRequest, UpdateClientRequest,
};
use prost::Message;
use uuid::Uuid;

/// The names given so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The story of each client.
    stories: HashMap<String, String>,
    /// How many requests of each kind there were.
    asked: HashMap<String, u32>,
}

impl Names {
    /// The name of a request: its story, its RPC, and which of that RPC it is.
    pub(crate) fn of(&mut self, rpc: &str, message: &[u8]) -> String {
        let story = self.story(rpc, message).unwrap_or_default();
        let name = format!("{story}/{rpc}");
        let nth = self.asked.entry(name.clone()).or_default();
        *nth += 1;
        format!("{name}/{nth}")
    }

    fn story(&mut self, rpc: &str, message: &[u8]) -> Option<String> {
        let client_id = match rpc {
            "CreateClient" => {
                let create = CreateClientRequest::decode(message).ok()?;
                let id = client_id(&create.operation?.operation_id)?;
                self.stories.insert(id, create.name.clone());
                return Some(create.name);
            }
            "AddRegistration" => {
                // Two of them may be under way at once.
                let add = AddRegistrationRequest::decode(message).ok()?;
                let story = self.of_client(add.client_id);
                return Some(format!("{story}/{}", add.entity?.id));
            }
            "AbortOperation" => {
                let abort = AbortOperationRequest::decode(message).ok()?;
                match abort.target? {
                    Target::Create(_) => client_id(&abort.operation_id)?,
                    Target::AddSecret(secret) => secret.client_id,
                }
            }
            "DeleteClient" => DeleteClientRequest::decode(message).ok()?.client_id,
            "RotateClientSecret" => RotateClientSecretRequest::decode(message).ok()?.client_id,
            "ListClientSecrets" => ListClientSecretsRequest::decode(message).ok()?.client_id,
            "AddClientSecret" => AddClientSecretRequest::decode(message).ok()?.client_id,
            "RemoveClientSecret" => RemoveClientSecretRequest::decode(message).ok()?.client_id,
            "UpdateClient" => UpdateClientRequest::decode(message).ok()?.client_id,
            "RemoveRegistration" => RemoveRegistrationRequest::decode(message).ok()?.client_id,
            _ => return None,
        };
        Some(self.of_client(client_id))
    }

    /// A client that no story made has a name of its own in its id.
    fn of_client(&self, client_id: String) -> String {
        self.stories.get(&client_id).cloned().unwrap_or(client_id)
    }
}

/// The id that the connector gives to the client that an operation makes.
fn client_id(operation: &str) -> Option<String> {
    let id = Uuid::parse_str(operation).ok()?;
    Some(format!("dcr-{}", id.as_simple()))
}
