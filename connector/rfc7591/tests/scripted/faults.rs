//! Answers that are lost, servers that refuse or lie, processes that are killed: what Konnect is told, and what the store
//! knows afterwards.

use bytes::Bytes;
use dcr_tests::konnect::{application, event, verify};
use dcr_tests::{Mishap, Proxy};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::life::client;
use crate::server::{Manners, PutSecret, Registration, Server};
use crate::world::{DCRM, World, behaviour};

/// The server does it, and its answer is lost on the way.
pub(crate) fn lost() -> Mishap {
    Mishap::AfterCommit(
        StatusCode::INTERNAL_SERVER_ERROR,
        HeaderMap::new(),
        Bytes::new(),
    )
}

/// The server is not asked.
pub(crate) fn instead(status: StatusCode) -> Mishap {
    Mishap::Instead(status, HeaderMap::new(), Bytes::new())
}

/// What `store list` says.
async fn listed(world: &mut World) -> String {
    let (_, printed) = world.command(&["store", "list"]).await;
    printed
}

/// How many registrations have no known end, as `store list` has it.
async fn intents(world: &mut World) -> usize {
    listed(world)
        .await
        .matches("open intent of operation")
        .count()
}

pub(crate) async fn a_create_whose_answer_is_lost_stays_an_open_intent() {
    let mut world = World::start(Manners::default()).await;
    for (mishap, open) in [(lost(), 1), (Mishap::HalfAnAnswer, 2)] {
        world.proxy.spoil(Method::POST, "/register", mishap);
        let reply = world.konnect.create(&application("ferry")).await;
        let _ = reply.refused(504);
        assert!(world.proxy.is_spent());
        assert_eq!(intents(&mut world).await, open);
    }
    world.cut().await;
}

pub(crate) async fn a_create_that_made_nothing_leaves_no_intent() {
    let mut world = World::start(Manners::default()).await;
    for (status, told) in [
        (StatusCode::UNAUTHORIZED, 502),
        (StatusCode::FORBIDDEN, 502),
        (StatusCode::TOO_MANY_REQUESTS, 429),
        (StatusCode::BAD_REQUEST, 400),
        (StatusCode::NOT_FOUND, 500),
    ] {
        world
            .proxy
            .spoil(Method::POST, "/register", instead(status));
        let reply = world.konnect.create(&application("ferry")).await;
        let _ = reply.refused(told);
    }
    world.proxy.stop().await;
    let reply = world.konnect.create(&application("ferry")).await;
    let _ = reply.refused(503);
    world.proxy.resume();
    assert_eq!(intents(&mut world).await, 0);
    world.cut().await;
}

pub(crate) async fn a_client_whose_id_is_given_out_once_more_is_left_alone() {
    let mut world = World::start(Manners::default()).await;
    let (id, secret) = client(&world).await;
    let again = Mishap::Member("client_id", json!(id));
    world.proxy.spoil(Method::POST, "/register", again);
    let reply = world.konnect.create(&application("second")).await;
    let _ = reply.refused(409);
    assert_eq!(intents(&mut world).await, 1);
    assert!(world.opens(&id, &secret).await);
    let update = event("update_application", &id, &json!({}));
    world.konnect.hook(&id, &update).await.heard();
    world.cut().await;
}

pub(crate) async fn a_connector_that_is_killed_while_a_client_is_made_leaves_an_intent() {
    let mut world = World::start(Manners::default()).await;
    let (held, gate) = Mishap::held();
    world.proxy.spoil(Method::POST, "/register", held);
    let mut creates = JoinSet::new();
    let konnect = world.konnect.clone();
    creates.spawn(async move { konnect.create(&application("ferry")).await.refused(504) });
    world.proxy.held(1).await;
    world.connector.process.kill().await;
    creates.join_all().await;
    gate.open();
    world.restart().await;
    assert_eq!(intents(&mut world).await, 1);
    let (id, secret) = client(&world).await;
    assert!(world.opens(&id, &secret).await);
    world.cut().await;
}

