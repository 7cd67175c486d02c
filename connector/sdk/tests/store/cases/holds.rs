//! One client at a time.

use std::time::Duration;

use dcr_connector::Registrations;
use dcr_connector::fault::{Fault, FaultKind, Outcome};
use dcr_connector::model::{Deadline, Entity, EntityKind, OpaqueId, Registration};
use dcr_connector::store::{Change, State, Store};

use crate::world::{World, id, insert, moments, row, soon, token, token_of};

fn registrations() -> Registrations {
    let entity = Entity {
        id: OpaqueId::parse("ferry").unwrap(),
        kind: EntityKind::Api,
    };
    [Registration {
        entity,
        audience: None,
    }]
    .into_iter()
    .collect()
}

pub(crate) async fn a_change_is_there_and_ends_the_hold(world: World) {
    let store = world.open();
    let mark = insert(&store, "a").await;
    let mut held = store.hold(soon(), "a").await.unwrap();
    assert_eq!(token_of(held.row()), "planted-registration-token-a");
    let first = Change {
        registration_token: Some(token("second")),
        ..Change::default()
    };
    held.replace_and_hold(soon(), first).await.unwrap();
    assert_eq!(token_of(held.row()), "planted-registration-token-second");
    let second = Change {
        client_uri: Some("https://idp.example/moved".to_owned()),
        metadata: Some("changed".to_owned()),
        registrations: Some(registrations()),
        ..Change::default()
    };
    held.replace(soon(), second).await.unwrap();
    let row = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!((row.metadata.as_str(), &row.mark), ("changed", &mark));
    assert_eq!(token_of(&row), "planted-registration-token-second");
    assert_eq!(row.client_uri.as_deref(), Some("https://idp.example/moved"));
    assert_eq!(row.registrations, registrations());
    // Over.
    store.hold(soon(), "a").await.unwrap().release(soon()).await;
    let fault = store.hold(soon(), "b").await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::NotFound);
}

pub(crate) async fn a_held_client_is_not_held_twice(world: World) {
    let [store, other] = world.replicas();
    insert(&store, "a").await;
    insert(&store, "b").await;
    let held = store.hold(soon(), "a").await.unwrap();
    let short = Deadline::after(Duration::from_millis(600));
    let fault = other.hold(short, "a").await.unwrap_err();
    let waits = matches!(fault.kind(), FaultKind::Unavailable { after: Some(_) });
    assert!(waits && fault.done() == Outcome::NotApplied, "{fault:?}");
    assert!(fault.message().contains("client a "), "{fault}");
    // Others are free, and a held one is found.
    other.hold(soon(), "b").await.unwrap().release(soon()).await;
    assert!(
        row(other.find(soon(), &id("a")).await.unwrap())
            .doubtful_since
            .is_none()
    );
    let entries = other.entries(soon(), "").await.unwrap();
    let states: Vec<_> = entries.iter().map(|entry| &entry.state).collect();
    assert!(
        matches!(*states, [State::Held(_), State::Live]),
        "{entries:?}"
    );
    let fault = other.bury(soon(), "a").await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Conflict);
    let (taken, ()) = tokio::join!(other.hold(soon(), "a"), held.release(soon()));
    let taken = taken.unwrap();
    assert!(taken.row().doubtful_since.is_none());
    taken.release(soon()).await;
}

async fn count_up(store: Store, times: usize) {
    for _ in 0..times {
        let long = Deadline::after(Duration::from_mins(1));
        let held = store.hold(long, "a").await.unwrap();
        let count: u32 = held.row().metadata.parse().unwrap();
        let change = Change {
            metadata: Some((count + 1).to_string()),
            ..Change::default()
        };
        held.replace(long, change).await.unwrap();
    }
}

pub(crate) async fn changes_from_two_replicas_at_once_lose_none(world: World) {
    let [store, other] = world.replicas();
    insert(&store, "a").await;
    let held = store.hold(soon(), "a").await.unwrap();
    let change = Change {
        metadata: Some("0".to_owned()),
        ..Change::default()
    };
    held.replace(soon(), change).await.unwrap();
    let all = [&store, &other, &store, &other].map(|store| count_up(store.clone(), 4));
    let [a, b, c, d] = all;
    tokio::join!(a, b, c, d);
    let row = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!(row.metadata, "16");
}

