//! The comparison; pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dcr_contract::model::{ManagedClient, ProviderId};
use serde::Serialize;
use uuid::Uuid;

use super::konnect::Application;

/// A client younger than this may belong to an application that Konnect is about to make, or be about to be undone.
const YOUNG: Duration = Duration::from_mins(15);

/// What is told of nobody, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SetApart {
    /// Clients that Konnect's Verify made: the connector removes them itself.
    pub(crate) probes: usize,
    /// Clients younger than 15 minutes.
    pub(crate) young: usize,
    /// Applications with a client that is in the IdP and was never admitted.
    pub(crate) not_admitted: usize,
    /// Applications with a client of another provider of this installation.
    pub(crate) of_other_providers: usize,
}

/// Who may be accused, if a second look finds them as the first did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    pub(super) orphans: Vec<ManagedClient>,
    pub(super) gone: Vec<Application>,
    pub(super) set_apart: SetApart,
    /// How many clients the provider has, probes and young ones left out.
    pub(super) clients: usize,
    /// How many applications use the provider.
    pub(super) applications: usize,
}

/// Compares the marked clients of the installation with Konnect's applications, for one provider.
pub(super) fn compare(
    clients: Vec<ManagedClient>,
    applications: &BTreeMap<String, Application>,
    provider: &ProviderId,
    dcr_providers: &[Uuid],
) -> Candidates {
    let mut found = Candidates::default();
    let (ours, others): (Vec<_>, Vec<_>) = clients
        .into_iter()
        .partition(|c| c.provider_id == *provider);
    let of = |clients: &[ManagedClient]| -> BTreeSet<String> {
        clients
            .iter()
            .map(|client| client.client_id.to_string())
            .collect()
    };
    let (our_ids, other_ids) = (of(&ours), of(&others));

    // Whatever application has it, it is somebody's: no orphan.
    let known: BTreeSet<_> = applications
        .values()
        .filter_map(|a| a.client_id.as_deref())
        .collect();
    for client in ours {
        if client.probe {
            found.set_apart.probes += 1;
        } else if client.operation_id.age() < YOUNG {
            found.set_apart.young += 1;
        } else {
            found.clients += 1;
            if !known.contains(client.client_id.as_str()) {
                found.orphans.push(client);
            }
        }
    }
    for application in applications.values().filter(|a| a.is_of(dcr_providers)) {
        found.applications += 1;
        let id = application.client_id.as_deref().unwrap_or_default();
        if other_ids.contains(id) {
            found.set_apart.of_other_providers += 1;
        } else if !our_ids.contains(id) {
            found.gone.push(application.clone());
        }
    }
    found
}

impl Candidates {
    /// Keeps those whom Konnect's later list shows as the first one did.
    pub(super) fn still(&mut self, applications: &BTreeMap<String, Application>) {
        let known: BTreeSet<_> = applications
            .values()
            .filter_map(|a| a.client_id.as_deref())
            .collect();
        self.orphans
            .retain(|client| !known.contains(client.client_id.as_str()));
        self.gone.retain(|gone| {
            let now = applications.get(&gone.id);
            now.is_some_and(|now| now.client_id == gone.client_id)
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.orphans.is_empty() && self.gone.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use dcr_contract::model::{ClientId, OperationId};
    use serde_json::json;

    use super::*;

    const DCR_PROVIDER: &str = "0f3dcb4f-6a1b-4ea0-b2b5-d7e0e0d9a1c2";

    fn client(id: &str, provider: &str) -> ManagedClient {
        ManagedClient {
            client_id: ClientId::parse(id).unwrap(),
            provider_id: ProviderId::parse(provider).unwrap(),
            operation_id: OperationId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
            created_at: None,
            probe: false,
        }
    }

    fn application(
        id: &str,
        client_id: Option<&str>,
        dcr_provider: Option<&str>,
    ) -> (String, Application) {
        let json = json!({"id": id, "client_id": client_id, "dcr_provider": dcr_provider.map(|id| json!({"id": id}))});
        (id.to_owned(), serde_json::from_value(json).unwrap())
    }

    fn compared(
        clients: Vec<ManagedClient>,
        applications: &BTreeMap<String, Application>,
    ) -> Candidates {
        let ids = [Uuid::try_parse(DCR_PROVIDER).unwrap()];
        compare(
            clients,
            applications,
            &ProviderId::parse("one").unwrap(),
            &ids,
        )
    }

    #[test]
    fn each_side_is_compared_with_what_belongs_to_it() {
        let (ours, theirs) = (DCR_PROVIDER.to_uppercase(), Uuid::nil().to_string());
        let applications = BTreeMap::from([
            application("has-one", Some("a"), Some(&ours)),
            application("gone", Some("b"), Some(&ours)),
            application("of-another-dcr-provider", Some("c"), Some(&theirs)),
            application("self-managed", Some("d"), None),
            application("key-auth", None, None),
            application("of-two", Some("e"), Some(&ours)),
        ]);
        let probe = ManagedClient {
            probe: true,
            ..client("p", "one")
        };
        let young = ManagedClient {
            operation_id: OperationId::generate(),
            ..client("y", "one")
        };
        let clients = vec![
            client("a", "one"),
            // Not of our DCR provider in Konnect, and yet somebody's.
            client("d", "one"),
            client("e", "two"),
            client("f", "one"),
            client("g", "two"),
            probe,
            young,
        ];
        let found = compared(clients, &applications);
        let orphans: Vec<_> = found.orphans.iter().map(|c| c.client_id.as_str()).collect();
        let gone: Vec<_> = found.gone.iter().map(|a| a.id.as_str()).collect();
        assert_eq!((orphans, gone), (vec!["f"], vec!["gone"]));
        assert_eq!((found.clients, found.applications), (3, 3));
        let set_apart = SetApart {
            probes: 1,
            young: 1,
            not_admitted: 0,
            of_other_providers: 1,
        };
        assert_eq!(found.set_apart, set_apart);
    }

    #[test]
    fn what_a_later_list_shows_otherwise_is_not_accused() {
        let before = BTreeMap::from([
            application("deleted", Some("b"), Some(DCR_PROVIDER)),
            application("gone", Some("c"), Some(DCR_PROVIDER)),
        ]);
        let mut found = compared(vec![client("a", "one"), client("d", "one")], &before);
        let after = BTreeMap::from([
            application("created", Some("a"), Some(DCR_PROVIDER)),
            application("gone", Some("c"), Some(DCR_PROVIDER)),
        ]);
        found.still(&after);
        let orphans: Vec<_> = found.orphans.iter().map(|c| c.client_id.as_str()).collect();
        let gone: Vec<_> = found.gone.iter().map(|a| a.id.as_str()).collect();
        assert_eq!((orphans, gone), (vec!["d"], vec!["gone"]));
    }
}
