//! An installation's clients page by page, while clients come and go.
//!
//! Hydra orders clients by their id. Its page tokens are its own affair: some versions count from the start of the list,
//! where each client that vanishes moves all that follow, past a page that has been read. A page therefore begins behind
//! the last clients that were seen, and is read together with the page before it.

use dcr_connector::fault::Fault;
use dcr_connector::model::{Deadline, Malformed};
use serde::{Deserialize, Serialize};

use crate::api::{Api, Client};

/// The longest page: an answer is at most 1 MiB, and 20 redirect URIs of 2,048 characters make a client of 41 KB.
pub(crate) const LARGEST_PAGE: usize = 20;
/// How many bytes of ids are remembered: a token is at most 1,024 characters.
const REMEMBERED: usize = 500;

/// How far a list has come; the token of the next page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Whose clients are listed.
    owner: String,
    /// Hydra's token of the page before; the first page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// Hydra's token of the page to read; the first page has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The size that Hydra's tokens were made for.
    size: usize,
    /// The ids of the last clients seen.
    seen: Vec<String>,
    /// Whether the place was lost before.
    lost: bool,
}

impl Place {
    /// The beginning of a list.
    pub(crate) fn first(owner: String, size: usize) -> Self {
        Self {
            owner,
            before: None,
            next: None,
            size,
            seen: Vec::new(),
            lost: false,
        }
    }

    /// Reads a token of this owner's list.
    pub(crate) fn parse(token: &str, owner: &str) -> Result<Self, Malformed> {
        let place = serde_json::from_str(token).ok();
        place
            .filter(|place: &Self| place.owner == owner && (1..=LARGEST_PAGE).contains(&place.size))
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

    /// Those of the clients here that were not seen yet, as many as are wanted, and the place behind them: here again
    /// when there are more, else at Hydra's next page.
    fn go_on(self, mut here: Vec<Client>, next: Option<String>, wanted: usize) -> Listed {
        let passed = self.passed(&here);
        let lost = self.lost || passed.is_none();
        let mut clients = here.split_off(passed.unwrap_or_default());
        let more = clients.len() > wanted;
        clients.truncate(wanted);
        let ids = clients.iter().map(|client| client.client_id.clone());
        let seen = last(self.seen.iter().cloned().chain(ids).collect());
        let next = if more {
            Some(Self { seen, lost, ..self })
        } else {
            next.map(|next| Self {
                before: self.next.clone(),
                next: Some(next),
                seen,
                lost,
                ..self
            })
        };
        Listed {
            complete: next.is_none() && !lost,
            next,
            clients,
        }
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

/// At most so many clients, those behind a place.
pub(crate) async fn page(
    api: &Api,
    deadline: Deadline,
    place: Place,
    wanted: usize,
) -> Result<Listed, Fault> {
    let read = async |token| api.list(deadline, &place.owner, place.size, token).await;
    // In this order: what vanishes between the two moves clients into the second, where they are seen.
    let behind = read(place.next.as_deref()).await?;
    let before = if place.next.is_some() {
        read(place.before.as_deref()).await?.clients
    } else {
        Vec::new()
    };
    let here = joined(before, behind.clients);
    Ok(place.go_on(here, behind.next, wanted))
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

/// The last of these ids, as many as there is room for.
fn last(ids: Vec<String>) -> Vec<String> {
    let mut room = REMEMBERED;
    let fits = ids.into_iter().rev().take_while(|id| {
        room = room.saturating_sub(id.len() + 3);
        room > 0
    });
    let mut ids: Vec<_> = fits.collect();
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

    fn place() -> Place {
        Place::first("dcr:i".to_owned(), 3)
    }

    fn ids(clients: &[Client]) -> Vec<&str> {
        let ids = clients.iter().map(|client| &*client.client_id);
        ids.collect()
    }

    #[test]
    fn what_moves_into_the_page_before_is_seen_there() {
        let place = Place {
            seen: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ..place()
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
            let here = joined(clients(before), clients(behind));
            let listed = place.clone().go_on(here, None, 3);
            assert_eq!(ids(&listed.clients), new);
            assert!(listed.complete);
        }
        let lost = place.go_on(clients(&["d", "e"]), None, 3);
        assert!(!lost.complete);
    }

    #[test]
    fn what_was_not_wanted_yet_comes_with_the_next_page() {
        let here = || clients(&["c", "d", "e", "f", "g"]);
        for seen in ["c", "gone"] {
            let place = Place {
                seen: vec![seen.to_owned()],
                ..place()
            };
            let (mut place, mut got) = (Some(place), Vec::new());
            while let Some(here_again) = place.take() {
                let listed = here_again.go_on(here(), None, 2);
                assert!(listed.clients.len() <= 2, "{:?}", ids(&listed.clients));
                assert_eq!(listed.complete, listed.next.is_none() && seen == "c");
                got.extend(listed.clients);
                place = listed.next;
            }
            let all = ids(&got);
            assert_eq!(
                all,
                if seen == "c" {
                    &["d", "e", "f", "g"][..]
                } else {
                    &["c", "d", "e", "f", "g"]
                }
            );
        }
    }

    #[test]
    fn a_token_is_read_back_and_never_too_long() {
        let owner = format!("dcr:{}", "i".repeat(64));
        let mut ids: Vec<_> = (0..100).map(|n| format!("dcr-{n:032}")).collect();
        for _ in 0..2 {
            let place = Place {
                before: Some("t".repeat(160)),
                next: Some("t".repeat(160)),
                seen: last(ids.clone()),
                lost: true,
                ..Place::first(owner.clone(), LARGEST_PAGE)
            };
            assert!(!place.seen.is_empty());
            let token = place.to_string();
            assert!(token.len() <= 1024, "{}", token.len());
            assert_eq!(Place::parse(&token, &owner), Ok(place));
            assert!(Place::parse(&token, "dcr:another").is_err());
            ids.push("x".repeat(255));
        }
        for foreign in [
            "",
            "100",
            "{}",
            r#"{"owner":"dcr:i","next":"t","size":0,"seen":[],"lost":false}"#,
        ] {
            assert!(Place::parse(foreign, "dcr:i").is_err(), "{foreign:?}");
        }
    }
}
