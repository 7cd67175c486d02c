//! The removal of what was made for Konnect's Verify, where an IdP's list never ends or its clients stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::scripted::Scripted;
use super::{World, caller};
use crate::managed::clean_up::MOST_PAGES;
use crate::managed::{Imported, Managed};
use crate::mark::{Made, Mark};
use crate::model::OperationId;

/// Clients of Verify that are long over, the first of which cannot be deleted.
fn old_probes() -> World {
    let world = World::new(Scripted::new(true));
    let mark = Mark {
        caller: caller("p"),
        operation_id: OperationId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
        made: Made::ByUs,
        probe: true,
    };
    let mut table = world.idp.table();
    table.stuck = "a";
    for id in ["a", "b"] {
        table.clients.push((id.to_owned(), mark.clone()));
    }
    drop(table);
    world
}

fn left(world: &World) -> Vec<String> {
    let table = world.idp.table();
    table.clients.iter().map(|(id, _)| id.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_cannot_be_removed_keeps_no_other() {
    let world = old_probes();
    world.connector.remove_old_probes(&caller("p").installation);
    world.settled().await;
    assert_eq!(left(&world), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_probes_that_never_ends_is_left() {
    let world = old_probes();
    world.idp.table().is_endless = true;
    world.connector.remove_old_probes(&caller("p").installation);
    world.settled().await;
    assert_eq!(world.idp.table().pages, MOST_PAGES);
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_that_panicked_is_begun_again() {
    let world = old_probes();
    world.idp.table().panics = true;
    world.connector.remove_old_probes(&caller("p").installation);
    world.settled().await;
    assert_eq!(left(&world), ["a", "b"]);
    world.idp.table().panics = false;
    world.connector.remove_old_probes(&caller("p").installation);
    world.settled().await;
    assert_eq!(left(&world), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_keeps_no_process_from_its_end() {
    let mut world = old_probes();
    world.idp.gate = Arc::new(Semaphore::new(0));
    world.connector = Managed::new(world.idp.clone(), Imported::default(), &world.shutdown);
    world.connector.remove_old_probes(&caller("p").installation);
    world.shutdown.stop();
    let end = tokio::time::timeout(Duration::from_secs(1), world.settled()).await;
    assert!(end.is_ok(), "it is waited for");
}
