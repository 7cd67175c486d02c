//! The list of clients that bear a mark, page by page, as the gateway asks a connector for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dcr_contract::model::{Call, Caller, Deadline, Installation, Page, ProviderId, Reference};
use dcr_contract::{Connector as _, ConnectorAddress, Remote};

use crate::bridge::INSTALLATION;
use crate::http::PATIENCE;

/// A list being read.
#[derive(Debug)]
pub struct Listing {
    connector: Remote,
    size: u16,
    token: Option<String>,
    listed: BTreeMap<String, usize>,
    complete: Option<bool>,
}

impl Listing {
    /// Will list the clients of the tests' installation at a connector, in pages of this size.
    #[must_use]
    pub fn of(connector: SocketAddr, size: u16) -> Self {
        let address = ConnectorAddress::parse(&format!("http://{connector}"));
        let connector = address.and_then(|address| Remote::new(&address, None));
        Self {
            connector: connector.expect("an address that HTTP can use"),
            size,
            token: None,
            listed: BTreeMap::new(),
            complete: None,
        }
    }

    /// Reads the next page, and tells whether another follows.
    pub async fn page(&mut self) -> bool {
        let label = "a label of the bridge";
        let call = Call {
            caller: Caller {
                installation: Installation::parse(INSTALLATION).expect(label),
                provider_id: ProviderId::parse("one").expect(label),
            },
            deadline: Deadline::after(PATIENCE),
            reference: Reference::generate(),
        };
        let page = Page {
            size: self.size,
            token: self.token.take(),
        };
        let page = self.connector.list_managed_clients(&call, page).await;
        let page = page.unwrap_or_else(|fault| panic!("no page of managed clients: {fault}"));
        assert!(page.clients.len() <= self.size.into(), "a page is too long");
        for client in page.clients {
            *self.listed.entry(client.client_id.to_string()).or_default() += 1;
        }
        self.token = page.next;
        if self.token.is_none() {
            self.complete = Some(page.complete);
        }
        self.token.is_some()
    }

    /// Reads all further pages.
    pub async fn rest(&mut self) {
        while self.page().await {}
    }

    /// How often each client was listed.
    #[must_use]
    pub fn listed(&self) -> &BTreeMap<String, usize> {
        &self.listed
    }

    /// What the last page said; `None` before it was read.
    #[must_use]
    pub fn complete(&self) -> Option<bool> {
        self.complete
    }
}
