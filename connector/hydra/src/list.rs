//! An installation's clients page by page, while clients come and go.
//!
//! Hydra orders clients by their id. Its page tokens are its own affair: some versions count from the start of the list,
//! where each client that vanishes moves all that follow, past a page that has been read. A page therefore begins behind
//! the last clients that were seen, and is read together with the page before it.

use dcr_connector::fault::Fault;
use dcr_connector::model::{Deadline, Malformed};
use serde::{Deserialize, Serialize};

use crate::api::{Api, Client, Clients};

/// The longest page: an answer is at most 1 MiB, and a client is rarely more than 4 KB.
pub(crate) const LARGEST_PAGE: usize = 200;
/// How many bytes of ids are remembered: a token is at most 1,024 characters.
const REMEMBERED: usize = 600;

/// How far a list has come; the token of the next page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Hydra's token of the page before; the first page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// Hydra's token of the next page.
    next: String,
    /// The size that Hydra's tokens were made for.
    size: usize,
    /// The ids of the last clients seen.
    seen: Vec<String>,
    /// Whether the place was lost before.
    lost: bool,
}

impl Place {
    /// Reads a token.
    pub(crate) fn parse(token: &str) -> Result<Self, Malformed> {
        let place = serde_json::from_str(token).ok();
        place
            .filter(|place: &Self| (1..=LARGEST_PAGE).contains(&place.size))
            .ok_or_else(|| Malformed::new("must be what the page before gave"))
    }

    /// How many of these clients are behind: up to the last one that was seen. `None`: none of them was, though some
    /// were.
    fn passed(&self, clients: &[Client]) -> Option<usize> {
        if self.seen.is_empty() {
            return Some(0);
        }
        let was_seen = |client: &Client| self.seen.contains(&client.client_id);
        clients.iter().rposition(was_seen).map(|last| last + 1)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// One page of all clients.
pub(crate) struct Listed {
    pub(crate) clients: Vec<Client>,
    pub(crate) next: Option<Place>,
    pub(crate) complete: bool,
}

/// The clients behind a place, or the first ones.
pub(crate) async fn page(
    api: &Api,
    deadline: Deadline,
    owner: &str,
    place: Option<Place>,
    size: usize,
) -> Result<Listed, Fault> {
    let size = place.as_ref().map_or(size, |place| place.size);
    let read = async |token| api.list(deadline, owner, size, token).await;
    let (mut clients, next, place) = match place {
        None => {
            let Clients { clients, next } = read(None).await?;
            (clients, next, Place::default())
        }
        Some(place) => {
            // In this order: what vanishes between the two moves clients into the second, where they are seen.
            let Clients { clients, next } = read(Some(&place.next)).await?;
            let before = read(place.before.as_deref()).await?.clients;
            (joined(before, clients), next, place)
        }
    };
    let passed = place.passed(&clients);
    let lost = place.lost || passed.is_none();
    let clients = clients.split_off(passed.unwrap_or_default());
    let next = next.map(|next| Place {
        before: (!place.next.is_empty()).then_some(place.next),
        next,
        size,
        seen: if clients.is_empty() {
            place.seen
        } else {
            last(&clients)
        },
        lost,
    });
    Ok(Listed {
        complete: next.is_none() && !lost,
        next,
        clients,
    })
}

/// Two pages that may overlap.
fn joined(mut before: Vec<Client>, behind: Vec<Client>) -> Vec<Client> {
    for client in behind {
        if before
            .iter()
            .all(|known| known.client_id != client.client_id)
        {
            before.push(client);
        }
    }
    before
}

/// The ids of the last of these clients, as many as there is room for.
fn last(clients: &[Client]) -> Vec<String> {
    let mut room = REMEMBERED;
    let ids = clients.iter().rev().map(|client| &client.client_id);
    let fits = ids.take_while(|id| {
        room = room.saturating_sub(id.len() + 3);
        room > 0
    });
    let mut ids: Vec<_> = fits.cloned().collect();
    ids.reverse();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(ids: &[&str]) -> Vec<Client> {
        let client = |id: &&str| serde_json::from_value(serde_json::json!({"client_id": id}));
        ids.iter().map(|id| client(id).unwrap()).collect()
    }

    #[test]
    fn what_moves_into_the_page_before_is_seen_there() {
        let place = Place {
            seen: last(&clients(&["a", "b", "c"])),
            ..Place::default()
        };
        for (before, behind, new) in [
            (&["a", "b", "c"][..], &["d", "e"][..], &["d", "e"][..]),
            // Two have vanished, before the page behind was read and while it was.
            (&["c", "d", "e"], &["f"], &["d", "e", "f"]),
            (&["c", "d", "e"], &["e", "f"], &["d", "e", "f"]),
            // So has the last one that was seen.
            (&["a", "b", "d"], &["e"], &["d", "e"]),
            (&["a", "b", "c"], &[], &[]),
        ] {
            let mut all = joined(clients(before), clients(behind));
            let rest = all.split_off(place.passed(&all).unwrap());
            let ids: Vec<_> = rest.iter().map(|client| &*client.client_id).collect();
            assert_eq!(ids, new);
        }
        assert_eq!(place.passed(&clients(&["d", "e"])), None);
    }

    #[test]
    fn a_token_is_read_back_and_never_too_long() {
        let long = "x".repeat(255);
        let ids: Vec<_> = (0..100).map(|n| format!("dcr-{n:032}")).collect();
        let mut ids: Vec<_> = ids.iter().map(String::as_str).collect();
        for _ in 0..2 {
            let place = Place {
                before: Some("t".repeat(120)),
                next: "t".repeat(120),
                size: LARGEST_PAGE,
                seen: last(&clients(&ids)),
                lost: true,
            };
            assert!(!place.seen.is_empty());
            let token = place.to_string();
            assert!(token.len() <= 1024, "{}", token.len());
            assert_eq!(Place::parse(&token), Ok(place));
            ids.push(&long);
        }
        for foreign in [
            "",
            "100",
            "{}",
            r#"{"next":"t","size":0,"seen":[],"lost":false}"#,
        ] {
            assert!(Place::parse(foreign).is_err(), "{foreign:?}");
        }
    }
}
