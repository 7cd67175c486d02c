//! A create that a network sends to two replicas: what this one undid, the other may make afterwards.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::scripted::{SETTLE_AFTER, Scripted};
use super::{World, caller};
use crate::mark::{Made, Mark};
use crate::model::{Abort, AbortTarget, OperationId};

impl World {
    /// Commits a create under the same operation.
    fn other_replica_makes(&self, operation_id: OperationId) {
        let mark = Mark {
            caller: caller("p"),
            operation_id,
            made: Made::ByUs,
            probe: false,
        };
        self.idp.table().clients.push(("made".to_owned(), mark));
    }

    /// Lets a little time pass, in which what was made is undone.
    async fn undone(&self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(self.idp.table().clients, []);
    }

    /// A create whose caller has gone and which undid itself.
    async fn undid_itself(mut idp: Scripted) -> (Self, OperationId) {
        idp.gate = Arc::new(Semaphore::new(0));
        let world = Self::new(idp);
        let operation = OperationId::generate();
        world.gone(world.create(operation)).await;
        world.idp.gate.add_permits(1);
        world.until(|world| world.idp.table().made == 1).await;
        world.undone().await;
        (world, operation)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_an_abort_undid_it_is_undone_too() {
    let world = World::new(Scripted::new(true));
    let operation = OperationId::generate();
    world.create(operation).await.unwrap();
    let aborted = world.abort(operation, AbortTarget::Create).await;
    assert_eq!(aborted, Abort::Undone);
    world.other_replica_makes(operation);
    world.settled().await;
    assert_eq!(world.idp.table().clients, []);
    assert!(world.counts("gone", 2));
    assert!(!world.counts("nothing", 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_an_abort_that_took_several_tries_is_undone_too() {
    let world = World::new(Scripted::new(true));
    let operation = OperationId::generate();
    world.create(operation).await.unwrap();
    world.idp.table().stuck = "made";
    let aborted = world.abort(operation, AbortTarget::Create).await;
    assert_eq!(aborted, Abort::Accepted);
    world.idp.table().stuck = "";
    world.undone().await;
    world.other_replica_makes(operation);
    world.settled().await;
    assert_eq!(world.idp.table().clients, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_a_task_undid_itself_is_undone_too_once_the_gateway_asks() {
    let (world, operation) = World::undid_itself(Scripted::new(true)).await;
    let aborted = world.abort(operation, AbortTarget::Create).await;
    assert_eq!(aborted, Abort::Undone);
    world.other_replica_makes(operation);
    world.settled().await;
    assert_eq!(world.idp.table().clients, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_a_task_undid_itself_is_left_alone_unless_the_gateway_asks() {
    let (world, operation) = World::undid_itself(Scripted::new(true)).await;
    // Its answer may be the one that arrived.
    world.other_replica_makes(operation);
    assert!(world.settled().await < SETTLE_AFTER);
    assert_eq!(world.idp.table().clients.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_an_aborted_task_undid_itself_is_undone_too() {
    let mut idp = Scripted::new(true);
    idp.gate = Arc::new(Semaphore::new(0));
    let world = World::new(idp);
    let operation = OperationId::generate();
    world.gone(world.create(operation)).await;
    let aborted = world.abort(operation, AbortTarget::Create).await;
    assert_eq!(aborted, Abort::Accepted);
    world.idp.gate.add_permits(1);
    world.until(|world| world.idp.table().made == 1).await;
    world.undone().await;
    world.other_replica_makes(operation);
    world.settled().await;
    assert_eq!(world.idp.table().clients, []);
}

#[tokio::test(start_paused = true)]
async fn looking_once_more_keeps_no_process_from_its_end() {
    let world = World::new(Scripted::new(true));
    let operation = OperationId::generate();
    world.create(operation).await.unwrap();
    world.abort(operation, AbortTarget::Create).await;
    world.shutdown.stop();
    assert_eq!(world.settled().await, Duration::ZERO);
}
