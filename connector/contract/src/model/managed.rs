//! Clients that bear a mark, and the undoing of operations.

use jiff::Timestamp;

use super::{ClientId, OperationId, ProviderId};

/// One client that bears a mark of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedClient {
    /// Its id.
    pub client_id: ClientId,
    /// The provider of its mark.
    pub provider_id: ProviderId,
    /// The operation of its mark.
    pub operation_id: OperationId,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Whether it was made for Konnect's Verify.
    pub probe: bool,
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The most entries wanted, 1 to 500.
    pub size: u16,
    /// What the page before gave; `None`: the first page.
    pub token: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            size: 100,
            token: None,
        }
    }
}

/// One page of managed clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedClients {
    /// The clients; a page may be short or empty before the last.
    pub clients: Vec<ManagedClient>,
    /// What asks for the next page; `None`: this was the last.
    pub next: Option<String>,
    /// On the last page: whether the pages together hold every client that was there from the first page to the last,
    /// each once. Before that it says nothing.
    pub complete: bool,
}

/// What the operation to undo made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbortTarget {
    /// A client.
    Create,
    /// A secret of this client.
    AddSecret(ClientId),
}

/// What an abort did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// What the operation made is gone, or it can have made nothing.
    Undone,
    /// Nothing was found yet, or it cannot be removed yet; the connector looks again by itself.
    Accepted,
    /// The connector has no means to find it: it may be there, and nobody knows of it.
    Cannot,
    /// It is in use, or not the operation's, and is left alone.
    Left,
}
