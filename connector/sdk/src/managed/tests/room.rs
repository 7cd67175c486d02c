//! What becomes of an undo where there is no room for one more, and of those that others keep waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use super::scripted::Scripted;
use super::{World, call};
use crate::Connector as _;
use crate::fault::{Fault, FaultKind, Outcome};
use crate::model::{Abort, AbortTarget, OperationId};

/// One with room for one undo, and the operation that made a client that cannot be deleted.
async fn room_for_one() -> (World, OperationId) {
    let mut idp = Scripted::new(false);
    idp.gate = Arc::new(Semaphore::new(1));
    idp.table().id = "stuck";
    idp.table().stuck = "stuck";
    let world = World::with_room(idp, 1);
    let stuck = OperationId::generate();
    world.create(stuck).await.unwrap();
    world.idp.table().id = "c";
    (world, stuck)
}

/// One that has no room left.
async fn full() -> World {
    let (world, stuck) = room_for_one().await;
    world.is_filled_by(stuck).await;
    world
}

impl World {
    async fn is_filled_by(&self, stuck: OperationId) {
        let aborted = self.abort(stuck, AbortTarget::Create).await;
        assert_eq!(aborted, Abort::Accepted);
    }

    async fn gave_up_one(&self) {
        self.until(|world| world.counts("given_up", 1)).await;
    }

    async fn refused_abort(&self, operation: OperationId, target: AbortTarget) -> Fault {
        let call = call();
        let abort = self.connector.abort_operation(&call, operation, target);
        abort.await.unwrap_err()
    }

    /// Makes room: what could not be deleted is.
    async fn has_room(&self) {
        self.idp.table().stuck = "";
        self.settled().await;
        assert!(!left(self).contains(&"stuck".to_owned()));
    }
}

fn left(world: &World) -> Vec<String> {
    let table = world.idp.table();
    table.clients.iter().map(|(id, _)| id.clone()).collect()
}

#[track_caller]
fn assert_comes_again(fault: &Fault) {
    let comes_again = matches!(fault.kind(), FaultKind::Unavailable { after: Some(_) });
    assert!(comes_again, "{fault}");
    assert_eq!(fault.done(), Outcome::NotApplied);
}

#[tokio::test(start_paused = true)]
async fn an_abort_for_which_there_is_no_room_changes_nothing_and_is_to_come_again() {
    let world = full().await;
    let operation = OperationId::generate();
    let refused = world.refused_abort(operation, AbortTarget::Create).await;
    assert_comes_again(&refused);
    world.idp.gate.add_permits(1);
    let created = world.create(operation).await;
    assert!(created.is_ok(), "nobody sees to it that it is undone");
    assert_comes_again(&world.refused_abort(operation, AbortTarget::Create).await);
    world.has_room().await;
    let again = world.abort(operation, AbortTarget::Create).await;
    assert_eq!(again, Abort::Undone);
    assert_eq!(world.idp.table().clients, []);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_took_and_for_which_there_is_no_room_is_left_to_the_gateway() {
    let world = full().await;
    let operation = OperationId::generate();
    world.gone(world.create(operation)).await;
    world.idp.gate.add_permits(1);
    world.gave_up_one().await;
    assert_comes_again(&world.refused_abort(operation, AbortTarget::Create).await);
    world.has_room().await;
    assert_eq!(left(&world), ["c"]);
    let aborted = world.abort(operation, AbortTarget::Create).await;
    assert_eq!(aborted, Abort::Undone);
    assert_eq!(world.idp.table().clients, []);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_nobody_took_and_for_which_there_is_no_room_is_left_to_the_gateway() {
    let world = full().await;
    world.idp.gate.add_permits(1);
    world.create(OperationId::generate()).await.unwrap();
    let operation = OperationId::generate();
    world.gone(world.add(operation)).await;
    world.idp.gate.add_permits(1);
    world.gave_up_one().await;
    assert_eq!(world.idp.table().secrets.len(), 1);
    world.has_room().await;
    // Without labels only its own task knew the secret's id.
    assert_eq!(world.abort_add(operation).await, Abort::Undone);
    assert_eq!(world.idp.table().secrets, []);
    assert_eq!(left(&world), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_aborted_meanwhile_and_for_which_there_is_no_room_is_aborted_anew() {
    let (world, stuck) = room_for_one().await;
    world.idp.gate.add_permits(1);
    world.create(OperationId::generate()).await.unwrap();
    let operation = OperationId::generate();
    world.gone(world.add(operation)).await;
    assert_eq!(world.abort_add(operation).await, Abort::Accepted);
    world.is_filled_by(stuck).await;
    world.idp.gate.add_permits(1);
    world.gave_up_one().await;
    assert_eq!(world.idp.table().secrets.len(), 1);
    world.has_room().await;
    assert_eq!(world.abort_add(operation).await, Abort::Undone);
    assert_eq!(world.idp.table().secrets, []);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_client_does_not_keep_the_undoing_of_others() {
    let mut idp = Scripted::new(true);
    idp.gate = Arc::new(Semaphore::new(1));
    let world = Arc::new(World::with_client(idp, "p"));
    let other = OperationId::generate();
    world.create(other).await.unwrap();
    // Holds the client's lock until its end, which does not come.
    let began = Instant::now();
    world.gone(world.add(OperationId::generate())).await;
    let mut aborts = JoinSet::new();
    for _ in 0..32 {
        let world = Arc::clone(&world);
        aborts.spawn(async move { world.abort_add(OperationId::generate()).await });
    }
    yield_now().await;
    let aborted = world.abort(other, AbortTarget::Create).await;
    assert_eq!(aborted, Abort::Accepted, "all places are taken");
    while left(&world) != ["c"] {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
