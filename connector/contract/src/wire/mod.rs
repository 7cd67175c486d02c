//! The model as messages and back: one file per noun, both directions in it, nothing clever.
//!
//! What comes from the gateway is checked and all of its violations are told; what comes from a connector is not
//! trusted either, and an answer that breaks the contract is our `Internal`, named after the RPC.

pub(crate) mod client;
pub(crate) mod describe;
pub(crate) mod fault;
pub(crate) mod managed;
pub(crate) mod registration;
pub(crate) mod secret;

use std::time::Duration;

use dcr_proto::v1;
use jiff::Timestamp;

use crate::fault::{Fault, Violations};
use crate::model::{
    Call, Caller, ClientId, Deadline, Field, Installation, Malformed, OpaqueId, OperationId,
    Origin, ProviderId, Reference,
};

/// What a request carries outside its message.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) deadline: Deadline,
    pub(crate) reference: Reference,
}

impl Envelope {
    fn with(self, caller: Caller) -> Call {
        Call {
            caller,
            deadline: self.deadline,
            reference: self.reference,
        }
    }
}

pub(crate) fn caller_to_proto(caller: &Caller) -> v1::Caller {
    v1::Caller {
        installation: caller.installation.as_str().to_owned(),
        provider_id: caller.provider_id.as_str().to_owned(),
    }
}

fn caller_from_proto(caller: Option<v1::Caller>, v: &mut Violations) -> Option<Caller> {
    let caller = caller.unwrap_or_default();
    let installation = v.check(Field::Caller, Installation::parse(&caller.installation));
    let provider_id = v.check(Field::Caller, ProviderId::parse(&caller.provider_id));
    Some(Caller {
        installation: installation?,
        provider_id: provider_id?,
    })
}

pub(crate) fn operation_to_proto(operation: OperationId) -> v1::Operation {
    v1::Operation {
        operation_id: operation.to_string(),
    }
}

fn operation_from_proto(op: Option<v1::Operation>, v: &mut Violations) -> Option<OperationId> {
    v.check(
        Field::Operation,
        OperationId::parse(&op.unwrap_or_default().operation_id),
    )
}

fn client_id_from_proto(id: &str, v: &mut Violations) -> Option<ClientId> {
    v.check(Field::ClientId, ClientId::parse(id))
}

/// What every mutation of an existing client names.
fn subject_from_proto(
    caller: Option<v1::Caller>,
    operation: Option<v1::Operation>,
    client_id: &str,
    v: &mut Violations,
) -> Option<(Caller, OperationId, ClientId)> {
    let caller = caller_from_proto(caller, v);
    let operation = operation_from_proto(operation, v);
    let client_id = client_id_from_proto(client_id, v);
    Some((caller?, operation?, client_id?))
}

pub(crate) fn origin_to_proto(origin: &Origin) -> v1::Origin {
    let text = |id: &Option<OpaqueId>| id.as_ref().map_or_else(String::new, ToString::to_string);
    v1::Origin {
        organization_id: text(&origin.organization_id),
        portal_id: text(&origin.portal_id),
        developer_id: text(&origin.developer_id),
        auth_strategy_id: text(&origin.auth_strategy_id),
        dcr_provider_id: text(&origin.dcr_provider_id),
        application_id: text(&origin.application_id),
    }
}

fn origin_from_proto(origin: Option<v1::Origin>, v: &mut Violations) -> Origin {
    let origin = origin.unwrap_or_default();
    let mut id = |text: &str| {
        v.check_optional(
            Field::Origin,
            (!text.is_empty()).then(|| OpaqueId::parse(text)),
        )
    };
    Origin {
        organization_id: id(&origin.organization_id),
        portal_id: id(&origin.portal_id),
        developer_id: id(&origin.developer_id),
        auth_strategy_id: id(&origin.auth_strategy_id),
        dcr_provider_id: id(&origin.dcr_provider_id),
        application_id: id(&origin.application_id),
    }
}

/// Ends the reading of a request: the parts, or everything that is wrong with it.
fn complete<T>(violations: Violations, parts: Option<T>) -> Result<T, Fault> {
    match parts {
        Some(parts) if violations.is_empty() => Ok(parts),
        _ => Err(violations.into_fault()),
    }
}

/// An answer of a connector that breaks the contract. What was done cannot be told from it.
fn broken(rpc: &str, field: &str, rule: &Malformed) -> Fault {
    Fault::internal(format!(
        "the connector's answer to {rpc} breaks the contract: {field} {rule}"
    ))
}

fn time_to_proto(time: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    time.map(|t| prost_types::Timestamp {
        seconds: t.as_second(),
        nanos: t.subsec_nanosecond(),
    })
}

fn time_from_proto(time: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Malformed> {
    time.map(|t| Timestamp::new(t.seconds, t.nanos))
        .transpose()
        .map_err(|_| Malformed::new("must be a time between the years 1 and 9999"))
}

/// `None` for what is no length of time. prost's own conversion panics on some of these.
fn duration_from_proto(duration: Option<prost_types::Duration>) -> Option<Duration> {
    let duration = duration?;
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos).ok()?;
    Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))
}
