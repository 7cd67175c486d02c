//! Secrets: rotate, list, add, remove.

use std::collections::BTreeSet;

use dcr_proto::v1;

use super::client::{optional_secret_id, secret_from_proto, secret_to_proto};
use super::{
    Envelope, broken, caller_from_proto, caller_to_proto, client_id_from_proto, complete,
    operation_to_proto, subject_from_proto, time_from_proto, time_to_proto,
};
use crate::fault::{Fault, Violations};
use crate::model::{
    AddedSecret, Call, ClientId, Field, Malformed, OperationId, Removal, RotatedSecret, SecretId,
    SecretMetadata, SecretStatus,
};

/// More than any IdP allows; a longer list is a connector's mistake.
const MOST_SECRETS: usize = 200;

pub(crate) fn rotate_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
) -> v1::RotateClientSecretRequest {
    v1::RotateClientSecretRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        client_id: client_id.to_string(),
    }
}

pub(crate) fn rotate_from_proto(
    request: v1::RotateClientSecretRequest,
    envelope: Envelope,
) -> Result<(Call, OperationId, ClientId), Fault> {
    let mut v = Violations::default();
    let subject = subject_from_proto(
        request.caller,
        request.operation,
        &request.client_id,
        &mut v,
    );
    complete(
        v,
        subject.map(|(caller, operation, id)| (envelope.with(caller), operation, id)),
    )
}

pub(crate) fn rotated_to_proto(rotated: RotatedSecret) -> v1::RotateClientSecretResponse {
    v1::RotateClientSecretResponse {
        secret: Some(secret_to_proto(&rotated.secret)),
        secret_id: rotated
            .secret_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        expires_at: time_to_proto(rotated.expires_at),
    }
}

pub(crate) fn rotated_from_proto(
    answer: v1::RotateClientSecretResponse,
) -> Result<RotatedSecret, Fault> {
    let wrong = |field: &'static str| move |m: Malformed| broken("RotateClientSecret", field, &m);
    Ok(RotatedSecret {
        secret: secret_from_proto(answer.secret).map_err(wrong("secret"))?,
        secret_id: optional_secret_id(&answer.secret_id).map_err(wrong("secret_id"))?,
        expires_at: time_from_proto(answer.expires_at).map_err(wrong("expires_at"))?,
    })
}

pub(crate) fn list_to_proto(call: &Call, client_id: &ClientId) -> v1::ListClientSecretsRequest {
    v1::ListClientSecretsRequest {
        caller: Some(caller_to_proto(&call.caller)),
        client_id: client_id.to_string(),
    }
}

pub(crate) fn list_from_proto(
    request: v1::ListClientSecretsRequest,
    envelope: Envelope,
) -> Result<(Call, ClientId), Fault> {
    let mut v = Violations::default();
    let caller = caller_from_proto(request.caller, &mut v);
    let client_id = client_id_from_proto(&request.client_id, &mut v);
    complete(
        v,
        caller
            .zip(client_id)
            .map(|(caller, id)| (envelope.with(caller), id)),
    )
}

pub(crate) fn listed_to_proto(secrets: Vec<SecretMetadata>) -> v1::ListClientSecretsResponse {
    let secret = |s: SecretMetadata| v1::ClientSecret {
        secret_id: s.secret_id.to_string(),
        status: match s.status {
            SecretStatus::Active => v1::SecretStatus::Active,
            SecretStatus::Inactive => v1::SecretStatus::Inactive,
        }
        .into(),
        created_at: time_to_proto(s.created_at),
        expires_at: time_to_proto(s.expires_at),
    };
    v1::ListClientSecretsResponse {
        secrets: secrets.into_iter().map(secret).collect(),
    }
}

