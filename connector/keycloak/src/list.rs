//! The realm's clients page by page, while clients come and go.
//!
//! Keycloak orders clients by their client id and counts pages from the start of the list, so each client that
//! vanishes or appears meanwhile moves all that follow. A page therefore begins at a client that was seen, not at a
//! number: the number only tells where to look for it.

use std::fmt;

use dcr_connector::fault::Fault;
use dcr_connector::model::{Deadline, Malformed};
use serde::{Deserialize, Serialize};

use crate::api::{Api, Client};

/// The most clients that are read at once: an answer is at most 1 MiB, and a client is rarely more than 3 KB.
const AT_ONCE: usize = 100;
/// The longest page: what is read for one reaches [`OVERLAP`] beyond it on both sides.
pub(crate) const LARGEST_PAGE: usize = AT_ONCE - 2 * OVERLAP;
/// How many of the last clients seen are remembered: the place is lost only when all of them are gone.
const REMEMBERED: usize = 20;
/// How far before the expected place a page is asked for: so many clients may vanish before it without another look.
const OVERLAP: usize = 25;
/// How many looks there are farther away.
const LOOKS: usize = 10;

/// More clients than a realm can hold: a place beyond is not ours.
const MOST: usize = i32::MAX as usize / 2;

/// How far a list has come; the token of the next page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// How many clients stood before the next page when the page before was read.
    passed: usize,
    /// Keycloak's own names of the last clients seen, in the order of the list.
    seen: Vec<String>,
    /// Whether the place was lost before.
    lost: bool,
}

impl Place {
    /// Reads a token.
    pub(crate) fn parse(token: &str) -> Result<Self, Malformed> {
        let place = serde_json::from_str(token).ok();
        place
            .filter(|place: &Self| place.passed <= MOST)
            .ok_or_else(|| Malformed::new("must be what the page before gave"))
    }

    fn is_start(&self) -> bool {
        self.passed == 0 && self.seen.is_empty()
    }

    /// How many of these clients are behind: up to the last one that was seen. `None`: none of them was.
    fn find(&self, clients: &[Client]) -> Option<usize> {
        let was_seen = |client: &Client| self.seen.contains(&client.id);
        clients.iter().rposition(was_seen).map(|last| last + 1)
    }

    /// The place behind these clients.
    fn advance(&self, passed: usize, clients: &[Client]) -> Self {
        let ids = clients.iter().map(|client| client.id.clone());
        let mut seen: Vec<_> = self.seen.iter().cloned().chain(ids).collect();
        seen.drain(..seen.len().saturating_sub(REMEMBERED));
        Self {
            passed: passed + clients.len(),
            seen,
            lost: self.lost,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, seen, lost } = self;
        write!(
            f,
            "{}",
            serde_json::json!({"passed": passed, "seen": seen, "lost": lost})
        )
    }
}

/// One page of all clients.
pub(crate) struct Listed {
    pub(crate) clients: Vec<Client>,
    pub(crate) next: Option<Place>,
    pub(crate) complete: bool,
}

/// The clients behind a place, at most `size`.
pub(crate) async fn after(
    api: &Api,
    deadline: Deadline,
    mut place: Place,
    size: usize,
) -> Result<Listed, Fault> {
    let mut found = look(api, deadline, &place, size).await?;
    if found.is_none()
        && let Some(passed) = search(api, deadline, &place).await?
    {
        place.passed = passed;
        found = look(api, deadline, &place, size).await?;
    }
    let (passed, mut clients) = if let Some(found) = found {
        found
    } else {
        place.lost = true;
        let clients = api.list(deadline, place.passed, size).await?;
        (place.passed, clients)
    };
    clients.truncate(size);
    // Keycloak leaves out of a page what vanishes while it is read: a short page is not the last, an empty one is.
    let next = (!clients.is_empty()).then(|| place.advance(passed, &clients));
    Ok(Listed {
        complete: next.is_none() && !place.lost,
        next,
        clients,
    })
}

/// What follows the last client that was seen, and how many stand before that; `None` when none of the remembered is
/// near the expected place.
async fn look(
    api: &Api,
    deadline: Deadline,
    place: &Place,
    size: usize,
) -> Result<Option<(usize, Vec<Client>)>, Fault> {
    let first = place.passed.saturating_sub(OVERLAP);
    let until = place.passed + OVERLAP + size;
    let mut clients = api.list(deadline, first, until - first).await?;
    let behind = if place.is_start() {
        Some(0)
    } else {
        place.find(&clients)
    };
    Ok(behind.map(|behind| (first + behind, clients.split_off(behind))))
}

/// How many clients stand before what follows the last one that was seen, looked for farther from the expected place:
/// before it (many have vanished), then behind it (many have appeared).
async fn search(api: &Api, deadline: Deadline, place: &Place) -> Result<Option<usize>, Fault> {
    let window = async |first: usize| {
        let clients = api.list(deadline, first, AT_ONCE).await?;
        let found = place.find(&clients).map(|behind| first + behind);
        Ok::<_, Fault>((found, clients.is_empty()))
    };
    for n in 1..=LOOKS {
        let first = place.passed.saturating_sub(n * AT_ONCE);
        if let (Some(found), _) = window(first).await? {
            return Ok(Some(found));
        }
        if first == 0 {
            break;
        }
    }
    for n in 0..LOOKS {
        match window(place.passed + n * AT_ONCE).await? {
            (Some(found), _) => return Ok(Some(found)),
            (None, true) => break,
            (None, false) => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(ids: &[&str]) -> Vec<Client> {
        let client = |id: &&str| {
            let json = serde_json::json!({"id": id, "clientId": format!("client-{id}")});
            serde_json::from_value(json).unwrap()
        };
        ids.iter().map(client).collect()
    }

    fn behind(ids: &[&str]) -> Place {
        Place::default().advance(0, &clients(ids))
    }

    #[test]
    fn what_follows_the_last_client_seen_is_new_whatever_came_and_went_before_it() {
        let place = behind(&["b", "d", "f"]);
        for (now, new) in [
            (&["b", "d", "f", "g"][..], &["g"][..]),
            (&["d", "f", "g"], &["g"]),
            (&["a", "b", "c", "d", "e", "f", "g"], &["g"]),
            // The last one seen has gone: the one before it is as good.
            (&["b", "d", "g"], &["g"]),
            (&["b", "d", "f"], &[]),
        ] {
            let mut now = clients(now);
            let rest = now.split_off(place.find(&now).unwrap());
            let ids: Vec<_> = rest.iter().map(|client| client.id.as_str()).collect();
            assert_eq!(ids, new);
        }
        assert_eq!(place.find(&clients(&["a", "c", "g"])), None);
    }

    #[test]
    fn a_token_is_read_back_and_never_too_long() {
        let ids: Vec<_> = (0..100).map(|n| format!("{n:036}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let place = behind(&ids).advance(MOST, &[]);
        let token = place.to_string();
        assert!(token.len() <= 1024, "{}", token.len());
        assert_eq!(Place::parse(&token), Ok(place));
        let beyond = token.replace(&MOST.to_string(), &(MOST + 1).to_string());
        for foreign in [
            &*beyond,
            "",
            "100",
            "{}",
            r#"{"passed":1,"seen":[],"lost":false,"more":1}"#,
        ] {
            assert!(Place::parse(foreign).is_err(), "{foreign:?}");
        }
    }
}
