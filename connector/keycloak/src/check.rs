//! The examination of a realm. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use dcr_connector::fault::{Fault, FaultKind};
use dcr_connector::http::{Answer, StatusCode};
use dcr_connector::model::{Deadline, Finding, Severity};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::api::Api;
use crate::config::Grant;
use crate::grants;
use crate::map::secrets;

/// How far the clocks may be apart.
const SKEW_SECONDS: i64 = 30;
/// A secret that ends within this is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Examines the realm, the credential, its rights, and whether what the configuration grants is there.
pub(crate) async fn check(
    api: &Api,
    own_client_id: &str,
    granted: &BTreeSet<Grant>,
    deadline: Deadline,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_reached = realm(api, deadline, &mut findings).await;
    if is_reached && credential(api, granted, deadline, &mut findings).await {
        findings.extend(expiry(api, own_client_id, deadline).await);
        match grants::absences(api, deadline, granted).await {
            Ok(absences) => findings.extend(absences.iter().map(|what| {
                let sentence = format!(
                    "idp.grants names {what}, which the realm does not have: make it there."
                );
                Finding::new(Severity::Error, "GRANT_UNKNOWN", &sentence)
            })),
            Err(fault) => findings.push(failed("GRANTS_UNREADABLE", &fault)),
        }
    }
    findings
}

async fn realm(api: &Api, deadline: Deadline, findings: &mut Vec<Finding>) -> bool {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let mut found = |severity, code, sentence: &str| {
        findings.push(Finding::new(severity, code, sentence));
    };
    let answer = match api.discovery(deadline).await {
        Ok(answer) => answer,
        Err(fault) => {
            let sentence = format!("Keycloak is not reached; check idp.base_url: {fault}");
            found(Severity::Error, "UNREACHABLE", &sentence);
            return false;
        }
    };
    if answer.status() == StatusCode::NOT_FOUND {
        let sentence = "There is no such realm at idp.base_url; check idp.realm, and whether the base URL \
                        ends in /auth.";
        found(Severity::Error, "REALM_UNKNOWN", sentence);
        return false;
    }
    let skew = skew(&answer, Timestamp::now());
    let discovery = answer
        .expect(&[StatusCode::OK])
        .and_then(|answer| answer.json::<Discovery>());
    match discovery {
        Err(fault) => {
            let sentence = format!("The realm does not answer as Keycloak does: {fault}");
            found(Severity::Error, "UNREACHABLE", &sentence);
            return false;
        }
        Ok(Discovery { issuer }) if issuer != api.issuer() => {
            let sentence = format!(
                "Keycloak calls the issuer of its tokens {issuer}, not {}: fine if it has another name inside.",
                api.issuer()
            );
            found(Severity::Warning, "ISSUER_DIFFERS", &sentence);
        }
        Ok(_) => found(
            Severity::Ok,
            "REACHABLE",
            "The realm answers under the expected issuer.",
        ),
    }
    if let Some(seconds) = skew.filter(|seconds| seconds.abs() > SKEW_SECONDS) {
        let sentence =
            format!("Keycloak's clock is {seconds} s ahead of the connector's: set them right.");
        found(Severity::Warning, "CLOCK_SKEW", &sentence);
    }
    true
}

/// By how many seconds the answerer's clock is ahead.
fn skew(answer: &Answer, now: Timestamp) -> Option<i64> {
    let date = DateTimeParser::new()
        .parse_timestamp(answer.header("date")?)
        .ok()?;
    Some(date.as_second() - now.as_second())
}

async fn credential(
    api: &Api,
    granted: &BTreeSet<Grant>,
    deadline: Deadline,
    findings: &mut Vec<Finding>,
) -> bool {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(default)]
        resource_access: BTreeMap<String, Access>,
    }
    #[derive(Deserialize)]
    struct Access {
        roles: Vec<String>,
    }
    let claims = match api.http().token_claims::<Claims>(deadline).await {
        Ok(claims) => claims,
        Err(fault) if *fault.kind() == FaultKind::Refused => {
            let sentence = format!(
                "The realm refuses the credential; check idp.client_id, idp.client_secret_file and that the \
                 client has a service account: {}",
                fault.message()
            );
            findings.push(Finding::new(
                Severity::Error,
                "CREDENTIAL_REFUSED",
                &sentence,
            ));
            return false;
        }
        Err(fault) => {
            findings.push(failed("NO_TOKEN", &fault));
            return false;
        }
    };
    let mut access = claims
        .map(|claims| claims.resource_access)
        .unwrap_or_default();
    let roles = access
        .remove("realm-management")
        .map(|access| access.roles)
        .unwrap_or_default();
    let grants_roles = granted.iter().any(|grant| matches!(grant, Grant::Role(_)));
    let needed = [
        Some("manage-clients"),
        grants_roles.then_some("manage-users"),
    ];
    let missing = needed
        .into_iter()
        .flatten()
        .filter(|role| roles.iter().all(|has| has != role));
    let missing: Vec<_> = missing
        .map(|role| {
            let sentence = format!(
                "The connector's service account lacks the role {role} of realm-management: assign it, as the \
                 connector's README shows."
            );
            Finding::new(Severity::Error, "RIGHT_MISSING", &sentence)
        })
        .collect();
    if missing.is_empty() {
        let sentence = "The realm accepts the credential, which has the rights that it needs.";
        findings.push(Finding::new(Severity::Ok, "CREDENTIAL_ACCEPTED", sentence));
        return true;
    }
    findings.extend(missing);
    false
}

/// When a client policy of the realm ends the connector's own secret.
async fn expiry(api: &Api, own_client_id: &str, deadline: Deadline) -> Option<Finding> {
    const CODE: &str = "CREDENTIAL_EXPIRES";
    let end = match api.find(deadline, own_client_id).await {
        Ok(client) => secrets::expiry(&client?)?,
        Err(fault) => return Some(failed("CREDENTIAL_UNREADABLE", &fault)),
    };
    let severity = if end.duration_since(Timestamp::now()) < SOON {
        Severity::Warning
    } else {
        Severity::Ok
    };
    let sentence = format!(
        "A client policy of the realm ends the connector's secret at {end}: make a new one before, and put it into the \
         file that idp.client_secret_file names."
    );
    Some(Finding::new(severity, CODE, &sentence).expires_at(end))
}

fn failed(code: &str, fault: &Fault) -> Finding {
    Finding::new(
        Severity::Error,
        code,
        &format!("Keycloak could not be examined: {fault}"),
    )
}
