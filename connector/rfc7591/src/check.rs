//! The examination of a server and of what is configured for it. Changes nothing.

use std::collections::BTreeSet;

use dcr_connector::fault::{Fault, FaultKind};
use dcr_connector::http::{Effect, Method};
use dcr_connector::model::{AuthMethod, Deadline, Finding, Severity};

use crate::Rfc7591;
use crate::api::{Management, Registration, Server};
use crate::behaviour::PutSecret;
use crate::discovery::Document;

/// Examines the server, the connector's credentials at it, the store, and says what the server cannot do before somebody
/// asks for it.
pub(crate) async fn check(idp: &Rfc7591, deadline: Deadline) -> Vec<Finding> {
    let mut findings = limits(idp);
    match idp.api.discover(deadline).await {
        Ok((server, document)) => {
            findings.push(reached(idp, &server, deadline).await);
            if let Some(document) = document {
                findings.extend(differences(idp, &document));
            }
            findings.extend(credentials(idp, &server, deadline).await);
        }
        Err(fault) => findings.push(unreached("idp.issuer", &fault)),
    }
    findings.extend(idp.store.check(deadline).await);
    findings
}

/// What the bridge cannot do for its clients here.
fn limits(idp: &Rfc7591) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |severity, code, sentence: &str| {
        findings.push(Finding::new(severity, code, sentence));
    };
    if !idp.is_managed() {
        let sentence = "idp.management says that clients are not managed: none is ever changed or deleted by the bridge. \
                        Delete them at the server.";
        found(Severity::Warning, "CANNOT_DELETE", sentence);
        return findings;
    }
    let behaviour = idp.behaviour;
    if !behaviour.can_delete() {
        let sentence = "idp.behaviour says that the server cannot delete: Konnect's deletes are refused, and what nobody got \
                        the answer to stays. Delete at the server.";
        found(Severity::Warning, "CANNOT_DELETE", sentence);
    }
    if behaviour.delete.is_none() {
        let sentence = "What a DELETE does is not configured, so it is taken to be answered 204, and the first delete will \
                        tell: run `check --probe`, and set idp.behaviour.delete.";
        found(Severity::Warning, "BEHAVIOUR_UNKNOWN", sentence);
    }
    if behaviour.put_token.is_none() && (behaviour.update().is_some() || behaviour.can_rotate()) {
        let sentence = "Whether an update replaces the registration access token is not configured, so every lost answer \
                        leaves a doubtful client: run `check --probe`, and set idp.behaviour.put_token.";
        found(Severity::Warning, "BEHAVIOUR_UNKNOWN", sentence);
    }
    if behaviour.put_secret.is_none() {
        let sentence = "What an update does to a client's secret is not configured, so updates and rotations are refused: \
                        run `check --probe`, and set idp.behaviour.";
        found(Severity::Warning, "BEHAVIOUR_UNKNOWN", sentence);
        return findings;
    }
    if behaviour.update().is_none() {
        let sentence = match behaviour.put_secret {
            Some(PutSecret::New) => {
                "Updates are refused: the server would replace the client's secret."
            }
            Some(PutSecret::Unsupported) => "Updates are refused: the server has none.",
            _ => {
                "Updates are refused: they need the current secret, and a GET that changes nothing (idp.behaviour.get)."
            }
        };
        found(Severity::Ok, "CANNOT_UPDATE", sentence);
    }
    if !behaviour.can_rotate() {
        let sentence =
            "Rotations are refused: the server makes no new secret for a client that is there.";
        found(Severity::Ok, "CANNOT_ROTATE", sentence);
    }
    findings
}

/// Whether the registration endpoint is there. A GET of it registers nobody, and whatever it answers will do.
async fn reached(idp: &Rfc7591, server: &Server, deadline: Deadline) -> Finding {
    let endpoint = &server.registration_endpoint;
    let request = idp.api.http().at(Effect::Reads, Method::GET, endpoint);
    match request.send_anonymously(deadline).await {
        Ok(_) => Finding::new(
            Severity::Ok,
            "REACHABLE",
            &format!("The server answers at its registration endpoint, {endpoint}."),
        ),
        Err(fault) => unreached("idp.registration_endpoint", &fault),
    }
}

/// What the server says that it does not have, and the configuration wants.
fn differences(idp: &Rfc7591, document: &Document) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lacks = |supported: &Option<Vec<String>>, wanted: &str| {
        let supported = supported.as_ref();
        supported.is_some_and(|supported| supported.iter().all(|has| has != wanted))
    };
    let unknown: BTreeSet<_> = idp
        .grants
        .all()
        .into_iter()
        .filter(|scope| lacks(&document.scopes_supported, scope))
        .collect();
    for scope in unknown {
        let sentence = format!(
            "idp.grants names the scope {scope}, which is not among the server's scopes_supported: make it there, or \
             correct the name."
        );
        findings.push(Finding::new(Severity::Warning, "GRANT_UNKNOWN", &sentence));
    }
    let methods = &document.token_endpoint_auth_methods_supported;
    let refused = |method: &AuthMethod| lacks(methods, method.as_str());
    if idp.mapping.template.is_none() && idp.mapping.auth_methods.iter().all(refused) {
        let sentence = "The server's token_endpoint_auth_methods_supported has none of \
                        idp.token_endpoint_auth_methods: name one that it has.";
        findings.push(Finding::new(
            Severity::Error,
            "AUTH_METHOD_UNKNOWN",
            sentence,
        ));
    }
    if lacks(&document.grant_types_supported, "client_credentials") {
        let sentence = "client_credentials is not among the server's grant_types_supported: applications for machines may \
                        be refused. `check --probe` finds out.";
        findings.push(Finding::new(
            Severity::Warning,
            "GRANT_TYPE_UNKNOWN",
            sentence,
        ));
    }
    findings
}

/// Whether the server accepts the connector's own credentials.
async fn credentials(idp: &Rfc7591, server: &Server, deadline: Deadline) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of_registration = matches!(idp.api.registration(), Registration::Credential { .. });
    let of_management = matches!(idp.api.management(), Management::Credential(_));
    for (is_used, section, http) in [
        (of_registration, "idp.registration", server.registrar()),
        (of_management, "idp.management", server.manager()),
    ] {
        if !is_used {
            continue;
        }
        let claims = http.token_claims::<serde::de::IgnoredAny>(deadline).await;
        findings.push(match claims {
            Ok(_) => {
                let sentence = format!("The server gives a token for {section}.client_credentials.");
                Finding::new(Severity::Ok, "CREDENTIAL_ACCEPTED", &sentence)
            }
            Err(fault) if *fault.kind() == FaultKind::Refused => {
                let sentence = format!(
                    "The server refuses {section}.client_credentials; check the id, the secret's file, the scope and \
                     token_endpoint_auth_method: {}",
                    fault.message()
                );
                Finding::new(Severity::Error, "CREDENTIAL_REFUSED", &sentence)
            }
            Err(fault) => {
                let sentence = format!("No token is to be had for {section}.client_credentials: {fault}");
                Finding::new(Severity::Error, "NO_TOKEN", &sentence)
            }
        });
    }
    findings
}

fn unreached(member: &str, fault: &Fault) -> Finding {
    let sentence = format!("The server is of no use; check {member}: {fault}");
    Finding::new(Severity::Error, "UNREACHABLE", &sentence)
}