pub(crate) fn listed_from_proto(
    answer: v1::ListClientSecretsResponse,
) -> Result<Vec<SecretMetadata>, Fault> {
    let wrong = |field: &'static str| move |m: Malformed| broken("ListClientSecrets", field, &m);
    if answer.secrets.len() > MOST_SECRETS {
        return Err(wrong("secrets")(Malformed::new(
            "must be a plausible number",
        )));
    }
    let secret = |s: v1::ClientSecret| {
        Ok(SecretMetadata {
            status: match s.status() {
                v1::SecretStatus::Active => SecretStatus::Active,
                v1::SecretStatus::Inactive => SecretStatus::Inactive,
                v1::SecretStatus::Unspecified => {
                    return Err(wrong("status")(Malformed::new("must be specified")));
                }
            },
            secret_id: SecretId::parse(&s.secret_id).map_err(wrong("secret_id"))?,
            created_at: time_from_proto(s.created_at).map_err(wrong("created_at"))?,
            expires_at: time_from_proto(s.expires_at).map_err(wrong("expires_at"))?,
        })
    };
    let secrets: Vec<_> = answer
        .secrets
        .into_iter()
        .map(secret)
        .collect::<Result<_, _>>()?;
    let ids: BTreeSet<_> = secrets.iter().map(|s| s.secret_id.as_str()).collect();
    if ids.len() < secrets.len() {
        return Err(wrong("secret_id")(Malformed::new("must not occur twice")));
    }
    Ok(secrets)
}

pub(crate) fn add_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
) -> v1::AddClientSecretRequest {
    v1::AddClientSecretRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        client_id: client_id.to_string(),
    }
}

pub(crate) fn add_from_proto(
    request: v1::AddClientSecretRequest,
    envelope: Envelope,
) -> Result<(Call, OperationId, ClientId), Fault> {
    let mut v = Violations::default();
    let subject = subject_from_proto(
        request.caller,
        request.operation,
        &request.client_id,
        &mut v,
    );
    complete(
        v,
        subject.map(|(caller, operation, id)| (envelope.with(caller), operation, id)),
    )
}

pub(crate) fn added_to_proto(added: &AddedSecret) -> v1::AddClientSecretResponse {
    v1::AddClientSecretResponse {
        secret_id: added.secret_id.to_string(),
        secret: Some(secret_to_proto(&added.secret)),
        created_at: time_to_proto(added.created_at),
        expires_at: time_to_proto(added.expires_at),
    }
}

pub(crate) fn added_from_proto(answer: v1::AddClientSecretResponse) -> Result<AddedSecret, Fault> {
    let wrong = |field: &'static str| move |m: Malformed| broken("AddClientSecret", field, &m);
    Ok(AddedSecret {
        secret_id: SecretId::parse(&answer.secret_id).map_err(wrong("secret_id"))?,
        secret: secret_from_proto(answer.secret).map_err(wrong("secret"))?,
        created_at: time_from_proto(answer.created_at).map_err(wrong("created_at"))?,
        expires_at: time_from_proto(answer.expires_at).map_err(wrong("expires_at"))?,
    })
}

pub(crate) fn remove_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
    secret_id: &SecretId,
) -> v1::RemoveClientSecretRequest {
    v1::RemoveClientSecretRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        client_id: client_id.to_string(),
        secret_id: secret_id.to_string(),
    }
}

pub(crate) fn remove_from_proto(
    request: v1::RemoveClientSecretRequest,
    envelope: Envelope,
) -> Result<(Call, OperationId, ClientId, SecretId), Fault> {
    let mut v = Violations::default();
    let subject = subject_from_proto(
        request.caller,
        request.operation,
        &request.client_id,
        &mut v,
    );
    let secret_id = v.check(Field::SecretId, SecretId::parse(&request.secret_id));
    let parts = subject
        .zip(secret_id)
        .map(|((caller, operation, id), secret)| (envelope.with(caller), operation, id, secret));
    complete(v, parts)
}

pub(crate) fn removal_to_proto(removal: Removal) -> v1::RemoveClientSecretResponse {
    let removal = match removal {
        Removal::Removed => v1::Removal::Removed,
        Removal::Absent => v1::Removal::Absent,
    };
    v1::RemoveClientSecretResponse {
        removal: removal.into(),
    }
}

pub(crate) fn removal_from_proto(answer: v1::RemoveClientSecretResponse) -> Result<Removal, Fault> {
    match answer.removal() {
        v1::Removal::Removed => Ok(Removal::Removed),
        v1::Removal::Absent => Ok(Removal::Absent),
        v1::Removal::Unspecified => Err(broken(
            "RemoveClientSecret",
            "removal",
            &Malformed::new("must be specified"),
        )),
    }
}
