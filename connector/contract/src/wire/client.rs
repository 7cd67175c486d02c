//! Clients: create, delete, update.

use dcr_proto::v1;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Envelope, broken, caller_from_proto, caller_to_proto, complete, operation_from_proto,
    operation_to_proto, origin_from_proto, origin_to_proto, subject_from_proto, time_from_proto,
    time_to_proto,
};
use crate::fault::{Fault, Violations};
use crate::model::{
    Adjustment, AuthMethod, Call, ClientId, ClientName, ClientSecret, ClientUpdate, CreatedClient,
    Deletion, Description, Field, GrantType, Malformed, NewClient, OperationId, RedirectUri, Scope,
    SecretId, Sentence,
};

pub(crate) fn create_to_proto(
    call: &Call,
    operation: OperationId,
    client: &NewClient,
) -> v1::CreateClientRequest {
    v1::CreateClientRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        origin: Some(origin_to_proto(&client.origin)),
        name: client.name.to_string(),
        description: client
            .description
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        redirect_uris: texts(&client.redirect_uris),
        grant_types: client
            .grant_types
            .iter()
            .map(|g| g.as_str().to_owned())
            .collect(),
        scopes: texts(&client.scopes),
        token_endpoint_auth_method: client
            .token_endpoint_auth_method
            .map(|m| m.as_str().to_owned())
            .unwrap_or_default(),
        probe: client.probe,
    }
}

pub(crate) fn create_from_proto(
    request: v1::CreateClientRequest,
    envelope: Envelope,
) -> Result<(Call, OperationId, NewClient), Fault> {
    let mut v = Violations::default();
    let caller = caller_from_proto(request.caller, &mut v);
    let operation = operation_from_proto(request.operation, &mut v);
    let origin = origin_from_proto(request.origin, &mut v);
    let name = v.check(Field::Name, ClientName::parse(&request.name));
    let description = (!request.description.is_empty())
        .then(|| v.check(Field::Description, Description::parse(&request.description)))
        .flatten();
    let redirect_uris = redirect_uris_from_proto(&request.redirect_uris, &mut v);
    let grant = |name: &String| {
        let unknown = || Malformed::new("must be a grant type of the contract");
        GrantType::from_name(name).ok_or_else(unknown)
    };
    if request.grant_types.is_empty() {
        v.note(Field::GrantTypes, "must not be empty");
    }
    let grant_types = v.check_list(
        Field::GrantTypes,
        GrantType::ALL.len(),
        request.grant_types.iter().map(grant),
    );
    let scopes = v.check_list(
        Field::Scopes,
        NewClient::MAX_SCOPES,
        request.scopes.iter().map(|s| Scope::parse(s)),
    );
    let token_endpoint_auth_method = AuthMethod::from_name(&request.token_endpoint_auth_method);
    let probe = request.probe;
    let parts = caller
        .zip(operation)
        .zip(name)
        .map(|((caller, operation), name)| {
            let client = NewClient {
                name,
                description,
                redirect_uris,
                grant_types,
                scopes,
                token_endpoint_auth_method,
                origin,
                probe,
            };
            (envelope.with(caller), operation, client)
        });
    complete(v, parts)
}

