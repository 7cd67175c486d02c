//! Whose a client is.

use dcr_tests::Konnect;
use dcr_tests::bridge::random;
use dcr_tests::konnect::event;
use serde_json::json;

use crate::Setup;
use crate::world::{OWN, World};

const NO_SUCH_CLIENT: &str = "This provider has no such client.";

/// Everything but delete must answer 404 and say this.
async fn is_hidden(konnect: &Konnect, id: &str, saying: &str) {
    let taken_over = json!({"application_name": "taken over", "redirect_uris": []});
    let update = event("update_application", id, &taken_over);
    let register = event("add_registration", id, &json!({"api_id": "a"}));
    for reply in [
        konnect.rotate(id).await,
        konnect.list(id).await,
        konnect.hook(id, &update).await,
        konnect.hook(id, &register).await,
    ] {
        let refusal = reply.refused(404);
        assert_eq!(refusal.error, "client_not_found");
        assert!(
            refusal.sentence().contains(saying),
            "{}",
            refusal.sentence()
        );
    }
}

pub(crate) async fn unmarked_clients_are_hidden_and_stay(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (by_hand, secret) = setup.admin.insert(&json!({"name": "made by hand"})).await;
    for id in ["admin-cli", "realm-management", &by_hand] {
        let found = setup.admin.there(id).await;
        is_hidden(world.konnect(), id, "adopt --provider one").await;
        world.konnect().delete(id).await.gone();
        assert_eq!(setup.admin.there(id).await, found, "{id} has changed");
    }
    assert!(setup.tokens().opens(&by_hand, &secret).await);
    setup.admin.remove(&by_hand).await;
    world.end().await;
}

pub(crate) async fn the_connectors_own_client_is_out_of_reach(setup: &'static Setup) {
    let world = World::with(setup, "", &format!("imported_clients:\n  two: [{OWN}]\n")).await;
    let found = setup.admin.there(OWN).await;
    // Even where somebody lists it as imported.
    for konnect in [world.konnect(), world.konnect_two()] {
        is_hidden(konnect, OWN, NO_SUCH_CLIENT).await;
        let _ = konnect.delete(OWN).await.refused(404);
    }
    assert_eq!(setup.admin.there(OWN).await, found);
    let _ = world.client().await;
    world.end().await;
}

pub(crate) async fn another_installations_client_is_hidden(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (id, secret) = world.client().await;
    let mut attributes = setup.admin.there(&id).await["attributes"].clone();
    attributes["dcr_installation"] = "elsewhere".into();
    setup
        .admin
        .update(&id, &json!({"attributes": attributes}))
        .await;
    is_hidden(world.konnect(), &id, NO_SUCH_CLIENT).await;
    let _ = world.konnect().delete(&id).await.refused(404);
    assert!(setup.tokens().opens(&id, &secret).await);
    setup.admin.remove(&id).await;
    world.end().await;
}

pub(crate) async fn providers_do_not_see_each_others_clients(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (id, secret) = world.client().await;
    let found = setup.admin.there(&id).await;
    is_hidden(world.konnect_two(), &id, NO_SUCH_CLIENT).await;
    let foreign = world.konnect_two().delete(&id).await.refused(404);
    let absent = world
        .konnect_two()
        .rotate("a-client-that-never-was")
        .await
        .refused(404);
    assert_eq!(
        foreign.sentence(),
        absent.sentence(),
        "whether it exists is nobody else's business"
    );
    assert_eq!(
        setup.admin.there(&id).await,
        found,
        "another provider has changed it"
    );
    assert!(setup.tokens().opens(&id, &secret).await);
    world.konnect().delete(&id).await.gone();
    world.end().await;
}

pub(crate) async fn an_imported_client_is_served_and_stays(setup: &'static Setup) {
    let id = format!("imported-{}", random());
    let (_, secret) = setup
        .admin
        .insert(&json!({"clientId": id, "name": "imported"}))
        .await;
    let world = World::with(setup, "", &format!("imported_clients:\n  one: [{id}]\n")).await;
    let (konnect, tokens) = (world.konnect(), setup.tokens());
    is_hidden(world.konnect_two(), &id, NO_SUCH_CLIENT).await;
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);
    let rotated = konnect.rotate(&id).await.rotated(&id);
    assert!(!tokens.opens(&id, &secret).await);
    let update = json!({"application_name": "renamed", "redirect_uris": []});
    konnect
        .hook(&id, &event("update_application", &id, &update))
        .await
        .heard();
    assert_eq!(setup.admin.there(&id).await["name"], "renamed");
    konnect.delete(&id).await.gone();
    let stays = tokens.opens(&id, &rotated.client_secret).await;
    assert!(stays, "an imported client was deleted");
    setup.admin.remove(&id).await;
    world.end().await;
}

pub(crate) async fn an_adopted_client_is_deleted_only_when_owned(setup: &'static Setup) {
    let mut world = World::start(setup).await;
    for (more, stays) in [(&[][..], true), (&["--owned"], false)] {
        let (id, secret) = setup
            .admin
            .insert(&json!({"attributes": {"team": "harbour"}}))
            .await;
        world.adopt("one", &id, more).await;
        let found = setup.admin.there(&id).await;
        assert_eq!(
            found["attributes"]["team"], "harbour",
            "an attribute of others is gone"
        );
        assert_eq!(found["attributes"]["dcr_provider"], "one");
        assert!(
            setup.tokens().opens(&id, &secret).await,
            "adopting has changed the secret"
        );
        let rotated = world.konnect().rotate(&id).await.rotated(&id);
        is_hidden(world.konnect_two(), &id, NO_SUCH_CLIENT).await;
        world.konnect().delete(&id).await.gone();
        let is_there = setup.tokens().opens(&id, &rotated.client_secret).await;
        assert_eq!(is_there, stays, "{more:?}");
        if stays {
            setup.admin.remove(&id).await;
        }
    }
    world.end().await;
}
