//! Registrations: add and remove, alike but for their messages' names.

use dcr_proto::v1;

use super::{
    Envelope, broken, caller_to_proto, complete, operation_to_proto, origin_from_proto,
    origin_to_proto, subject_from_proto,
};
use crate::fault::{Fault, Violations};
use crate::model::{
    Audience, Call, ClientId, Entity, EntityKind, Field, Malformed, OpaqueId, OperationId, Origin,
    Registration, RegistrationChange,
};

/// What either request says.
pub(crate) type Parts = (Call, OperationId, ClientId, Registration, Origin);

fn entity_to_proto(entity: &Entity) -> v1::Entity {
    let kind = match entity.kind {
        EntityKind::ApiProductVersion => v1::EntityKind::ApiProductVersion,
        EntityKind::Api => v1::EntityKind::Api,
        EntityKind::Other => v1::EntityKind::Other,
    };
    v1::Entity {
        id: entity.id.to_string(),
        kind: kind.into(),
    }
}

fn registration_from_proto(
    entity: Option<v1::Entity>,
    audience: &str,
    v: &mut Violations,
) -> Option<Registration> {
    let entity = entity.unwrap_or_default();
    let kind = match entity.kind() {
        v1::EntityKind::ApiProductVersion => Some(EntityKind::ApiProductVersion),
        v1::EntityKind::Api => Some(EntityKind::Api),
        v1::EntityKind::Other => Some(EntityKind::Other),
        v1::EntityKind::Unspecified => {
            v.note(Field::Entity, "must have a kind of the contract");
            None
        }
    };
    let id = v.check(Field::Entity, OpaqueId::parse(&entity.id));
    let audience = v.check_optional(
        Field::Audience,
        (!audience.is_empty()).then(|| Audience::parse(audience)),
    );
    Some(Registration {
        entity: Entity {
            id: id?,
            kind: kind?,
        },
        audience,
    })
}

fn parts(request: v1::AddRegistrationRequest, envelope: Envelope) -> Result<Parts, Fault> {
    let mut v = Violations::default();
    let subject = subject_from_proto(
        request.caller,
        request.operation,
        &request.client_id,
        &mut v,
    );
    let origin = origin_from_proto(request.origin, &mut v);
    let registration = registration_from_proto(request.entity, &request.audience, &mut v);
    let parts = subject
        .zip(registration)
        .map(|((caller, operation, id), registration)| {
            (envelope.with(caller), operation, id, registration, origin)
        });
    complete(v, parts)
}

pub(crate) fn add_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
    registration: &Registration,
    origin: &Origin,
) -> v1::AddRegistrationRequest {
    v1::AddRegistrationRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation: Some(operation_to_proto(operation)),
        client_id: client_id.to_string(),
        origin: Some(origin_to_proto(origin)),
        entity: Some(entity_to_proto(&registration.entity)),
        audience: registration
            .audience
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

pub(crate) fn add_from_proto(
    request: v1::AddRegistrationRequest,
    envelope: Envelope,
) -> Result<Parts, Fault> {
    parts(request, envelope)
}

pub(crate) fn remove_to_proto(
    call: &Call,
    operation: OperationId,
    client_id: &ClientId,
    registration: &Registration,
    origin: &Origin,
) -> v1::RemoveRegistrationRequest {
    let r = add_to_proto(call, operation, client_id, registration, origin);
    v1::RemoveRegistrationRequest {
        caller: r.caller,
        operation: r.operation,
        client_id: r.client_id,
        origin: r.origin,
        entity: r.entity,
        audience: r.audience,
    }
}

pub(crate) fn remove_from_proto(
    r: v1::RemoveRegistrationRequest,
    envelope: Envelope,
) -> Result<Parts, Fault> {
    let same = v1::AddRegistrationRequest {
        caller: r.caller,
        operation: r.operation,
        client_id: r.client_id,
        origin: r.origin,
        entity: r.entity,
        audience: r.audience,
    };
    parts(same, envelope)
}

fn change_to_proto(change: RegistrationChange) -> v1::RegistrationChange {
    match change {
        RegistrationChange::Changed => v1::RegistrationChange::Changed,
        RegistrationChange::Unchanged => v1::RegistrationChange::Unchanged,
        RegistrationChange::NotMapped => v1::RegistrationChange::NotMapped,
    }
}

fn change_from_proto(
    rpc: &str,
    change: v1::RegistrationChange,
) -> Result<RegistrationChange, Fault> {
    match change {
        v1::RegistrationChange::Changed => Ok(RegistrationChange::Changed),
        v1::RegistrationChange::Unchanged => Ok(RegistrationChange::Unchanged),
        v1::RegistrationChange::NotMapped => Ok(RegistrationChange::NotMapped),
        v1::RegistrationChange::Unspecified => {
            Err(broken(rpc, "change", &Malformed::new("must be specified")))
        }
    }
}

pub(crate) fn added_to_proto(change: RegistrationChange) -> v1::AddRegistrationResponse {
    v1::AddRegistrationResponse {
        change: change_to_proto(change).into(),
    }
}

pub(crate) fn added_from_proto(
    answer: v1::AddRegistrationResponse,
) -> Result<RegistrationChange, Fault> {
    change_from_proto("AddRegistration", answer.change())
}

pub(crate) fn removed_to_proto(change: RegistrationChange) -> v1::RemoveRegistrationResponse {
    v1::RemoveRegistrationResponse {
        change: change_to_proto(change).into(),
    }
}

pub(crate) fn removed_from_proto(
    answer: v1::RemoveRegistrationResponse,
) -> Result<RegistrationChange, Fault> {
    change_from_proto("RemoveRegistration", answer.change())
}
