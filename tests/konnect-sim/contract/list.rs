//! `GET /{clientId}/secrets`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::trial::{Change, Trial, entries, ids};
use crate::call::Call;
use crate::seen::Seen;
use crate::shape::METADATA;
use crate::verdict::{Basis, Verdict, broken, checks, unjudged};

const CONTRACT: Basis = Basis::Demanded("contract: GET /{clientId}/secrets");
const MEMBERS: Basis = Basis::Demanded("contract: SecretMetadata");

checks! { Trial, "list":
    "answers 200", CONTRACT,
        "Serve the list for every client, also where the identity provider has one secret a client.",
        t => t.listing().await.first.status(200);
    "answers in JSON", CONTRACT,
        "Answer an object in JSON, as application/json.",
        t => t.listing().await.first.is_json();
    "secrets is a list of objects", Basis::Demanded("contract: SecretListResponse"),
        "Answer {\"secrets\": [...]}, and nothing beside it.",
        t => is_list(t).await;
    "a new client has a secret", CONTRACT,
        "List all secrets of the client; where it can only have one, list that.",
        t => has_one(t).await;
    "secret_id", MEMBERS,
        "Name each secret by a text; where the identity provider has no name for it, by one that stays.",
        t => member(t, "secret_id").await;
    "client_id", MEMBERS,
        "Say in each entry which client it is of: the one in the path.",
        t => of_the_client(t).await;
    "status", MEMBERS,
        "Say ACTIVE or INACTIVE, in capitals.",
        t => member(t, "status").await;
    "created_at", MEMBERS,
        "Answer an RFC 3339 date-time, or leave the member out: null is not allowed.",
        t => member(t, "created_at").await;
    "expires_at", MEMBERS,
        "Answer an RFC 3339 date-time, or null, or leave the member out.",
        t => member(t, "expires_at").await;
    "no other members", MEMBERS,
        "Leave out what the contract does not have.",
        t => no_others(t).await;
    "no secret is shown", Basis::Demanded("contract: not the actual secret values"),
        "Never show a secret after the answer that first gave it.",
        t => no_secret(t).await;
    "ids are unlike", Basis::Demanded("Portal API: a credential's id"),
        "Give each secret an id of its own.",
        t => unlike(t).await;
    "ids stay", Basis::Demanded("Portal API: a credential's id"),
        "Give a secret the same id in every list.",
        t => stay(t).await;
}

impl Trial {
    /// The list of a client's secrets, twice. The client is the one to which a secret is added later.
    pub(super) async fn listing(&self) -> &Change {
        let list = || async {
            let client = match self.fresh().await {
                Ok(client) => client,
                Err(finding) => return Change::never(finding),
            };
            let call = Call::list(&client.id);
            Change {
                first: self.call(&call).await,
                list: Seen::Never("it is the first".to_owned()),
                again: self.call(&call).await,
                client: Ok(client),
            }
        };
        self.listing.get_or_init(list).await
    }
}

async fn is_list(t: &Trial) -> Verdict {
    let object = t.listing().await.first.object()?;
    let others: Vec<_> = object.keys().filter(|name| *name != "secrets").collect();
    match object.get("secrets") {
        None => broken("secrets is missing"),
        Some(Value::Array(all)) if !all.iter().all(Value::is_object) => {
            broken("an entry of secrets is no object")
        }
        Some(Value::Array(_)) if others.is_empty() => Ok(()),
        Some(Value::Array(_)) => broken(format!("beside secrets there is {others:?}")),
        Some(_) => broken("secrets is no list"),
    }
}

async fn has_one(t: &Trial) -> Verdict {
    if entries(&t.listing().await.first)?.is_empty() {
        broken("the list is empty")
    } else {
        Ok(())
    }
}

async fn member(t: &Trial, name: &str) -> Verdict {
    let entries = entries(&t.listing().await.first)?;
    if entries.is_empty() {
        return unjudged("the list is empty");
    }
    match entries
        .iter()
        .find_map(|entry| METADATA.member(entry, name))
    {
        Some(wrong) => broken(wrong),
        None => Ok(()),
    }
}

async fn of_the_client(t: &Trial) -> Verdict {
    member(t, "client_id").await?;
    let listing = t.listing().await;
    let id = Value::from(listing.client.clone()?.id);
    let other = |entry: &&serde_json::Map<String, Value>| entry.get("client_id") != Some(&id);
    match entries(&listing.first)?.iter().find(other) {
        Some(_) => broken("an entry is about another client"),
        None => Ok(()),
    }
}

async fn no_others(t: &Trial) -> Verdict {
    let entries = entries(&t.listing().await.first)?;
    let others: BTreeSet<_> = entries
        .iter()
        .flat_map(|entry| METADATA.others(entry))
        .collect();
    if others.is_empty() {
        Ok(())
    } else {
        broken(format!("an entry also has {others:?}"))
    }
}

async fn no_secret(t: &Trial) -> Verdict {
    let exchange = t.listing().await.first.succeeded()?;
    match t.bridge.journal() {
        Some(journal) if journal.holds_secret(&exchange.answer) => {
            broken("the list shows a client's secret")
        }
        _ => Ok(()),
    }
}

async fn unlike(t: &Trial) -> Verdict {
    let ids = ids(&t.adding().await.list).or(ids(&t.listing().await.first))?;
    let unlike: BTreeSet<_> = ids.iter().collect();
    if unlike.len() == ids.len() {
        Ok(())
    } else {
        broken(format!("two secrets have the same id, of {ids:?}"))
    }
}

async fn stay(t: &Trial) -> Verdict {
    let listing = t.listing().await;
    let (mut first, mut again) = (ids(&listing.first)?, ids(&listing.again)?);
    first.sort();
    again.sort();
    if first == again {
        Ok(())
    } else {
        broken(format!("two lists have the ids {first:?} and {again:?}"))
    }
}