pub(crate) async fn a_delete_whose_answer_is_lost_is_known_to_be_done() {
    for manners in [Manners::default(), Manners::curity()] {
        let mut world = World::start(manners).await;
        let (id, _) = client(&world).await;
        world.proxy.spoil(Method::DELETE, &id, lost());
        let _ = world.konnect.delete(&id).await.refused(504);
        assert!(world.server.ids().is_empty());
        world.restart().await;
        // The server says 401, as RFC 7592 has it.
        world.konnect.delete(&id).await.gone();
        let printed = listed(&mut world).await;
        assert!(printed.contains("0 live, 0 doubtful"), "{printed}");
        world.cut().await;
    }
}

pub(crate) async fn a_connector_that_is_killed_while_it_deletes_ends_it_afterwards() {
    let mut world = World::start(Manners::tokens_once()).await;
    let (id, _) = client(&world).await;
    let (held, gate) = Mishap::held();
    world.proxy.spoil(Method::DELETE, &id, held);
    let mut deletes = JoinSet::new();
    let (konnect, name) = (world.konnect.clone(), id.clone());
    deletes.spawn(async move { drop(konnect.delete(&name).await) });
    world.proxy.held(1).await;
    world.connector.process.kill().await;
    deletes.join_all().await;
    gate.open();
    world.restart().await;
    world.konnect.delete(&id).await.gone();
    world.cut().await;
}

pub(crate) async fn a_client_that_is_gone_at_the_server_is_gone_by_policy_alone() {
    let known = behaviour(&Manners::default());
    let gone = format!("{known}  unauthorized_means: gone\n");
    for (more, is_gone) in [(known, false), (gone, true)] {
        let mut world = World::with(Manners::default(), &more).await;
        let (id, _) = client(&world).await;
        world.server.forget(&id);
        let update = event("update_application", &id, &json!({}));
        let used = world.konnect.hook(&id, &update).await;
        let _ = used.refused(if is_gone { 404 } else { 502 });
        for _ in 0..2 {
            let deleted = world.konnect.delete(&id).await;
            if is_gone {
                deleted.gone();
            } else {
                assert_eq!(deleted.refused(502).error, "identity_provider_refused");
            }
        }
        let printed = listed(&mut world).await;
        let live = if is_gone { "0 live" } else { "1 live" };
        assert!(printed.contains(live), "{printed}");
        world.cut().await;
    }
}

pub(crate) async fn a_404_is_believed_where_a_401_is() {
    let known = behaviour(&Manners::default());
    let gone = format!("{known}  unauthorized_means: gone\n");
    let nowhere = || instead(StatusCode::NOT_FOUND);
    for (more, is_believed) in [(&known, false), (&gone, true)] {
        let world = World::with(Manners::default(), more).await;
        let (id, _) = client(&world).await;
        world.proxy.spoil(Method::DELETE, &id, nowhere());
        let deleted = world.konnect.delete(&id).await;
        if is_believed {
            deleted.gone();
        } else {
            assert_eq!(deleted.refused(502).error, "identity_provider_refused");
            world.konnect.delete(&id).await.gone();
            assert!(world.server.ids().is_empty());
        }
        world.cut().await;
    }
    // Whose deletion was asked for and not answered is gone.
    let world = World::with(Manners::default(), &known).await;
    let (id, _) = client(&world).await;
    world.proxy.spoil(Method::DELETE, &id, lost());
    let _ = world.konnect.delete(&id).await.refused(504);
    world.proxy.spoil(Method::DELETE, &id, nowhere());
    world.konnect.delete(&id).await.gone();
    world.cut().await;
}

