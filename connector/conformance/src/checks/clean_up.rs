//! The end: nothing that the run made is left.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use dcr_proto::v1;
use dcr_proto::v1::{Capability, Deletion};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bridge::{Answer, Bridge, LOOK, Shared};
use crate::check::{Stop, Verdict, broken, group};
use crate::rpc::Rpc;

group! {
    "clean_up",
    everything_that_the_run_made_is_gone [Core]
        "What the run made is deleted at its end, and nothing of it is listed any more" =>
        "Look for the clients at the IdP and delete them there; then find out why DeleteClient did not.";
}

async fn everything_that_the_run_made_is_gone(bridge: &Bridge) -> Verdict {
    let Some(cleaned) = bridge.cleaned.get() else {
        return Err(broken("the clean-up itself broke; report this"));
    };
    if !cleaned.left.is_empty() {
        return Err(broken(cleaned.left.join("\n")));
    }
    if cleaned.unseen.is_empty() {
        return Ok(());
    }
    Err(Stop::Skipped(format!(
        "the connector does not have {}, so nobody sees whether these unanswered operations left a client: {}",
        Capability::ListManaged.as_str_name(),
        cleaned.unseen.join(", ")
    )))
}

/// What the clean-up found.
#[derive(Debug)]
pub(crate) struct Cleaned {
    /// What is left, or may be, a line each.
    left: Vec<String>,
    /// Unanswered operations that could not be looked for.
    unseen: Vec<String>,
}

impl Cleaned {
    /// Whether something is left.
    pub(crate) fn is_left(&self) -> bool {
        !self.left.is_empty()
    }
}

/// Deletes all that the run made and aborts what it may have made, however long that takes: until `stop` resolves.
pub(crate) async fn clean_up(bridge: &Shared, stop: impl Future<Output = ()>) {
    let mut cleaning = Cleaning::of(bridge);
    tokio::select! {
        () = cleaning.cleans(bridge) => {}
        () = stop => {}
    }
    // Nobody else cleans up.
    let _ = bridge.cleaned.set(cleaning.found(bridge));
}

/// A clean-up under way: what is still to be seen gone, by its id, and why it is not yet.
struct Cleaning {
    clients: BTreeMap<String, (v1::Caller, String)>,
    operations: BTreeMap<String, (v1::Caller, String)>,
    /// Why nobody could look.
    unlisted: Option<String>,
}

impl Cleaning {
    fn of(bridge: &Bridge) -> Self {
        let made = bridge.all_made();
        let untried = |(caller, id)| (id, (caller, "was not tried to its end".to_owned()));
        Self {
            clients: made.clients.into_iter().map(untried).collect(),
            operations: made.operations.into_iter().map(untried).collect(),
            unlisted: None,
        }
    }

    async fn cleans(&mut self, bridge: &Shared) {
        let clients: BTreeSet<_> = self.clients.keys().cloned().collect();
        let aborts = self.operations.iter().map(|(id, (caller, _))| {
            let abort = v1::AbortOperationRequest {
                caller: Some(caller.clone()),
                ..bridge.abort_create(id)
            };
            (id.clone(), abort)
        });
        // Some of them never were operations: the list tells what matters.
        each(bridge, aborts.collect(), |id, answer| {
            if let Some((_, why)) = self.operations.get_mut(&id) {
                *why = answer.map_or_else(
                    |refusal| refusal.to_string(),
                    |answer| format!("was aborted: {}", answer.abort().as_str_name()),
                );
            }
        })
        .await;
        let deletes = self.clients.iter().map(|(id, (caller, _))| {
            let delete = v1::DeleteClientRequest {
                caller: Some(caller.clone()),
                ..bridge.delete(id)
            };
            (id.clone(), delete)
        });
        each(bridge, deletes.collect(), |id, answer| {
            let why = match answer.map(|answer| answer.deletion()) {
                Ok(Deletion::Deleted | Deletion::Absent) => {
                    self.clients.remove(&id);
                    return;
                }
                Ok(told) => format!("DeleteClient answered {}", told.as_str_name()),
                Err(refusal) => refusal.to_string(),
            };
            if let Some(client) = self.clients.get_mut(&id) {
                client.1 = why;
            }
        })
        .await;
        if bridge.can(Capability::ListManaged) {
            self.looks(bridge, &clients).await;
        }
    }

    /// Looks at the list until nothing of it is there, or everything must have settled.
    async fn looks(&mut self, bridge: &Bridge, clients: &BTreeSet<String>) {
        let deadline = Instant::now() + bridge.settle_after() + bridge.options().patience;
        loop {
            let listed = bridge.listed(bridge.caller()).await;
            let is_over = Instant::now() >= deadline;
            match listed {
                Ok(mut listed) => {
                    listed.retain(|listed| {
                        clients.contains(&listed.client_id)
                            || self.operations.contains_key(&listed.operation_id)
                    });
                    if listed.is_empty() || is_over {
                        self.operations.clear();
                        let told = |id| (id, (bridge.caller(), "is still listed".to_owned()));
                        let left = listed.into_iter().map(|listed| told(listed.client_id));
                        self.clients.extend(left);
                        return;
                    }
                }
                Err(Stop::Broken(seen) | Stop::Skipped(seen)) if is_over => {
                    self.unlisted = Some(seen);
                    return;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn found(self, bridge: &Bridge) -> Cleaned {
        let clients = self.clients.into_iter();
        let clients = clients.map(|(id, (_, why))| format!("client {id}: {why}"));
        let mut left: Vec<_> = self.unlisted.into_iter().chain(clients).collect();
        if !bridge.can(Capability::ListManaged) {
            let unseen = self.operations.into_keys().collect();
            return Cleaned { left, unseen };
        }
        let operations = self.operations.into_iter();
        left.extend(
            operations.map(|(id, (_, why))| {
                format!("whatever the create of operation {id} made: it {why}")
            }),
        );
        let unseen = Vec::new();
        Cleaned { left, unseen }
    }
}

/// Makes these calls, as many at a time as checks run, and tells what is answered as it comes.
async fn each<Q: Rpc>(
    bridge: &Shared,
    requests: Vec<(String, Q)>,
    mut answered: impl FnMut(String, Answer<Q::Answer>),
) {
    let slots = Arc::new(Semaphore::new(bridge.options().parallel.max(1)));
    let mut running = JoinSet::new();
    for (id, request) in requests {
        let (bridge, slots) = (Arc::clone(bridge), Arc::clone(&slots));
        running.spawn(async move {
            let _slot = slots.acquire().await;
            (id, bridge.ask(request).await)
        });
    }
    while let Some(joined) = running.join_next().await {
        if let Ok((id, answer)) = joined {
            answered(id, answer);
        }
    }
}