fn redirect_uris_from_proto(uris: &[String], v: &mut Violations) -> Vec<RedirectUri> {
    let parsed = uris.iter().map(|uri| RedirectUri::parse(uri));
    v.check_list(Field::RedirectUris, NewClient::MAX_REDIRECT_URIS, parsed)
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

pub(crate) fn created_to_proto(created: CreatedClient) -> v1::CreateClientResponse {
    v1::CreateClientResponse {
        client_id: created.client_id.to_string(),
        secret: Some(secret_to_proto(&created.secret)),
        secret_id: created
            .secret_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        issued_at: time_to_proto(created.issued_at),
        secret_expires_at: time_to_proto(created.secret_expires_at),
        adjustments: adjustments_to_proto(created.adjustments),
    }
}

pub(crate) fn created_from_proto(
    created: v1::CreateClientResponse,
) -> Result<CreatedClient, Fault> {
    let wrong = |field: &'static str| move |m: Malformed| broken("CreateClient", field, &m);
    Ok(CreatedClient {
        client_id: ClientId::parse(&created.client_id).map_err(wrong("client_id"))?,
        secret: secret_from_proto(created.secret).map_err(wrong("secret"))?,
        secret_id: optional_secret_id(&created.secret_id).map_err(wrong("secret_id"))?,
        issued_at: time_from_proto(created.issued_at).map_err(wrong("issued_at"))?,
        secret_expires_at: time_from_proto(created.secret_expires_at)
            .map_err(wrong("secret_expires_at"))?,
        adjustments: adjustments_from_proto(created.adjustments),
    })
}

pub(super) fn optional_secret_id(id: &str) -> Result<Option<SecretId>, Malformed> {
    (!id.is_empty()).then(|| SecretId::parse(id)).transpose()
}

#[expect(clippy::disallowed_methods, reason = "the wire carries the value")]
pub(super) fn secret_to_proto(secret: &ClientSecret) -> v1::Secret {
    v1::Secret {
        value: secret.value().expose_secret().to_owned(),
    }
}

pub(super) fn secret_from_proto(secret: Option<v1::Secret>) -> Result<ClientSecret, Malformed> {
    ClientSecret::parse(SecretString::from(secret.unwrap_or_default().value))
}

fn adjustments_to_proto(adjustments: Vec<Adjustment>) -> Vec<v1::Adjustment> {
    let adjustment = |a: Adjustment| v1::Adjustment {
        field: a.field.as_str().to_owned(),
        sentence: a.sentence.to_string(),
    };
    adjustments.into_iter().map(adjustment).collect()
}

fn adjustments_from_proto(adjustments: Vec<v1::Adjustment>) -> Vec<Adjustment> {
    let adjustment = |a: v1::Adjustment| Adjustment {
        field: Field::from_name(&a.field),
        sentence: Sentence::new(&a.sentence),
    };
    adjustments.into_iter().take(20).map(adjustment).collect()
}

pub(crate) fn delete_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
) -> v1::DeleteClientRequest {
    v1::DeleteClientRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        client_id: client_id.to_string(),
    }
}

pub(crate) fn delete_from_proto(
    request: v1::DeleteClientRequest,
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

pub(crate) fn deletion_to_proto(deletion: Deletion) -> v1::DeleteClientResponse {
    let deletion = match deletion {
        Deletion::Deleted => v1::Deletion::Deleted,
        Deletion::Absent => v1::Deletion::Absent,
        Deletion::LeftInPlace => v1::Deletion::LeftInPlace,
    };
    v1::DeleteClientResponse {
        deletion: deletion.into(),
    }
}

pub(crate) fn deletion_from_proto(answer: v1::DeleteClientResponse) -> Result<Deletion, Fault> {
    match answer.deletion() {
        v1::Deletion::Deleted => Ok(Deletion::Deleted),
        v1::Deletion::Absent => Ok(Deletion::Absent),
        v1::Deletion::LeftInPlace => Ok(Deletion::LeftInPlace),
        v1::Deletion::Unspecified => Err(broken(
            "DeleteClient",
            "deletion",
            &Malformed::new("must be specified"),
        )),
    }
}

pub(crate) fn update_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
    update: &ClientUpdate,
) -> v1::UpdateClientRequest {
    v1::UpdateClientRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        client_id: client_id.to_string(),
        origin: Some(origin_to_proto(&update.origin)),
        name: update.name.as_ref().map(ToString::to_string),
        description: update.description.as_ref().map(ToString::to_string),
        redirect_uris: update
            .redirect_uris
            .as_ref()
            .map(|uris| v1::RedirectUris { uris: texts(uris) }),
    }
}

pub(crate) fn update_from_proto(
    request: v1::UpdateClientRequest,
    envelope: Envelope,
) -> Result<(Call, OperationId, ClientId, ClientUpdate), Fault> {
    let mut v = Violations::default();
    let subject = subject_from_proto(
        request.caller,
        request.operation,
        &request.client_id,
        &mut v,
    );
    let update = ClientUpdate {
        name: v.check_optional(Field::Name, request.name.as_deref().map(ClientName::parse)),
        description: v.check_optional(
            Field::Description,
            request.description.as_deref().map(Description::parse),
        ),
        redirect_uris: request
            .redirect_uris
            .map(|r| redirect_uris_from_proto(&r.uris, &mut v)),
        origin: origin_from_proto(request.origin, &mut v),
    };
    let parts =
        subject.map(|(caller, operation, id)| (envelope.with(caller), operation, id, update));
    complete(v, parts)
}

pub(crate) fn updated_to_proto(adjustments: Vec<Adjustment>) -> v1::UpdateClientResponse {
    v1::UpdateClientResponse {
        adjustments: adjustments_to_proto(adjustments),
    }
}

pub(crate) fn updated_from_proto(answer: v1::UpdateClientResponse) -> Vec<Adjustment> {
    adjustments_from_proto(answer.adjustments)
}
