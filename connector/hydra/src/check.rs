//! The examination of a Hydra. Changes nothing.

use dcr_connector::fault::{Fault, Reason};
use dcr_connector::model::{Deadline, Finding, Severity};

use crate::api::Api;

/// Examines whether Hydra answers, and whether its admin API does.
pub(crate) async fn check(api: &Api, deadline: Deadline) -> Vec<Finding> {
    let error = |code, advice: &str, fault: &Fault| {
        Finding::new(Severity::Error, code, &format!("{advice}: {fault}"))
    };
    let finding = match api.ready(deadline).await {
        Err(fault) => error(
            "UNREACHABLE",
            "Hydra is not reached; check idp.admin_url",
            &fault,
        ),
        Ok(answer) if !answer.status().is_success() => error(
            "NOT_READY",
            "Hydra is not ready, or this is not Hydra; look into its log, and check idp.admin_url",
            &answer.fault(),
        ),
        Ok(_) => match api.list(deadline, "dcr:none", 1, None).await {
            Ok(_) => Finding::new(
                Severity::Ok,
                "ADMIN_API",
                "Hydra answers, and its admin API can be used.",
            ),
            Err(fault)
                if matches!(
                    fault.why(),
                    Reason::IdpCredentialRefused | Reason::IdpRightMissing
                ) =>
            {
                error(
                    "CREDENTIAL_REFUSED",
                    "what stands before the admin API refuses the connector; check idp.token_file",
                    &fault,
                )
            }
            Err(fault) => error(
                "NO_ADMIN_API",
                "the admin API is not here; idp.admin_url must be that of Hydra's admin port (4445), not the public one",
                &fault,
            ),
        },
    };
    vec![finding]
}
