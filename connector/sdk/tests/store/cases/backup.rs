//! Backups, and what is noticed when one comes back.

use std::fs;

use dcr_connector::fault::{Fault, FaultKind, Outcome};
use dcr_connector::model::Page;
use dcr_connector::store::{Lookup, State, Store};

use crate::world::{PLANTED, World, id, insert, installation, mark, row, soon, token_of};

#[track_caller]
fn tells_of_a_restore(fault: &Fault) {
    let waits = matches!(fault.kind(), FaultKind::Unavailable { .. });
    assert!(waits && fault.done() == Outcome::NotApplied, "{fault:?}");
    assert!(
        fault.message().contains("store repair --accept-restore"),
        "{fault}"
    );
}

/// What it knows is served, and nothing is absent.
async fn is_not_believed(store: &Store) {
    tells_of_a_restore(&store.find(soon(), &id("unknown")).await.unwrap_err());
    tells_of_a_restore(&store.intend(soon(), &mark()).await.unwrap_err());
    let page = Page::default();
    tells_of_a_restore(
        &store
            .list(soon(), &installation(), &page)
            .await
            .unwrap_err(),
    );
    let findings = store.check(soon()).await;
    assert!(
        findings
            .iter()
            .any(|finding| finding.code == "STORE_RESTORED")
    );
}

/// A client of a registration that was under way is written all the same, and later changes hide nothing.
async fn catches_up(store: &Store) {
    for _ in 0..6 {
        let mark = mark();
        let new = crate::world::new_row(&mark.operation_id.to_string());
        store.insert(soon(), &mark, &new).await.unwrap();
    }
}

async fn is_believed(store: &Store) {
    let found = store.find(soon(), &id("unknown")).await.unwrap();
    assert!(matches!(found, Lookup::Unknown));
    let mark = mark();
    store.intend(soon(), &mark).await.unwrap();
    store.drop_intent(soon(), mark.operation_id).await;
}

pub(crate) async fn a_restored_store_is_noticed_and_what_it_does_not_know_is_no_longer_absent(
    world: World,
) {
    let store = world.open();
    insert(&store, "before").await;
    insert(&store, "after").await;
    is_believed(&store).await;
    drop(store);
    // As a backup of the whole database leaves it.
    world
        .tamper("DELETE FROM dcr_clients WHERE client_id = 'after'")
        .await;
    world
        .tamper("UPDATE dcr_store SET sequence = sequence - 4")
        .await;
    let store = world.open();
    catches_up(&store).await;
    is_not_believed(&store).await;
    let known = row(store.find(soon(), &id("before")).await.unwrap());
    assert_eq!(token_of(&known), "planted-registration-token-before");
    catches_up(&store).await;
    is_not_believed(&store).await;
    is_not_believed(&world.open()).await;
    assert!(store.accept_restore(soon()).await.unwrap());
    assert!(!store.accept_restore(soon()).await.unwrap());
    is_believed(&store).await;
    is_believed(&world.open()).await;
}

pub(crate) async fn a_restore_under_a_running_process_is_noticed(world: World) {
    let [store, other] = world.replicas();
    insert(&other, "before").await;
    // The one that is mended has seen less than the one that is not.
    insert(&store, "after").await;
    world
        .tamper("DELETE FROM dcr_clients WHERE client_id = 'after'")
        .await;
    world.tamper("UPDATE dcr_store SET sequence = 1").await;
    catches_up(&store).await;
    is_not_believed(&store).await;
    is_not_believed(&other).await;
    assert!(other.accept_restore(soon()).await.unwrap());
    is_believed(&store).await;
    is_believed(&other).await;
}

pub(crate) async fn a_lost_database_is_noticed(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    drop(store);
    world.empty_database("fresh").await;
    let store = world.open();
    is_not_believed(&store).await;
    assert!(store.accept_restore(soon()).await.unwrap());
    is_believed(&store).await;
    is_believed(&world.open()).await;
}

pub(crate) async fn an_old_copy_of_the_file_is_noticed(world: World) {
    insert(&world.open(), "before").await;
    let copy = world.file("copy.db");
    let raw = world.raw().await;
    let sql = format!("VACUUM INTO '{}'", copy.display());
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&raw)
        .await
        .unwrap();
    raw.close().await;
    insert(&world.open(), "after").await;
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", world.sqlite().display()));
    }
    fs::rename(copy, world.sqlite()).unwrap();
    let store = world.open();
    is_not_believed(&store).await;
    row(store.find(soon(), &id("before")).await.unwrap());
}

pub(crate) async fn a_backup_is_sealed_and_can_be_restored(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    insert(&store, "gone").await;
    insert(&store, "held").await;
    store.bury(soon(), "gone").await.unwrap();
    let held = store.hold(soon(), "held").await.unwrap();
    let mut backup = Vec::new();
    assert_eq!(store.export(soon, &mut backup).await.unwrap().0, 3);
    held.release(soon()).await;
    let text = String::from_utf8(backup).unwrap();
    assert!(
        !text.contains(PLANTED) && !text.contains("planted-name"),
        "{text}"
    );

    world.empty_database("restored").await;
    let store = world.open();
    let imported = store.import(soon, text.as_bytes()).await.unwrap();
    assert_eq!((imported.added, imported.there), (3, 0));
    is_not_believed(&store).await;
    assert!(store.accept_restore(soon()).await.unwrap());
    is_believed(&store).await;
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-a");
    let found = store.find(soon(), &id("gone")).await.unwrap();
    assert!(matches!(found, Lookup::Tombstone));
    let states: Vec<_> = store.entries(soon(), "").await.unwrap();
    let held = states.iter().find(|entry| entry.client_id == "held");
    assert!(matches!(held.unwrap().state, State::Doubtful(_)));
    let again = store.import(soon, text.as_bytes()).await.unwrap();
    assert_eq!((again.added, again.there), (0, 3));
    // The keyring belongs to the backup.
    world.new_key("one");
    world.empty_database("without").await;
    let fault = world
        .open()
        .import(soon, text.as_bytes())
        .await
        .unwrap_err();
    assert!(
        fault.message().contains("line 2") && fault.message().contains("key `one`"),
        "{fault}"
    );
    for nonsense in ["", "{}\n", "{\"dcr_store_export\":2}\n"] {
        let fault = world
            .open()
            .import(soon, nonsense.as_bytes())
            .await
            .unwrap_err();
        assert_eq!(fault.kind(), &FaultKind::Conflict, "{nonsense}");
    }
}
