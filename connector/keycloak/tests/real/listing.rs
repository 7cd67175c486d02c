//! The list of managed clients while clients come and go.

use dcr_tests::bridge::random;
use dcr_tests::managed::Listing;
use serde_json::json;

use crate::Setup;
use crate::world::World;

/// Clients that others make and that come first in Keycloak's order.
async fn crowd(setup: &Setup, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = format!("a-{}", random());
        let _ = setup.admin.insert(&json!({"clientId": id})).await;
        ids.push(id);
    }
    ids
}

async fn gone(setup: &Setup, ids: &[String]) {
    for id in ids {
        setup.admin.remove(id).await;
    }
}

async fn clients(world: &World, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(world.client().await.0);
    }
    ids
}

fn is_whole(listing: &Listing, stayed: &[String]) {
    for id in stayed {
        assert_eq!(listing.listed().get(id), Some(&1), "{id}");
    }
    assert_eq!(listing.complete(), Some(true));
}

pub(crate) async fn who_stays_is_listed_once_while_others_come_and_go(setup: &'static Setup) {
    let world = World::start(setup).await;
    let early = crowd(setup, 3).await;
    let ours = clients(&world, 12).await;
    let mut listing = Listing::of(world.connector(), 5);
    // The realm's own clients fill the first pages.
    while listing.listed().len() < 4 {
        assert!(listing.page().await);
    }
    // All that was listed goes but one, and so do clients before it; others come before and behind.
    let listed: Vec<_> = listing.listed().keys().cloned().collect();
    for id in &listed[..listed.len() - 1] {
        world.konnect().delete(id).await.gone();
    }
    gone(setup, &early).await;
    let appeared = crowd(setup, 8).await;
    assert!(listing.page().await);
    let later = clients(&world, 2).await;
    gone(setup, &appeared).await;
    listing.rest().await;
    let stayed: Vec<_> = ours
        .iter()
        .filter(|id| !listed[..listed.len() - 1].contains(id))
        .cloned()
        .collect();
    is_whole(&listing, &stayed);
    for id in stayed.iter().chain(&later) {
        world.konnect().delete(id).await.gone();
    }
    world.end().await;
}

pub(crate) async fn a_crowd_that_comes_or_goes_loses_no_place(setup: &'static Setup) {
    // More than the connector's first look at the next page takes in.
    const CROWD: usize = 110;
    let world = World::start(setup).await;
    let ours = clients(&world, 6).await;
    let mut listing = Listing::of(world.connector(), 3);
    while listing.listed().len() < 2 {
        assert!(listing.page().await);
    }
    let early = crowd(setup, CROWD).await;
    listing.rest().await;
    is_whole(&listing, &ours);

    let mut listing = Listing::of(world.connector(), 3);
    while listing.listed().len() < 2 {
        assert!(listing.page().await);
    }
    gone(setup, &early).await;
    listing.rest().await;
    is_whole(&listing, &ours);
    for id in &ours {
        world.konnect().delete(id).await.gone();
    }
    world.end().await;
}

pub(crate) async fn a_lost_place_is_told(setup: &'static Setup) {
    let world = World::start(setup).await;
    let early = crowd(setup, 25).await;
    let mut listing = Listing::of(world.connector(), 20);
    assert!(listing.page().await);
    // All that the connector remembers is gone with it.
    gone(setup, &early).await;
    listing.rest().await;
    assert_eq!(listing.complete(), Some(false));
    world.end().await;
}
