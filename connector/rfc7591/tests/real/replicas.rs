//! Two replicas of the connector, each behind a gateway of its own, on one PostgreSQL.

use dcr_tests::konnect::event;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Setup;
use crate::world::{Store, World};

/// How often each replica changes each client.
const CHANGES: usize = 20;

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
        two.konnect.delete(&id).await.gone();
        assert!(!server.clients().await.contains(&id));
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