/// Of all that are held.
async fn lease_ends(world: &World) {
    let past = "UPDATE dcr_clients SET held_since = held_since - 120001 WHERE held_since <> 0";
    assert_eq!(world.tamper(past).await, 1);
}

fn rotated(to: &str) -> Change {
    Change {
        registration_token: Some(token(to)),
        ..Change::default()
    }
}

pub(crate) async fn a_client_whose_holder_died_is_buried_and_moved_to_another_key(world: World) {
    let store = world.open();
    for client_id in ["held", "doubtful"] {
        insert(&store, client_id).await;
    }
    store
        .hold(soon(), "doubtful")
        .await
        .unwrap()
        .doubt(soon())
        .await;
    drop(store.hold(soon(), "held").await.unwrap());
    let two = World::try_open(&world.config("two", &["one", "two"]), false).unwrap();
    assert_eq!(two.reencrypt(soon).await.unwrap().left, ["held"]);
    lease_ends(&world).await;
    let done = two.reencrypt(soon).await.unwrap();
    assert!(done.left.is_empty() && done.moved == 1, "{done:?}");
    let found = row(two.find(soon(), &id("held")).await.unwrap());
    assert!(found.doubtful_since.is_some());
    assert_eq!(two.counts(soon()).await.unwrap().doubtful, 2);

    drop(two.hold(soon(), "held").await.unwrap());
    two.bury(soon(), "held").await.unwrap_err();
    lease_ends(&world).await;
    two.bury(soon(), "held").await.unwrap();
    two.bury(soon(), "doubtful").await.unwrap();
    assert_eq!(two.counts(soon()).await.unwrap().doubtful, 0);
}

pub(crate) async fn an_answer_that_comes_after_the_lease_is_written_if_nobody_has_changed_the_row(
    world: World,
) {
    let [store, other] = world.replicas();
    insert(&store, "a").await;
    // The other one's call is refused, for the token is not the right one any more.
    let frozen = store.hold(soon(), "a").await.unwrap();
    lease_ends(&world).await;
    let taken = other.hold(soon(), "a").await.unwrap();
    let (replaced, ()) = tokio::join!(frozen.replace(soon(), rotated("late")), async {
        tokio::task::yield_now().await;
        taken.doubt(soon()).await;
    });
    replaced.unwrap();
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-late");
    // Nobody knows what the other one's call did.
    assert!(found.doubtful_since.is_some());
    // What another one was answered is newer.
    let frozen = store.hold(soon(), "a").await.unwrap();
    lease_ends(&world).await;
    let taken = other.hold(soon(), "a").await.unwrap();
    taken.replace(soon(), rotated("newer")).await.unwrap();
    let fault = frozen.replace(soon(), rotated("older")).await.unwrap_err();
    assert_eq!(fault.kind(), &FaultKind::Internal);
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-newer");
    // A call that has not left does not leave.
    let mut frozen = store.hold(soon(), "a").await.unwrap();
    lease_ends(&world).await;
    other.hold(soon(), "a").await.unwrap().release(soon()).await;
    frozen
        .replace_and_hold(soon(), rotated("unsent"))
        .await
        .unwrap_err();
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-newer");
}

pub(crate) async fn a_hold_that_was_given_up_at_any_moment_is_over(world: World) {
    let [store, other] = world.replicas();
    insert(&store, "a").await;
    for deadline in moments() {
        if let Ok(held) = store.hold(deadline, "a").await {
            held.release(soon()).await;
        }
        // Long before the lease ends.
        let held = other.hold(soon(), "a").await.unwrap();
        assert!(held.row().doubtful_since.is_none());
        held.release(soon()).await;
    }
}

pub(crate) async fn what_was_noted_or_not_when_the_database_did_not_answer_is_of_no_harm(
    world: World,
) {
    let store = world.open();
    insert(&store, "a").await;
    insert(&store, "b").await;
    let noted = || Change {
        metadata: Some("noted".to_owned()),
        ..Change::default()
    };
    let before = row(store.find(soon(), &id("a")).await.unwrap()).metadata;
    for (number, deadline) in moments().enumerate() {
        let token = format!("{number}");
        let mut held = store.hold(soon(), "b").await.unwrap();
        let _ = held.replace_and_hold(deadline, noted()).await;
        held.replace(soon(), rotated(&token)).await.unwrap();
        let found = row(store.find(soon(), &id("b")).await.unwrap());
        assert!(token_of(&found).ends_with(&token));

        let mut held = store.hold(soon(), "a").await.unwrap();
        let was_noted = held.replace_and_hold(deadline, noted()).await.is_ok();
        held.release(soon()).await;
        let found = row(store.find(soon(), &id("a")).await.unwrap());
        assert!(was_noted || found.metadata == before);
        let held = store.hold(soon(), "a").await.unwrap();
        let change = Change {
            metadata: Some(before.clone()),
            ..Change::default()
        };
        held.replace(soon(), change).await.unwrap();
    }
}

