//! What stands in a line beside its place in the chain.

use std::fmt;
use std::net::IpAddr;

use dcr_contract::model::{ClientId, OperationId, Origin, Reference, SecretId};
use dcr_runtime::telemetry::TraceId;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::keys::KeyId;
use crate::metrics::ProviderLabel;
use crate::record::Record;

/// What a line tells of a call.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) event: &'static str,
    #[serde(serialize_with = "label", skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<ProviderLabel>,
    #[serde(serialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<KeyId>,
    pub(super) operation: &'static str,
    #[serde(serialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) operation_id: Option<OperationId>,
    #[serde(serialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<ClientId>,
    #[serde(serialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) secret_id: Option<SecretId>,
    #[serde(flatten, serialize_with = "ids")]
    pub(super) origin: Option<Origin>,
    pub(super) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<&'static str>,
    #[serde(serialize_with = "shown")]
    pub(super) reference: Reference,
    /// Where traces are sent and this one is.
    #[serde(serialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub(super) trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<IpAddr>,
}

impl Entry {
    pub(super) fn new(record: &Record, outcome: &'static str, fault: Option<&'static str>) -> Self {
        Self {
            event: "call",
            provider: record.provider.get().cloned(),
            key: record.key.get().copied(),
            operation: record.operation.get().map_or("", |o| o.name()),
            operation_id: record.operation_id.get().copied(),
            client_id: record.client_id.get().cloned(),
            secret_id: record.secret_id.get().cloned(),
            origin: record.origin.get().cloned(),
            outcome,
            fault,
            reference: record.reference.clone(),
            trace_id: record.trace_id,
            peer: record.peer,
        }
    }
}

#[expect(clippy::ref_option, reason = "serde hands over what it has")]
fn label<S: Serializer>(label: &Option<ProviderLabel>, serializer: S) -> Result<S::Ok, S::Error> {
    label
        .as_ref()
        .map(ProviderLabel::as_str)
        .serialize(serializer)
}

fn shown<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde hands over what it has")]
fn text<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// Konnect's ids, where the call told them.
#[expect(clippy::ref_option, reason = "serde hands over what it has")]
fn ids<S: Serializer>(origin: &Option<Origin>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    if let Some(origin) = origin {
        let ids = [
            ("organization_id", &origin.organization_id),
            ("portal_id", &origin.portal_id),
            ("developer_id", &origin.developer_id),
            ("application_id", &origin.application_id),
            ("auth_strategy_id", &origin.auth_strategy_id),
            ("dcr_provider_id", &origin.dcr_provider_id),
        ];
        for (name, id) in ids {
            if let Some(id) = id {
                map.serialize_entry(name, id.as_str())?;
            }
        }
    }
    map.end()
}
