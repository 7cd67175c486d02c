//! Two replicas of the connector, each behind a gateway of its own, on one PostgreSQL.

use dcr_tests::Konnect;
use dcr_tests::konnect::event;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Setup;
use crate::life::{AUDIENCE, GRANTS};
use crate::server::GRANTED;
use crate::world::{Store, World};

/// How often each replica changes each client.
const CHANGES: usize = 20;
/// For how many APIs a client is registered at once.
const ENTITIES: usize = 20;

pub(crate) async fn two_replicas_update_one_client_at_once(setup: &'static Setup) {
    let one = World::with(setup, &Store::Postgresql, "").await;
    let two = World::with(setup, &Store::Postgresql, "").await;
    let server = &setup.server;
    for _ in 0..3 {
        let (id, secret) = one.client().await;
        let mut tasks = JoinSet::new();
        for konnect in [&one.konnect, &two.konnect] {
            let (konnect, id) = (konnect.clone(), id.clone());
            tasks.spawn(async move {
                for number in 0..CHANGES {
                    let members = json!({"application_name": format!("ferry {number}")});
                    let update = event("update_application", &id, &members);
                    konnect.hook(&id, &update).await.heard();
                }
            });
        }
        tasks.join_all().await;
        assert!(
            server.opens(&id, &secret).await,
            "an update hurt the secret"
        );
        if server.rotates() {
            let (a, b) = tokio::join!(one.konnect.rotate(&id), two.konnect.rotate(&id));
            let mut live = 0;
            for reply in [a, b] {
                let secret = reply.rotated(&id).client_secret;
                live += usize::from(server.opens(&id, &secret).await);
            }
            assert_eq!(live, 1, "not one secret lives");
        }
        // Neither has lost it: what one has done, the other builds on.
        for konnect in [&two.konnect, &one.konnect] {
            let update = event(
                "update_application",
                &id,
                &json!({"application_name": "after"}),
            );
            konnect.hook(&id, &update).await.heard();
        }
        let last = event(
            "update_application",
            &id,
            &json!({"application_name": "the last"}),
        );
        two.konnect.hook(&id, &last).await.heard();
        assert_eq!(name_at_the_server(setup, &id), json!("the last"));
        two.konnect.delete(&id).await.gone();
        assert!(!server.clients().await.contains(&id));
    }
    two.end().await;
    one.end().await;
}

/// The name in the server's last answer about a client.
fn name_at_the_server(setup: &Setup, id: &str) -> Value {
    let seen = setup.proxy.seen().into_iter().rev();
    let mut put = seen.filter(|exchange| {
        exchange.method == Method::PUT && exchange.target.ends_with(&format!("/{id}"))
    });
    let answer = put.find_map(|exchange| exchange.answer);
    let answer = answer.expect("the server has answered");
    let client: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    client["client_name"].clone()
}

pub(crate) async fn registrations_that_two_replicas_begin_at_once_are_all_kept(
    setup: &'static Setup,
) {
    let one = World::with(setup, &Store::Postgresql, GRANTS).await;
    let two = World::with(setup, &Store::Postgresql, GRANTS).await;
    let server = &setup.server;
    let change = |konnect: &Konnect, kind: &str, id: &str, number: usize| {
        let entity = json!({"api_id": format!("e{number}"), "audience": AUDIENCE});
        let (konnect, id) = (konnect.clone(), id.to_owned());
        let event = event(kind, &id, &entity);
        async move { konnect.hook(&id, &event).await.heard() }
    };
    let both = [&one.konnect, &two.konnect];
    for kept in [0, 7, 19] {
        let (id, secret) = one.client().await;
        let mut tasks = JoinSet::new();
        for number in 0..ENTITIES {
            tasks.spawn(change(both[number % 2], "add_registration", &id, number));
        }
        tasks.join_all().await;
        let mut tasks = JoinSet::new();
        for number in (0..ENTITIES).filter(|number| *number != kept) {
            let other = both[(number + 1) % 2];
            tasks.spawn(change(other, "remove_registration", &id, number));
        }
        tasks.join_all().await;
        assert!(
            server.opens_for(&id, &secret, GRANTED).await,
            "a registration was lost, and what it grants"
        );
        change(both[0], "remove_registration", &id, kept).await;
        assert!(
            !server.opens_for(&id, &secret, GRANTED).await,
            "a registration that ended came back"
        );
        two.konnect.delete(&id).await.gone();
    }
    two.end().await;
    one.end().await;
}

pub(crate) async fn a_client_that_one_replica_deletes_is_gone_for_the_other(setup: &'static Setup) {
    let one = World::with(setup, &Store::Postgresql, "").await;
    let two = World::with(setup, &Store::Postgresql, "").await;
    for _ in 0..5 {
        let (id, _) = one.client().await;
        let (a, b) = tokio::join!(one.konnect.delete(&id), two.konnect.delete(&id));
        a.gone();
        b.gone();
        assert!(!setup.server.clients().await.contains(&id));
        assert_eq!(
            two.konnect.list(&id).await.refused(404).error,
            "client_not_found"
        );
        assert_eq!(
            one.konnect.list(&id).await.refused(404).error,
            "client_not_found"
        );
    }
    two.end().await;
    one.end().await;
}
