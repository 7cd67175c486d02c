//! Rows that were changed behind the store's back.

use dcr_connector::fault::{FaultKind, Outcome};
use dcr_connector::store::{Change, State, Store};

use crate::world::{World, id, insert, row, soon, token_of};

async fn is_refused(store: &Store, client_id: &str) {
    let fault = store.find(soon(), &id(client_id)).await.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.done()),
        (&FaultKind::Internal, Outcome::NotApplied)
    );
    assert!(
        fault.message().contains(&format!("client {client_id} ")),
        "{fault}"
    );
    assert!(fault.message().contains("backup"), "{fault}");
    assert!(!fault.to_string().contains("planted"), "{fault}");
}

pub(crate) async fn a_row_that_was_changed_is_refused_and_the_others_are_served(world: World) {
    let store = world.open();
    let cut = if world.is_postgres() {
        "UPDATE dcr_clients SET sealed = substring(sealed FROM 1 FOR 40) WHERE client_id = 'cut'"
    } else {
        "UPDATE dcr_clients SET sealed = substr(sealed, 1, 40) WHERE client_id = 'cut'"
    };
    let flipped = if world.is_postgres() {
        "UPDATE dcr_clients SET sealed = set_bit(sealed, 200, 1 - get_bit(sealed, 200)) WHERE client_id = 'flipped'"
    } else {
        // SQLite has no arithmetic on bytes: one is replaced by another.
        "UPDATE dcr_clients SET sealed = CAST(substr(sealed, 1, 25) || x'00' || substr(sealed, 27) AS BLOB) WHERE client_id = 'flipped'"
    };
    let table: [(&[&str], &'static str); 9] = [
        (&["cut"], cut),
        (&["flipped"], flipped),
        (
            &["swapped"],
            "UPDATE dcr_clients SET sealed = (SELECT sealed FROM dcr_clients WHERE client_id = 'good') \
             WHERE client_id = 'swapped'",
        ),
        (
            &["moved"],
            "UPDATE dcr_clients SET provider_id = 'rivals' WHERE client_id = 'moved'",
        ),
        (
            &["admitted"],
            "UPDATE dcr_clients SET made = 'adopted' WHERE client_id = 'admitted'",
        ),
        (
            &["revived"],
            "UPDATE dcr_clients SET state = 'live' WHERE client_id = 'revived'",
        ),
        (
            &["killed"],
            "UPDATE dcr_clients SET state = 'buried' WHERE client_id = 'killed'",
        ),
        (
            &["keyed"],
            "UPDATE dcr_clients SET key_id = 'two' WHERE client_id = 'keyed'",
        ),
        (
            &["renamed"],
            "UPDATE dcr_clients SET client_id = 'renamed' WHERE client_id = 'named'",
        ),
    ];
    insert(&store, "good").await;
    insert(&store, "named").await;
    for (client_id, _) in table
        .iter()
        .flat_map(|(ids, sql)| ids.iter().map(move |id| (id, sql)))
    {
        if *client_id != "renamed" {
            insert(&store, client_id).await;
        }
    }
    store.bury(soon(), "revived").await.unwrap();
    for (ids, sql) in table {
        assert_eq!(world.tamper(sql).await, ids.len() as u64, "{sql}");
        for client_id in ids {
            if *client_id == "keyed" {
                let fault = store.find(soon(), &id("keyed")).await.unwrap_err();
                assert!(fault.message().contains("key `two`"), "{fault}");
            } else {
                is_refused(&store, client_id).await;
            }
        }
    }
    let good = row(store.find(soon(), &id("good")).await.unwrap());
    assert_eq!(token_of(&good), "planted-registration-token-good");
    // A change is refused too, and the row is not kept from an operator.
    let fault = store.hold(soon(), "cut").await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Internal);
    let entries = store.entries(soon(), "").await.unwrap();
    let (closed, open): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| matches!(entry.state, State::Closed(_)));
    assert_eq!((closed.len(), open.len()), (9, 1));
    store.bury(soon(), "cut").await.unwrap();
    let entries = store.entries(soon(), "").await.unwrap();
    let cut = entries.iter().find(|entry| entry.client_id == "cut");
    assert_eq!(cut.unwrap().state, State::Buried);
}

pub(crate) async fn an_old_sealed_part_does_not_open_in_a_newer_row(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    world
        .tamper("CREATE TABLE old AS SELECT * FROM dcr_clients")
        .await;
    let held = store.hold(soon(), "a").await.unwrap();
    held.replace(soon(), Change::default()).await.unwrap();
    world
        .tamper("UPDATE dcr_clients SET sealed = (SELECT sealed FROM old)")
        .await;
    is_refused(&store, "a").await;
}
