//! The list of clients that bear a mark.

use std::collections::{BTreeMap, BTreeSet};

use dcr_proto::v1;
use tonic::Code;

use crate::bridge::{Bridge, TestClient};
use crate::check::{Stop, Verdict, broken, ensure, group};

/// As many clients as fill a few pages of two.
const CLIENTS: usize = 5;

group! {
    "listing",
    tells_the_marks [Core, List]
        "A managed client is listed once, with the provider and operation of its mark" =>
        "Read provider and operation from the mark in the IdP; list nothing that has no whole mark.";
    is_the_installations_own [Core, List]
        "The list has the clients of all providers of the caller's installation and no other's" =>
        "Filter by installation alone, not by provider.";
    forgets_what_was_deleted [Core, List]
        "A deleted client is not listed" =>
        "List what the IdP has now; see --patience if its search merely lags.";
    comes_page_by_page [Core, List]
        "A page has at most page_size clients, the token of a page leads to the next, and the last page has none" =>
        "Carry the place in the token, opaque and without state of your own.";
    misses_nobody_while_clients_come_and_go [Core, List]
        "Clients that are there from the first page to the last are listed exactly once, or the last page says complete: false" =>
        "Page by a place that deletions do not move (an id, not an offset), or say that the list is not complete.";
    refuses_a_token_of_another [Core, List]
        "A page token that is not of this connector is INVALID_ARGUMENT" =>
        "Validate the token; never treat a broken one as the first page.";
    refuses_sizes_that_no_page_has [Core, List]
        "A page_size below 0 or above 500 is INVALID_ARGUMENT; 0 is 100" =>
        "Check the size before you ask the IdP.";
}

async fn clients(bridge: &Bridge, many: usize) -> Result<Vec<TestClient>, Stop> {
    let mut clients = Vec::new();
    for _ in 0..many {
        clients.push(bridge.client().await?);
    }
    Ok(clients)
}

/// Reads all pages of two, doing something after the first; how often each client was listed, and the last page's word.
async fn pages(
    bridge: &Bridge,
    meanwhile: impl Future<Output = Verdict> + Send,
) -> Result<(BTreeMap<String, usize>, bool), Stop> {
    let mut times = BTreeMap::new();
    let (mut token, mut meanwhile) = (String::new(), Some(meanwhile));
    let mut tokens = BTreeSet::new();
    loop {
        let page = bridge.done(bridge.list(2, &token)).await?;
        let many = page.clients.len();
        ensure!(
            many <= 2,
            "a page has {many} clients, where 2 were asked for"
        );
        for client in page.clients {
            *times.entry(client.client_id).or_default() += 1;
        }
        if let Some(meanwhile) = meanwhile.take() {
            meanwhile.await?;
        }
        token = page.next_page_token;
        if token.is_empty() {
            return Ok((times, page.complete));
        }
        let is_new = tokens.insert(token.clone());
        ensure!(is_new, "a page leads back to one before it");
    }
}

async fn tells_the_marks(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge
        .eventually(|| async {
            let listed = bridge.listed(bridge.caller()).await?;
            let found: Vec<_> = listed
                .iter()
                .filter(|listed| listed.client_id == client.id)
                .collect();
            let [found] = *found else {
                return Err(broken(format!(
                    "a new client is listed {} times",
                    found.len()
                )));
            };
            let provider = &found.provider_id;
            ensure!(
                *provider == bridge.caller().provider_id,
                "its provider is {provider:?}"
            );
            let operation = &found.operation_id;
            ensure!(
                *operation == client.operation_id,
                "its operation is {operation}, not {}",
                client.operation_id
            );
            Ok(())
        })
        .await
}

async fn is_the_installations_own(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let is_in = async |caller| -> Result<bool, Stop> {
        let listed = bridge.listed(caller).await?;
        Ok(listed.iter().any(|listed| listed.client_id == client.id))
    };
    bridge
        .eventually(|| async {
            let by_another = is_in(bridge.other_provider()).await?;
            ensure!(
                by_another,
                "another provider of the installation does not see the client"
            );
            Ok(())
        })
        .await?;
    ensure!(
        !is_in(bridge.other_installation()).await?,
        "another installation sees the client"
    );
    Ok(())
}

async fn forgets_what_was_deleted(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge.done(bridge.delete(&client.id)).await?;
    bridge
        .eventually(|| async {
            let listed = bridge.listed(bridge.caller()).await?;
            let is_in = listed.iter().any(|listed| listed.client_id == client.id);
            ensure!(!is_in, "a deleted client is listed");
            Ok(())
        })
        .await
}

async fn comes_page_by_page(bridge: &Bridge) -> Verdict {
    let clients = clients(bridge, CLIENTS).await?;
    bridge
        .eventually(|| async {
            let (times, _) = pages(bridge, async { Ok(()) }).await?;
            let missing = clients
                .iter()
                .find(|client| !times.contains_key(&client.id));
            ensure!(missing.is_none(), "a client is on no page");
            Ok(())
        })
        .await
}

async fn misses_nobody_while_clients_come_and_go(bridge: &Bridge) -> Verdict {
    let before = clients(bridge, CLIENTS).await?;
    let staying = clients(bridge, CLIENTS).await?;
    // The IdP may lag behind.
    bridge
        .eventually(|| async {
            let listed = bridge.listed(bridge.caller()).await?;
            let is_in =
                |client: &TestClient| listed.iter().any(|listed| listed.client_id == client.id);
            ensure!(staying.iter().all(is_in), "a new client is not listed");
            Ok(())
        })
        .await?;
    let meanwhile = async {
        for client in &before {
            bridge.done(bridge.delete(&client.id)).await?;
        }
        clients(bridge, 2).await?;
        Ok(())
    };
    let (times, is_complete) = Box::pin(pages(bridge, meanwhile)).await?;
    if is_complete {
        for client in &staying {
            let times = times.get(&client.id).copied().unwrap_or_default();
            ensure!(
                times == 1,
                "a client that stayed is listed {times} times, and the list calls itself complete"
            );
        }
    }
    Ok(())
}

async fn refuses_a_token_of_another(bridge: &Bridge) -> Verdict {
    for token in [
        "dcr-conformance: no token of yours",
        "\u{1f6a2}",
        "../clients?x=1",
        &"t".repeat(1025),
    ] {
        let request: v1::ListManagedClientsRequest = bridge.list(2, token);
        bridge
            .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
            .await?;
    }
    Ok(())
}

async fn refuses_sizes_that_no_page_has(bridge: &Bridge) -> Verdict {
    for size in [-1, 501, i32::MAX, i32::MIN] {
        bridge
            .refused(
                bridge.list(size, ""),
                Code::InvalidArgument,
                &["INVALID_REQUEST"],
            )
            .await?;
    }
    for size in [0, 500] {
        bridge.done(bridge.list(size, "")).await?;
    }
    Ok(())
}