pub(crate) async fn a_call_whose_process_died_leaves_a_doubt_that_a_success_clears(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    drop(store.hold(soon(), "a").await.unwrap());
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 0);
    lease_ends(&world).await;
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 1);
    let entries = store.entries(soon(), "").await.unwrap();
    let states: Vec<_> = entries.iter().map(|entry| &entry.state).collect();
    assert!(matches!(*states, [State::Doubtful(_)]), "{entries:?}");

    let held = store.hold(soon(), "a").await.unwrap();
    assert!(held.row().doubtful_since.is_some());
    held.release(soon()).await;
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 1);
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert!(found.doubtful_since.is_some());

    let held = store.hold(soon(), "a").await.unwrap();
    held.replace(soon(), Change::default()).await.unwrap();
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 0);
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert!(found.doubtful_since.is_none());
    assert_eq!(token_of(&found), "planted-registration-token-a");
}

pub(crate) async fn a_doubt_stays_until_a_call_was_answered(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    let held = store.hold(soon(), "a").await.unwrap();
    held.doubt(soon()).await;
    let mut held = store.hold(soon(), "a").await.unwrap();
    for metadata in ["noted", "noted again"] {
        let change = Change {
            metadata: Some(metadata.to_owned()),
            ..Change::default()
        };
        held.replace_and_hold(soon(), change).await.unwrap();
        assert!(held.row().doubtful_since.is_some());
    }
    held.release(soon()).await;
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert!(found.doubtful_since.is_some());
    assert_eq!(found.metadata, "noted again");
    let held = store.hold(soon(), "a").await.unwrap();
    held.replace(soon(), Change::default()).await.unwrap();
    let found = row(store.find(soon(), &id("a")).await.unwrap());
    assert!(found.doubtful_since.is_none());
}

pub(crate) async fn what_a_fault_leaves_open_is_noted(world: World) {
    let store = world.open();
    insert(&store, "a").await;
    let refused = Fault::new(FaultKind::Refused, "x");
    let held = store.hold(soon(), "a").await.unwrap();
    held.failed(soon(), &refused).await;
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 0);
    let held = store.hold(soon(), "a").await.unwrap();
    held.failed(soon(), &Fault::new(FaultKind::TimedOut, "x"))
        .await;
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 1);
    let held = store.hold(soon(), "a").await.unwrap();
    assert!(held.row().doubtful_since.is_some());
    held.bury(soon()).await.unwrap();
    assert_eq!(store.counts(soon()).await.unwrap().doubtful, 0);
}

pub(crate) async fn a_dead_process_holds_nothing_of_a_sqlite_file(world: World) {
    let served = || World::try_open(&world.config("one", &["one"]), true).unwrap();
    let store = served();
    insert(&store, "a").await;
    let short = || Deadline::after(Duration::from_millis(300));
    drop(store.hold(soon(), "a").await.unwrap());
    // A command beside it holds nothing that the process which serves may still work on.
    world.open().hold(short(), "a").await.unwrap_err();
    drop(store);
    let held = served().hold(short(), "a").await.unwrap();
    assert!(held.row().doubtful_since.is_some());
    held.release(soon()).await;
}

pub(crate) async fn a_dead_replica_holds_a_client_until_its_lease_ends(world: World) {
    let [store, other] = world.replicas();
    insert(&store, "a").await;
    drop(store.hold(soon(), "a").await.unwrap());
    drop(store);
    let past = "UPDATE dcr_clients SET held_since = held_since - 118000";
    assert_eq!(world.tamper(past).await, 1);
    let short = Deadline::after(Duration::from_millis(300));
    other.hold(short, "a").await.unwrap_err();
    let held = other.hold(soon(), "a").await.unwrap();
    assert!(held.row().doubtful_since.is_some());
    held.release(soon()).await;
}
