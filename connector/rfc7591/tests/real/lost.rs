//! Answers of the server that never arrive: what is then known, and by whom.

use dcr_tests::Mishap;
use dcr_tests::konnect::event;
use http::Method;
use serde_json::json;

use crate::Setup;
use crate::world::{World, ferry};

pub(crate) async fn a_create_whose_answer_is_lost_is_named(setup: &'static Setup) {
    let mut world = World::start(setup).await;
    let before = setup.server.clients().await;
    let registration = setup.server.registration_path();
    setup
        .proxy
        .spoil(Method::POST, registration, Mishap::HalfAnAnswer);
    let answer = world.konnect.create(&ferry()).await.answer;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert!(setup.proxy.is_spent());
    let made = &setup.server.clients().await - &before;
    assert_eq!(made.len(), 1, "the server made no client");
    // It is there, and nobody knows it: that much is known.
    let (content, listed) = world.command(&["store", "list"]).await;
    assert!(
        content && listed.matches("open intent of operation").count() == 1,
        "{listed}"
    );
    assert!(listed.contains("--forget-intent"), "{listed}");
    // Others are served.
    let (id, secret) = world.client().await;
    assert!(setup.server.opens(&id, &secret).await);
    world.konnect.delete(&id).await.gone();
    world.cut().await;
}

pub(crate) async fn an_update_whose_answer_is_lost_is_named_or_harmless(setup: &'static Setup) {
    let server = &setup.server;
    if !server.updates() {
        return;
    }
    let mut world = World::start(setup).await;
    let (id, secret) = world.client().await;
    let registration = server.registration_path();
    setup
        .proxy
        .spoil(Method::PUT, registration, Mishap::HalfAnAnswer);
    let update = |name: &str| {
        event(
            "update_application",
            &id,
            &json!({"application_name": name}),
        )
    };
    let answer = world.konnect.hook(&id, &update("one")).await.answer;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert!(setup.proxy.is_spent());
    let replaces = server.idp.contains("put_token: new");
    let (content, listed) = world.command(&["store", "list"]).await;
    let doubtful = listed
        .lines()
        .any(|l| l.starts_with(&id) && l.contains("doubtful"));
    assert_eq!(doubtful, replaces, "{listed}");
    assert!(content);
    assert!(server.opens(&id, &secret).await, "the application was hurt");
    if replaces {
        // The new token was in the lost answer: the named open window, with a sentence for the operator.
        let refusal = world.konnect.hook(&id, &update("two")).await.refused(502);
        assert!(
            refusal.description.contains("operator"),
            "{}",
            refusal.description
        );
        let refusal = world.konnect.delete(&id).await.refused(502);
        assert!(
            refusal.description.contains("operator"),
            "{}",
            refusal.description
        );
        let (content, output) = world.command(&["store", "repair", "--bury", &id]).await;
        assert!(content, "{output}");
    } else {
        world.konnect.hook(&id, &update("two")).await.heard();
    }
    world.konnect.delete(&id).await.gone();
    world.end().await;
}

pub(crate) async fn a_delete_whose_answer_is_lost_can_be_repeated(setup: &'static Setup) {
    let world = World::start(setup).await;
    let (id, _) = world.client().await;
    let registration = setup.server.registration_path();
    // An answer without a body cannot be halved.
    let (silence, gate) = Mishap::held();
    setup.proxy.spoil(Method::DELETE, registration, silence);
    let answer = world.konnect.delete(&id).await.answer;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert!(!setup.server.clients().await.contains(&id));
    drop(gate);
    world.konnect.delete(&id).await.gone();
    world.end().await;
}
