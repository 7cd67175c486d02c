//! Clients that are not the bridge's, or not this provider's: whatever happens, nothing of them may change.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use crate::journal::{Call, Client, Event, Journal, SECRET, Secret};
use crate::world::INSTALLATION;

/// Whoever wrote a client into the table that nobody asked for.
pub(crate) const STRANGER: &str = "stranger";
/// Their ids.
pub(crate) const IDS: [&str; 6] = [
    "payroll",
    "dcr-0193f0c0de007000800000000000c0de",
    "chaos-000001",
    "other-provider",
    "other-installation",
    "damaged",
];

/// Writes them into the IdP's table, before it starts.
pub(crate) fn plant(journal: &Path) {
    let mut journal = Journal::open(journal).expect("a journal can be begun");
    for id in IDS {
        let operation = Uuid::now_v7().to_string();
        let marked = |installation: &str, provider: &str| {
            let attributes = [
                ("dcr_installation", installation),
                ("dcr_provider", provider),
                ("dcr_operation", &operation),
            ];
            attributes.map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let attributes = match id {
            "other-provider" => BTreeMap::from(marked(INSTALLATION, "somebody")),
            "other-installation" => BTreeMap::from(marked("elsewhere", "chaos")),
            "damaged" => marked(INSTALLATION, "chaos").into_iter().take(2).collect(),
            _ => BTreeMap::new(),
        };
        let client = Client {
            client_id: id.to_owned(),
            // As the bridge's own are named.
            name: "chaos-000001".to_owned(),
            description: "made by hand".to_owned(),
            redirect_uris: vec!["https://payroll.example/cb".to_owned()],
            grant_types: vec!["client_credentials".to_owned()],
            scopes: vec!["a.read".to_owned()],
            audiences: Vec::new(),
            token_endpoint_auth_method: None,
            attributes,
            created_at: "2024-02-29T12:00:00Z".to_owned(),
            secrets: vec![Secret {
                secret_id: "first".to_owned(),
                client_secret: format!("{SECRET}-{id}"),
                created_at: "2024-02-29T12:00:00Z".to_owned(),
                label: None,
            }],
        };
        let committed = Event::Committed {
            call: Call::Stranger,
            client_id: id.to_owned(),
            client: Some(Box::new(client)),
        };
        journal
            .write(STRANGER, committed)
            .expect("the disk has room");
    }
}
