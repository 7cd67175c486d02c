//! What a connector says of itself and of its IdP.

use std::collections::HashSet;

use dcr_proto::v1;

use super::{broken, duration_from_proto, time_from_proto, time_to_proto};
use crate::fault::Fault;
use crate::model::{Capability, ConnectorInfo, Finding, Malformed, ProviderId, Severity};

const CAPABILITIES: [(Capability, v1::Capability); 8] = [
    (Capability::RotateSecret, v1::Capability::RotateSecret),
    (Capability::AddSecret, v1::Capability::AddSecret),
    (Capability::RemoveSecret, v1::Capability::RemoveSecret),
    (Capability::Update, v1::Capability::Update),
    (Capability::Registrations, v1::Capability::Registrations),
    (Capability::ListManaged, v1::Capability::ListManaged),
    (Capability::AbortCreate, v1::Capability::AbortCreate),
    (Capability::AbortAddSecret, v1::Capability::AbortAddSecret),
];

pub(crate) fn info_to_proto(info: ConnectorInfo) -> v1::DescribeConnectorResponse {
    let wire = |c: &Capability| {
        CAPABILITIES
            .iter()
            .find(|(ours, _)| ours == c)
            .map(|(_, w)| *w as i32)
    };
    v1::DescribeConnectorResponse {
        name: info.name,
        version: info.version,
        contract_minor: info.contract_minor,
        capabilities: info.capabilities.iter().filter_map(wire).collect(),
        max_secrets: info.max_secrets,
        settle_after: prost_types::Duration::try_from(info.settle_after).ok(),
    }
}

pub(crate) fn info_from_proto(info: v1::DescribeConnectorResponse) -> Result<ConnectorInfo, Fault> {
    const RPC: &str = "DescribeConnector";
    // The same characters as a provider id: it becomes a metric label and a part of log lines.
    ProviderId::parse(&info.name).map_err(|m| broken(RPC, "name", &m))?;
    if info.version.len() > 64 || !info.version.bytes().all(|b| b.is_ascii_graphic()) {
        let rule = Malformed::new("must be at most 64 printable characters");
        return Err(broken(RPC, "version", &rule));
    }
    let settle_after = duration_from_proto(info.settle_after)
        .ok_or_else(|| broken(RPC, "settle_after", &Malformed::new("must be a duration")))?;
    // Each once, however often it was said. What a newer connector has and this side does not know is of no use here.
    let said: HashSet<_> = info.capabilities().collect();
    let known = CAPABILITIES.iter().filter(|(_, wire)| said.contains(wire));
    Ok(ConnectorInfo {
        capabilities: known.map(|(ours, _)| *ours).collect(),
        name: info.name,
        version: info.version,
        contract_minor: info.contract_minor,
        max_secrets: info.max_secrets,
        settle_after,
    })
}

pub(crate) fn findings_to_proto(findings: Vec<Finding>) -> v1::CheckIdentityProviderResponse {
    let finding = |f: Finding| v1::Finding {
        severity: match f.severity {
            Severity::Ok => v1::Severity::Ok,
            Severity::Warning => v1::Severity::Warning,
            Severity::Error => v1::Severity::Error,
        }
        .into(),
        code: f.code,
        sentence: f.sentence.to_string(),
        expires_at: time_to_proto(f.expires_at),
    };
    v1::CheckIdentityProviderResponse {
        findings: findings.into_iter().map(finding).collect(),
    }
}

pub(crate) fn findings_from_proto(answer: v1::CheckIdentityProviderResponse) -> Vec<Finding> {
    let finding = |f: v1::Finding| {
        let severity = match f.severity() {
            v1::Severity::Ok => Severity::Ok,
            v1::Severity::Warning => Severity::Warning,
            v1::Severity::Error | v1::Severity::Unspecified => Severity::Error,
        };
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let named = !f.code.is_empty() && f.code.len() <= 64 && f.code.bytes().all(legal);
        let code = if named { &f.code } else { "UNNAMED" };
        Finding {
            expires_at: time_from_proto(f.expires_at).unwrap_or_default(),
            ..Finding::new(severity, code, &f.sentence)
        }
    };
    answer.findings.into_iter().take(100).map(finding).collect()
}
