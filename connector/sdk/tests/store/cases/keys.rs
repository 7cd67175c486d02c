//! The keyring.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dcr_connector::fault::FaultKind;
use dcr_connector::store::Change;

use crate::world::{World, id, insert, row, soon, token_of};

pub(crate) async fn rows_move_to_a_new_key_while_others_write(world: World) {
    let (old, new) = (
        world.config("one", &["one", "two"]),
        world.config("two", &["one", "two"]),
    );
    let old = World::try_open(&old, false).unwrap();
    let new = World::try_open(&new, false).unwrap();
    for number in 0..20 {
        insert(&old, &format!("c{number:02}")).await;
    }
    old.bury(soon(), "c03").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writes = async {
        let mut written = 0_u32;
        while !stop.load(Ordering::SeqCst) {
            // The client that is moved first, and the one that is moved last.
            let client_id = if written.is_multiple_of(2) {
                "c00"
            } else {
                "c19"
            };
            let held = old.hold(soon(), client_id).await.unwrap();
            let change = Change {
                metadata: Some(written.to_string()),
                ..Change::default()
            };
            held.replace(soon(), change).await.unwrap();
            written += 1;
        }
        written
    };
    let moves = async {
        let mut moved = 0;
        for _ in 0..5 {
            let done = new.reencrypt(soon).await.unwrap();
            assert!(done.closed.is_empty());
            moved += done.moved;
        }
        stop.store(true, Ordering::SeqCst);
        moved
    };
    let (times, rows) = tokio::join!(writes, moves);
    assert!(times > 2 && rows >= 20, "{times} {rows}");
    let done = new.reencrypt(soon).await.unwrap();
    assert!(done.left.is_empty());
    assert_eq!(new.counts(soon()).await.unwrap().old_keys, 0);
    // What was written last is there.
    let last: Vec<_> = (times - 2..times).map(|time| time.to_string()).collect();
    let mut kept = Vec::new();
    for client_id in ["c00", "c19"] {
        kept.push(row(new.find(soon(), &id(client_id)).await.unwrap()).metadata);
    }
    kept.sort_by_key(|number| number.parse::<u32>().unwrap());
    assert_eq!(kept, last);
    // The old key can go.
    let alone = World::try_open(&world.config("two", &["two"]), false).unwrap();
    for number in (0..20).filter(|number| *number != 3) {
        let client_id = format!("c{number:02}");
        let row = row(alone.find(soon(), &id(&client_id)).await.unwrap());
        assert_eq!(
            token_of(&row),
            format!("planted-registration-token-{client_id}")
        );
    }
}

pub(crate) async fn a_key_that_is_missing_or_another_is_named(world: World) {
    insert(&world.open(), "a").await;
    let without = World::try_open(&world.config("two", &["two"]), false).unwrap();
    let fault = without.find(soon(), &id("a")).await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Internal);
    for part in ["client a ", "key `one`", "keyring.keys"] {
        assert!(fault.message().contains(part), "{fault}");
    }
    let done = without.reencrypt(soon).await.unwrap();
    assert_eq!((done.moved, done.closed.len()), (0, 1));
    world.new_key("one");
    let fault = world.open().find(soon(), &id("a")).await.unwrap_err();
    assert!(
        fault
            .message()
            .contains("another key than the file of key `one`"),
        "{fault}"
    );

    for (current, content) in [
        ("three", None),
        ("two", Some("planted: not base64")),
        ("two", Some("AAAA")),
    ] {
        let config = world.config(current, &["two"]);
        if let Some(content) = content {
            fs::write(world.file("key-two"), content).unwrap();
        }
        let problems = World::try_open(&config, false).unwrap_err().to_string();
        assert!(problems.contains("idp.store.keyring."), "{problems}");
        assert!(
            !content.is_some_and(|content| problems.contains(content)),
            "{problems}"
        );
    }
}
