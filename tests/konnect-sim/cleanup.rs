//! Nothing that was made stays.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::bridge::Bridge;
use crate::call::Call;

/// How often a delete that failed is tried again.
const ATTEMPTS: u64 = 3;
/// How many ids are named; in JSON they all are.
const NAMED: usize = 10;

/// Deletes every client that was made, over so many connections, and says what stays.
pub(crate) async fn clean_up(bridge: &Bridge, connections: usize) -> Vec<String> {
    bridge.settle().await;
    let mut left = bridge.made().clients.clone().into_iter();
    let mut deletes = JoinSet::new();
    for id in left.by_ref().take(connections) {
        deletes.spawn(delete(bridge.clone(), id));
    }
    while deletes.join_next().await.is_some() {
        if let Some(id) = left.next() {
            deletes.spawn(delete(bridge.clone(), id));
        }
    }
    left_behind(bridge)
}

/// What stays, as sentences.
pub(crate) fn left_behind(bridge: &Bridge) -> Vec<String> {
    let made = bridge.made();
    let mut troubles = Vec::new();
    if !made.clients.is_empty() {
        let named: Vec<_> = made.clients.iter().take(NAMED).cloned().collect();
        let more = made.clients.len() - named.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        troubles.push(format!(
            "Left behind: {} clients that could not be deleted: {}{more}. Delete them in the identity provider.",
            made.clients.len(),
            named.join(", ")
        ));
    }
    if made.impatient {
        troubles.push(
            "The bridge asked to wait for longer than --patience: not everything was looked at. Raise its rate limit, or the patience."
                .to_owned(),
        );
    }
    if made.unknown > 0 {
        troubles.push(format!(
            "Perhaps left behind: {} creates were not answered with a client id. Look in the identity provider for clients with names like these: {}.",
            made.unknown,
            made.unanswered.join(", ")
        ));
    }
    troubles
}

async fn delete(bridge: Bridge, id: String) {
    for attempt in 1..=ATTEMPTS {
        let call = Call::delete(&id);
        if let Ok(exchange) = bridge.call(&call).await
            && (exchange.status().is_success() || exchange.status().as_u16() == 404)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200 * attempt)).await;
    }
}
