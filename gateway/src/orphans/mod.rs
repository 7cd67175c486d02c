//! `orphans`: clients in the identity providers that no application in Konnect has, and applications whose client is
//! gone. Changes nothing, on either side.
//!
//! Lists the clients, then the applications; who seems to be without the other is looked at again, one by one at the
//! connector and in a second list of Konnect's, so that what comes and goes meanwhile is not accused. A list that is
//! not whole accuses nobody of its provider.

mod compare;
mod konnect;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dcr_contract::model::{
    Call, Caller, ClientId, Deadline, Installation, ManagedClient, Page, ProviderId, Reference,
};
use dcr_contract::{Connector, Fault, FaultKind, Reason, Remote};
use dcr_runtime::config::{Problems, read_secret_file};
use dcr_runtime::tls::ClientIdentity;
use tokio::task::JoinSet;

use self::compare::{Candidates, compare};
use self::konnect::Management;
pub(crate) use self::report::Report;
use self::report::{Comparison, Outcome, ProviderReport};
use crate::config::{Config, Konnect, Loaded, ProviderConfig, load_dir};
use crate::providers::connector;

/// For each question to a connector.
const PATIENCE: Duration = Duration::from_secs(30);
/// More pages than any identity provider has clients for.
const MOST_PAGES: usize = 10_000;

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The directory with gateway.yaml and providers.d/.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// A file with a Konnect token (kpat_ or spat_) that may view the portals' applications.
    #[arg(long, value_name = "FILE")]
    konnect_token_file: PathBuf,
    /// Only this provider.
    #[arg(long, value_name = "ID")]
    provider: Option<ProviderId>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why nobody of a provider can be accused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unclear(String);

/// Compares every provider, or the one that was asked for, all at once.
///
/// # Errors
/// When there is nothing to compare: the configuration or the token cannot be read, or there is no such provider.
pub(crate) async fn orphans(options: &Options) -> Result<Report, Unclear> {
    let unreadable = |problems: Problems| Unclear(problems.to_string());
    let Loaded {
        config, held_up, ..
    } = load_dir(&options.config).map_err(unreadable)?;
    let token = read_secret_file(&options.konnect_token_file);
    let token = token.map_err(|problem| Unclear(problem.to_string()))?;
    let management = Management::new(&token).map_err(Unclear)?;
    let Config {
        installation,
        connector_tls,
        mut providers,
        ..
    } = config;
    let gateway = Gateway {
        installation,
        connector_tls,
        management,
    };
    let mut held_up: Vec<_> = held_up
        .values()
        .flatten()
        .map(ToString::to_string)
        .collect();
    if let Some(wanted) = &options.provider {
        providers.retain(|provider| provider.id == *wanted);
        if providers.is_empty() {
            let sentence = format!("providers.d/ has no usable file of the provider {wanted}");
            return Err(Unclear([&[sentence][..], &held_up].concat().join("\n")));
        }
        held_up.clear();
    }
    let mut compared: JoinSet<(usize, ProviderReport)> = JoinSet::new();
    for (number, provider) in providers.into_iter().enumerate() {
        let gateway = gateway.clone();
        compared.spawn(async move { (number, gateway.examine(provider).await) });
    }
    let mut providers = compared.join_all().await;
    providers.sort_by_key(|(number, _)| *number);
    Ok(Report {
        providers: providers.into_iter().map(|(_, report)| report).collect(),
        held_up,
    })
}

/// What all providers are compared with.
#[derive(Clone)]
struct Gateway {
    installation: Installation,
    connector_tls: Option<Arc<ClientIdentity>>,
    management: Management,
}

impl Gateway {
    async fn examine(&self, provider: ProviderConfig) -> ProviderReport {
        let outcome = match &provider.konnect {
            None => Outcome::NotConfigured,
            Some(konnect) => match self.compared(&provider, konnect).await {
                Ok(candidates) => Outcome::Compared(Comparison::of(&candidates)),
                Err(Unclear(sentence)) => Outcome::Unclear(sentence),
            },
        };
        ProviderReport {
            provider: provider.id,
            konnect: provider.konnect,
            outcome,
        }
    }

