//! A PostgreSQL that goes away and comes back.

use std::time::Duration;

use dcr_connector::fault::{FaultKind, Outcome};
use dcr_connector::model::Deadline;
use dcr_connector::store::{Change, TIME_TO_WRITE};

use super::crashes::Writer;
use crate::world::{World, id, insert, mark, new_row, row, soon, token, token_of};

pub(crate) async fn what_cannot_be_asked_was_not_applied(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    world.server().kill();
    let mark = mark();
    for fault in [
        store.intend(soon(), &mark).await.unwrap_err(),
        store.find(soon(), &id("a")).await.unwrap_err(),
        store.find(soon(), &id("b")).await.unwrap_err(),
        store.hold(soon(), "a").await.unwrap_err(),
    ] {
        let waits = matches!(fault.kind(), FaultKind::Unavailable { after: Some(_) });
        assert!(waits && fault.done() == Outcome::NotApplied, "{fault:?}");
    }
    let short = Deadline::after(Duration::from_secs(1));
    let fault = store.insert(short, &mark, &new_row("b")).await.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.done()),
        (&FaultKind::TimedOut, Outcome::Unknown)
    );
    assert!(!fault.to_string().contains("planted"), "{fault}");
    world.server().start_again();
    row(store.find(soon(), &id("a")).await.unwrap());
    store.hold(soon(), "a").await.unwrap().release(soon()).await;
}

pub(crate) async fn a_row_that_cannot_be_written_is_written_when_the_database_is_back(
    world: World,
) {
    let store = world.open();
    insert(&store, "a").await;
    let (held, mark) = (store.hold(soon(), "a").await.unwrap(), mark());
    store.intend(soon(), &mark).await.unwrap();
    world.server().kill();
    let change = Change {
        registration_token: Some(token("rotated")),
        ..Change::default()
    };
    let new = new_row("b");
    let writes = async {
        tokio::join!(
            held.replace(Deadline::after(TIME_TO_WRITE), change),
            store.insert(Deadline::after(TIME_TO_WRITE), &mark, &new)
        )
    };
    let back = async {
        // Both have failed at least once by then; if not, the case proves less.
        tokio::time::sleep(Duration::from_millis(500)).await;
        tokio::task::block_in_place(|| world.server().start_again());
    };
    let ((replaced, inserted), ()) = tokio::join!(writes, back);
    replaced.unwrap();
    inserted.unwrap();
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-rotated");
    let found = row(store.find(soon(), &id("b")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-b");
    assert!(store.intents(soon()).await.unwrap().is_empty());
}

pub(crate) async fn what_was_acknowledged_before_the_server_was_killed_is_there(world: World) {
    let mut writer = Writer::start(&world);
    for lines in [3, 10, 25] {
        writer.read(lines);
        world.server().kill();
        world.server().start_again();
        // One that was under way ends the writer, and another begins.
        writer.kill();
        writer.all_is_there(&world.open()).await;
        writer = Writer::start(&world);
    }
    writer.kill();
}

pub(crate) async fn a_replica_that_stands_still_keeps_no_other_from_writing(world: World) {
    let store = world.open();
    let mut writer = Writer::start(&world);
    writer.read(5);
    let raw = world.raw().await;
    let mut before = raw.begin().await.unwrap();
    let lock = sqlx::query("UPDATE dcr_store SET sequence = sequence");
    lock.execute(&mut *before).await.unwrap();
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query(waiting)
        .fetch_optional(&raw)
        .await
        .unwrap()
        .is_none()
    {}
    // It is given the lock that all writes need, and neither commits nor dies.
    writer.signal("-STOP");
    before.rollback().await.unwrap();
    store
        .insert(soon(), &mark(), &new_row("other"))
        .await
        .unwrap();
    writer.kill();
}
