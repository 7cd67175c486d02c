//! The published contract (`Kong/konnect-portal-dcr-handler`, `openapi/openapi.yaml`) as named checks.
//!
//! What is demanded is what that file says, what the Portal API can hold, and what Konnect was seen to send. Where all
//! of them are silent, a check is advice.

mod auth;
mod base_url;
mod create;
mod delete;
mod hook;
mod hostile;
mod limits;
mod list;
mod reach;
mod reading;
mod refusals;
mod rotate;
mod secrets;
mod time;
mod trial;

use crate::Tried;
use crate::arguments::Lacks;
use crate::report::{Console, Entry, Outcome};
use crate::verdict::{Basis, Check};
use trial::Trial;

/// All checks, in the order in which they are made.
fn all() -> impl Iterator<Item = &'static Check<Trial>> {
    [
        reach::CHECKS,
        auth::CHECKS,
        create::CHECKS,
        reading::CHECKS,
        limits::CHECKS,
        base_url::CHECKS,
        list::CHECKS,
        secrets::CHECKS,
        rotate::CHECKS,
        hook::CHECKS,
        delete::CHECKS,
        refusals::CHECKS,
        hostile::CHECKS,
        time::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// The checks whose names hold one of these texts; all, if there is none.
///
/// # Errors
/// A sentence, when there is no such check.
pub(crate) fn chosen(only: &[String]) -> Result<Vec<&'static Check<Trial>>, String> {
    let wanted = |check: &&Check<Trial>| {
        only.is_empty() || only.iter().any(|text| check.full_name().contains(&**text))
    };
    let chosen: Vec<_> = all().filter(wanted).collect();
    if chosen.is_empty() {
        Err("--only: no check has such a name; --list names them all".to_owned())
    } else {
        Ok(chosen)
    }
}

/// Names the checks.
pub(crate) fn list() {
    let console = Console::new();
    for check in all() {
        let advice = match check.basis {
            Basis::Demanded(_) => "",
            Basis::Wise(_) => " (advice)",
        };
        console.say(&format!("{}{advice}", check.full_name()));
    }
}

/// Makes the checks.
pub(crate) async fn run(checks: &[&'static Check<Trial>], tried: Tried<'_>, lacks: Lacks) {
    let trial = Trial::new(tried.bridge, tried.tokens, lacks);
    let silent = trial.reached().await.is_err();
    for check in checks {
        if silent && check.group != reach::GROUP {
            let entry = Entry {
                group: check.group,
                name: check.name,
                basis: check.basis.source(),
                remedy: check.remedy,
                outcome: Outcome::Skipped("the bridge does not answer".to_owned()),
                took: std::time::Duration::ZERO,
            };
            tried.console.show(&entry);
            tried.report.entries.push(entry);
        } else {
            check.take(&trial, tried.report, tried.console).await;
        }
    }
}