    async fn compared(
        &self,
        provider: &ProviderConfig,
        konnect: &Konnect,
    ) -> Result<Candidates, Unclear> {
        let connector = connector(provider, self.connector_tls.as_ref()).map_err(|rule| {
            let address = &provider.connector;
            Unclear(format!("the connector's address {address} {rule}"))
        })?;
        let caller = Caller {
            installation: self.installation.clone(),
            provider_id: provider.id.clone(),
        };
        let clients = clients(&connector, &caller).await?;
        let applications = self.management.applications(konnect).await?;
        let mut found = compare(clients, &applications, &provider.id, &konnect.dcr_providers);
        look_again(&mut found, &connector, &caller).await?;
        if !found.is_empty() {
            found.still(&self.management.applications(konnect).await?);
        }
        Ok(found)
    }
}

/// All marked clients of the installation.
async fn clients(connector: &Remote, caller: &Caller) -> Result<Vec<ManagedClient>, Unclear> {
    let mut clients = Vec::new();
    let mut page = Page::default();
    for _ in 0..MOST_PAGES {
        let listed = connector
            .list_managed_clients(&call(caller), page.clone())
            .await;
        let listed = listed.map_err(|fault| match fault.kind() {
            FaultKind::Unsupported => {
                Unclear(format!("the connector cannot list its clients: {fault}"))
            }
            _ => Unclear(format!("the connector's list of clients failed: {fault}")),
        })?;
        clients.extend(listed.clients);
        match listed.next {
            Some(token) if page.token.as_ref() == Some(&token) => {
                let sentence =
                    "the connector's list of clients gives the same page again and again";
                return Err(Unclear(sentence.to_owned()));
            }
            Some(token) => page.token = Some(token),
            None if listed.complete => return Ok(clients),
            None => {
                return Err(Unclear(
                    "the connector's list of clients is not complete: the identity provider cut it short, or its \
                     clients changed faster than they could be listed; try again"
                        .to_owned(),
                ));
            }
        }
    }
    Err(Unclear(format!(
        "the connector's list of clients does not end within {MOST_PAGES} pages"
    )))
}

/// Asks the connector for each candidate's client: an orphan must be there, a client that is gone must not.
async fn look_again(
    found: &mut Candidates,
    connector: &Remote,
    caller: &Caller,
) -> Result<(), Unclear> {
    for client in std::mem::take(&mut found.orphans) {
        if look(connector, caller, &client.client_id).await? == Look::There {
            found.orphans.push(client);
        }
    }
    for application in std::mem::take(&mut found.gone) {
        // What no path can carry is no client of the bridge's.
        let id = application.client_id.as_deref().map(ClientId::parse);
        let look = match id {
            Some(Ok(id)) => look(connector, caller, &id).await?,
            _ => Look::Gone,
        };
        match look {
            Look::Gone => found.gone.push(application),
            Look::NotAdmitted => found.set_apart.not_admitted += 1,
            Look::There => {}
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    There,
    NotAdmitted,
    Gone,
}

/// Whether a client is there: whoever has secrets, even none, is; and so is one whose secrets cannot be listed, for of
/// a client that is not there, or not admitted, a connector says that.
async fn look(connector: &Remote, caller: &Caller, id: &ClientId) -> Result<Look, Unclear> {
    let gone = |fault: &Fault| *fault.kind() == FaultKind::NotFound;
    match connector.list_client_secrets(&call(caller), id).await {
        Ok(_) => Ok(Look::There),
        Err(fault) if *fault.kind() == FaultKind::Unsupported => Ok(Look::There),
        Err(fault) if gone(&fault) && fault.why() == Reason::ClientNotAdmitted => {
            Ok(Look::NotAdmitted)
        }
        Err(fault) if gone(&fault) => Ok(Look::Gone),
        Err(fault) => Err(Unclear(format!(
            "the connector could not look at the client {id}: {fault}"
        ))),
    }
}

fn call(caller: &Caller) -> Call {
    Call {
        caller: caller.clone(),
        deadline: Deadline::after(PATIENCE),
        reference: Reference::generate(),
    }
}