pub(crate) async fn a_401_to_the_token_for_all_clients_is_about_that_token() {
    let more = format!(
        "{DCRM}  behaviour: {{get: nothing, put_secret: kept, put_token: kept, delete: answers_204}}\n"
    );
    let world = World::with(Manners::curity(), &more).await;
    let (id, _) = client(&world).await;
    world
        .proxy
        .spoil(Method::DELETE, &id, instead(StatusCode::BAD_GATEWAY));
    let _ = world.konnect.delete(&id).await.refused(504);
    for _ in 0..2 {
        world
            .proxy
            .spoil(Method::DELETE, &id, instead(StatusCode::UNAUTHORIZED));
    }
    let _ = world.konnect.delete(&id).await.refused(502);
    assert!(world.proxy.is_spent());
    assert_eq!(world.server.ids().len(), 1);
    world.konnect.delete(&id).await.gone();
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn a_delete_that_was_refused_is_no_sign_that_a_client_is_gone() {
    let world = World::start(Manners::default()).await;
    let (id, _) = client(&world).await;
    let token = world.server.client(&id).expect("it is there").token;
    world
        .server
        .change(&id, |client| client.token.push_str("-revoked"));
    for _ in 0..2 {
        let _ = world.konnect.delete(&id).await.refused(502);
    }
    world.server.change(&id, |client| client.token = token);
    world.konnect.delete(&id).await.gone();
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn a_token_that_was_replaced_in_a_lost_answer_is_told_and_proves_nothing() {
    let more = behaviour(&Manners::tokens_once()) + "  unauthorized_means: gone\n";
    let mut world = World::with(Manners::tokens_once(), &more).await;
    let (id, secret) = client(&world).await;
    let update = event("update_application", &id, &json!({}));
    world.proxy.spoil(Method::PUT, &id, lost());
    let _ = world.konnect.hook(&id, &update).await.refused(504);
    let printed = listed(&mut world).await;
    assert!(printed.contains("1 live, 1 doubtful"), "{printed}");
    for _ in 0..2 {
        let _ = world.konnect.hook(&id, &update).await.refused(502);
        // The client is there, and it was delivered: it is not taken for deleted.
        let _ = world.konnect.delete(&id).await.refused(502);
        let nowhere = instead(StatusCode::NOT_FOUND);
        world.proxy.spoil(Method::DELETE, &id, nowhere);
        let _ = world.konnect.delete(&id).await.refused(502);
    }
    assert!(world.opens(&id, &secret).await);
    let printed = listed(&mut world).await;
    assert!(printed.contains("1 live, 1 doubtful"), "{printed}");
    world.cut().await;
}

pub(crate) async fn a_doubt_ends_with_the_next_call_that_the_server_takes() {
    let mut world = World::start(Manners::tokens_once()).await;
    let (id, secret) = client(&world).await;
    let update = event(
        "update_application",
        &id,
        &json!({"application_name": "second"}),
    );
    let failing = instead(StatusCode::INTERNAL_SERVER_ERROR);
    world.proxy.spoil(Method::PUT, &id, failing);
    let _ = world.konnect.hook(&id, &update).await.refused(504);
    let printed = listed(&mut world).await;
    assert!(printed.contains("1 live, 1 doubtful"), "{printed}");
    world.konnect.hook(&id, &update).await.heard();
    let printed = listed(&mut world).await;
    assert!(printed.contains("1 live, 0 doubtful"), "{printed}");
    assert!(world.opens(&id, &secret).await);
    world.konnect.delete(&id).await.gone();
    world.cut().await;
}

pub(crate) async fn a_doubt_stays_while_the_server_is_not_asked() {
    let grants = "  unauthorized_means: gone\n  grants: [{entity: orders, scopes: [ferries]}]\n";
    let more = behaviour(&Manners::tokens_once()) + grants;
    let mut world = World::with(Manners::tokens_once(), &more).await;
    let mut body = application("ferry");
    body["scopes"] = json!(["ferries"]);
    let made = world.konnect.create(&body).await.created();
    let id = made.client_id.to_string();
    world.proxy.spoil(Method::PUT, &id, lost());
    let update = event(
        "update_application",
        &id,
        &json!({"application_name": "second"}),
    );
    let _ = world.konnect.hook(&id, &update).await.refused(504);
    let asked = world.proxy.count();
    let orders = json!({"api_id": "orders"});
    for kind in ["add_registration", "remove_registration"] {
        let event = event(kind, &id, &orders);
        world.konnect.hook(&id, &event).await.heard();
    }
    assert_eq!(world.proxy.count(), asked, "there was nothing to change");
    let printed = listed(&mut world).await;
    assert!(printed.contains("1 live, 1 doubtful"), "{printed}");
    let _ = world.konnect.delete(&id).await.refused(502);
    assert!(world.opens(&id, &made.client_secret).await);
    world.cut().await;
}

pub(crate) async fn a_grant_that_the_server_refuses_leaves_no_registration() {
    let grants = "  grants: [{entity: orders, scopes: [orders:read]}]\n";
    let more = behaviour(&Manners::default()) + grants;
    let world = World::with(Manners::default(), &more).await;
    let (id, _) = client(&world).await;
    let orders = json!({"api_id": "orders"});
    let refused = instead(StatusCode::BAD_REQUEST);
    world.proxy.spoil(Method::PUT, &id, refused);
    let add = event("add_registration", &id, &orders);
    let _ = world.konnect.hook(&id, &add).await.refused(400);
    let asked = world.proxy.count();
    let remove = event("remove_registration", &id, &orders);
    world.konnect.hook(&id, &remove).await.heard();
    assert_eq!(
        world.proxy.count(),
        asked,
        "there was a registration to end"
    );
    world.konnect.hook(&id, &add).await.heard();
    let client = world.server.client(&id).expect("it is there");
    assert_eq!(client.metadata["scope"], "orders:read");
    world.cut().await;
}

pub(crate) async fn no_token_goes_where_an_answer_points() {
    let elsewhere = Server::start(Manners::default()).await;
    let trap = Proxy::before(elsewhere.url());
    for claimed in [
        format!("{}/register/c", trap.url()),
        "/elsewhere/c".to_owned(),
        "/register-too/c".to_owned(),
        "//register/c".to_owned(),
        "javascript:alert(1)".to_owned(),
    ] {
        for can_delete in [true, false] {
            let mut world = World::start(Manners {
                claims_uri: Some(claimed.clone()),
                can_delete,
                ..Manners::default()
            })
            .await;
            let reply = world.konnect.create(&application("ferry")).await;
            let _ = reply.refused(500);
            // It is removed where it should be, or named.
            let left = world.server.ids();
            assert_eq!(left.is_empty(), can_delete);
            for id in &left {
                assert!(world.connector.process.output().contains(id));
            }
            assert_eq!(intents(&mut world).await, left.len());
            world.cut().await;
        }
    }
    assert_eq!(trap.count(), 0);
}

pub(crate) async fn no_secret_goes_to_a_guessed_token_endpoint() {
    let manners = Manners {
        names_token_endpoint: false,
        token_path: "/token",
        ..Manners::curity()
    };
    let mut world = World::start(manners).await;
    let _ = world
        .konnect
        .create(&application("ferry"))
        .await
        .refused(500);
    let (is_content, printed) = world.command(&["check"]).await;
    assert!(
        !is_content && printed.contains("give idp.token_endpoint"),
        "{printed}"
    );
    let posts = world.proxy.seen().into_iter();
    assert_eq!(
        posts
            .filter(|exchange| exchange.method == Method::POST)
            .count(),
        0
    );
    world.cut().await;
}

pub(crate) async fn a_secret_that_a_refusal_repeats_is_not_logged() {
    let mut world = World::start(Manners {
        put_secret: PutSecret::MustBeSent,
        own_members: serde_json::Map::new(),
        repeats_what_it_refuses: true,
        ..Manners::default()
    })
    .await;
    let (id, _) = client(&world).await;
    let update = event(
        "update_application",
        &id,
        &json!({"application_name": "second"}),
    );
    let _ = world.konnect.hook(&id, &update).await.refused(400);
    let (_, printed) = world.command(&["check", "--probe"]).await;
    assert!(printed.contains("invalid_client_metadata"), "{printed}");
    // It is looked for in all that was printed.
    world.cut().await;
}

pub(crate) async fn an_answer_about_another_client_is_not_believed() {
    for (method, told) in [(Method::GET, 500), (Method::PUT, 500)] {
        let world = World::start(Manners::default()).await;
        let (id, secret) = client(&world).await;
        let (other, _) = client(&world).await;
        let confused = Mishap::Member("client_id", json!(other));
        world.proxy.spoil(method, &id, confused);
        let update = event(
            "update_application",
            &id,
            &json!({"application_name": "second"}),
        );
        let _ = world.konnect.hook(&id, &update).await.refused(told);
        assert!(world.proxy.is_spent());
        world.konnect.hook(&id, &update).await.heard();
        assert!(world.opens(&id, &secret).await);
        world.cut().await;
    }
}

pub(crate) async fn clients_that_cannot_be_managed_are_made_only_where_that_is_configured() {
    let manners = Manners {
        is_managed: false,
        ..Manners::default()
    };
    let mut world = World::start(manners.clone()).await;
    let _ = world
        .konnect
        .create(&application("ferry"))
        .await
        .refused(500);
    assert_eq!(intents(&mut world).await, 1);
    world.cut().await;

    let more = "  management: {unsupported: true}\n";
    let mut world = World::with(manners, more).await;
    let (_, printed) = world.command(&["check"]).await;
    assert!(printed.contains("CANNOT_DELETE"), "{printed}");
    let (id, secret) = client(&world).await;
    assert!(world.opens(&id, &secret).await);
    for reply in [
        world.konnect.delete(&id).await,
        world.konnect.rotate(&id).await,
    ] {
        assert_eq!(reply.refused(400).error, "unsupported");
    }
    world.cut().await;
}

pub(crate) async fn a_server_that_cannot_delete_says_so_before_the_first_delete() {
    let manners = Manners {
        can_delete: false,
        ..Manners::default()
    };
    let mut world = World::start(manners.clone()).await;
    let (_, printed) = world.command(&["check"]).await;
    assert!(printed.contains("CANNOT_DELETE"), "{printed}");
    let (id, _) = client(&world).await;
    let asked = world.proxy.count();
    let refusal = world.konnect.delete(&id).await.refused(400);
    assert_eq!(refusal.error, "unsupported");
    assert_eq!(world.proxy.count(), asked);
    world.cut().await;
    // And one of which that is not known.
    let world = World::with(manners, "").await;
    let (id, _) = client(&world).await;
    for _ in 0..2 {
        let refusal = world.konnect.delete(&id).await.refused(400);
        assert_eq!(refusal.error, "unsupported");
    }
    world.cut().await;
}

pub(crate) async fn calls_at_once_leave_a_client_manageable() {
    let world = World::start(Manners::secret_sent_back()).await;
    let (id, _) = client(&world).await;
    let mut calls = JoinSet::new();
    for turn in 0..12 {
        let (konnect, id) = (world.konnect.clone(), id.clone());
        calls.spawn(async move {
            if turn % 3 == 0 {
                let _ = konnect.rotate(&id).await.rotated(&id);
            } else {
                let members = json!({"application_name": format!("turn {turn}")});
                let update = event("update_application", &id, &members);
                konnect.hook(&id, &update).await.heard();
            }
        });
    }
    calls.join_all().await;
    let rotated = world.konnect.rotate(&id).await.rotated(&id);
    assert!(world.opens(&id, &rotated.client_secret).await);
    world.konnect.delete(&id).await.gone();
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn creates_that_nobody_takes_are_undone() {
    let world = World::start(Manners::curity()).await;
    let (held, gate) = Mishap::held();
    world.proxy.spoil(Method::POST, "/oauth-registration", held);
    let konnect = world.konnect.clone();
    let mut creates = JoinSet::new();
    creates.spawn(async move { konnect.create(&application("ferry")).await.refused(504) });
    world.proxy.held(1).await;
    creates.join_all().await;
    assert_eq!(world.server.ids().len(), 1);
    gate.open();
    world.until_empty().await;
    world.cut().await;
}

pub(crate) async fn konnect_verifies_and_the_process_ends_when_told() {
    let manners = Manners {
        registration: Registration::Open,
        ..Manners::default()
    };
    let world = World::start(manners).await;
    let made = world.konnect.create(&verify()).await.created();
    world.konnect.delete(&made.client_id).await.gone();
    assert!(world.server.ids().is_empty());
    world.end().await;
}
