//! The life of a client, before a server of each kind.

use dcr_tests::konnect::{application, event, set, verify};
use dcr_tests::schema::SecretStatus;
use http::Method;
use serde_json::{Value, json};

use crate::server::{Get, Manners, PutSecret, Registration};
use crate::world::{DCRM, World, behaviour};

/// Every kind of server, managed by the tokens of its clients.
fn all() -> [Manners; 6] {
    [
        Manners::default(),
        Manners::tokens_once(),
        Manners::secret_sent_back(),
        Manners::always_a_new_secret(),
        Manners::curity(),
        Manners {
            registration: Registration::Open,
            get: Get::Unsupported,
            put_secret: PutSecret::Unsupported,
            ..Manners::default()
        },
    ]
}

/// A client of the provider `one`: its id and its secret.
pub(crate) async fn client(world: &World) -> (String, String) {
    let made = world.konnect.create(&application("ferry")).await.created();
    (made.client_id.to_string(), made.client_secret.to_string())
}

fn update(id: &str, name: &str, uri: &str) -> Value {
    let members = json!({"application_name": name, "redirect_uris": [uri]});
    event("update_application", id, &members)
}

pub(crate) async fn a_client_opens_tokens_until_it_is_deleted() {
    for manners in all() {
        let mut world = World::start(manners).await;
        let (id, secret) = client(&world).await;
        assert!(world.opens(&id, &secret).await);
        let client = world.server.client(&id).expect("it is there");
        assert_eq!(client.metadata["client_name"], "ferry");
        assert_eq!(
            client.metadata["token_endpoint_auth_method"],
            "client_secret_post"
        );
        world.restart().await;
        world.konnect.delete(&id).await.gone();
        assert!(world.server.client(&id).is_none());
        let asked = world.proxy.count();
        world.konnect.delete(&id).await.gone();
        assert_eq!(world.proxy.count(), asked, "a tombstone is enough");
        world.cut().await;
    }
}

pub(crate) async fn an_update_keeps_the_secret_and_all_that_the_server_gave() {
    for manners in [
        Manners::default(),
        Manners::tokens_once(),
        Manners::secret_sent_back(),
        Manners {
            put_secret: PutSecret::MustBeSent,
            lists_auth_method: true,
            ..Manners::default()
        },
    ] {
        let mut world = World::start(manners).await;
        let (id, secret) = client(&world).await;
        let before = world.server.client(&id).expect("it is there");
        for turn in ["first", "second", "third"] {
            let uri = format!("https://ferry.example/{turn}");
            let update = update(&id, turn, &uri);
            world.konnect.hook(&id, &update).await.heard();
            let after = world.server.client(&id).expect("it is there");
            let mut expected = Value::Object(before.metadata.clone());
            set(
                &mut expected,
                &json!({"client_name": turn, "redirect_uris": [uri]}),
            );
            assert_eq!(Value::Object(after.metadata), expected);
            assert_eq!(after.secret, secret);
            world.restart().await;
        }
        world.cut().await;
    }
}

pub(crate) async fn what_a_read_leaves_out_is_sent_back_all_the_same() {
    let mut manners = Manners::always_a_new_secret();
    manners.get_leaves_out = &["scope", "unheard_of"];
    let world = World::start(manners).await;
    let mut body = application("ferry");
    set(&mut body, &json!({"scopes": ["ferries"]}));
    let id = world
        .konnect
        .create(&body)
        .await
        .created()
        .client_id
        .to_string();
    let before = world.server.client(&id).expect("it is there");
    let _ = world.konnect.rotate(&id).await.rotated(&id);
    let after = world.server.client(&id).expect("it is there");
    assert_eq!(after.metadata, before.metadata);
    world.cut().await;
}

pub(crate) async fn what_administrators_changed_survives_an_update_where_it_can_be_read() {
    let world = World::start(Manners::default()).await;
    let (id, _) = client(&world).await;
    world.server.change(&id, |client| {
        client
            .metadata
            .insert("contacts".to_owned(), json!(["harbour@ferry.example"]));
    });
    let update = update(&id, "renamed", "https://ferry.example/cb");
    world.konnect.hook(&id, &update).await.heard();
    let client = world.server.client(&id).expect("it is there");
    assert_eq!(
        client.metadata["contacts"],
        json!(["harbour@ferry.example"])
    );
    world.cut().await;
}

pub(crate) async fn an_update_that_would_replace_the_secret_is_refused_before_anything_is_sent() {
    let unknown = (Manners::default(), String::new());
    let mut unread = Manners::secret_sent_back();
    unread.get = Get::NewToken;
    let known = [Manners::always_a_new_secret(), Manners::curity(), unread];
    let known = known.map(|manners| (manners.clone(), behaviour(&manners)));
    for (manners, behaviour) in known.into_iter().chain([unknown]) {
        let world = World::with(manners, &behaviour).await;
        let (id, secret) = client(&world).await;
        let asked = world.proxy.count();
        let update = update(&id, "renamed", "https://ferry.example/cb");
        let refusal = world.konnect.hook(&id, &update).await.refused(400);
        assert_eq!(refusal.error, "unsupported", "{refusal:?}");
        assert_eq!(world.proxy.count(), asked, "something was sent");
        assert!(world.opens(&id, &secret).await);
        world.cut().await;
    }
}

pub(crate) async fn a_rotation_ends_the_old_secret_and_the_client_stays_manageable() {
    for manners in [
        Manners::secret_sent_back(),
        Manners::always_a_new_secret(),
        Manners::curity(),
    ] {
        let mut world = World::start(manners).await;
        let (id, mut secret) = client(&world).await;
        for _ in 0..3 {
            let rotated = world.konnect.rotate(&id).await.rotated(&id);
            assert!(!world.opens(&id, &secret).await, "the old secret lives");
            secret = rotated.client_secret.to_string();
            assert!(world.opens(&id, &secret).await);
            world.restart().await;
        }
        world.konnect.delete(&id).await.gone();
        assert!(world.server.ids().is_empty());
        world.cut().await;
    }
}

pub(crate) async fn a_rotation_that_the_server_does_not_have_is_refused_and_never_faked() {
    for manners in [Manners::default(), Manners::tokens_once()] {
        let world = World::start(manners).await;
        let (id, secret) = client(&world).await;
        let refusal = world.konnect.rotate(&id).await.refused(400);
        assert_eq!(refusal.error, "unsupported");
        assert!(world.opens(&id, &secret).await);
        world.cut().await;
    }
}

pub(crate) async fn a_server_that_keeps_the_secret_contrary_to_its_configuration_is_not_believed() {
    for get in [Get::Nothing, Get::Unsupported] {
        let manners = |put_secret| Manners {
            get,
            put_secret,
            ..Manners::default()
        };
        let claimed = behaviour(&manners(PutSecret::New));
        let world = World::with(manners(PutSecret::Kept), &claimed).await;
        let (id, secret) = client(&world).await;
        let _ = world.konnect.rotate(&id).await.refused(500);
        assert!(world.opens(&id, &secret).await);
        world.cut().await;
    }
}

pub(crate) async fn an_update_that_replaced_the_secret_contrary_to_its_configuration_is_told() {
    for get in [Get::Nothing, Get::Unsupported] {
        let manners = |put_secret| Manners {
            get,
            put_secret,
            ..Manners::default()
        };
        let claimed = behaviour(&manners(PutSecret::Kept));
        let world = World::with(manners(PutSecret::New), &claimed).await;
        let (id, _) = client(&world).await;
        let update = update(&id, "renamed", "https://ferry.example/cb");
        let _ = world.konnect.hook(&id, &update).await.refused(500);
        world.cut().await;
    }
}

pub(crate) async fn a_read_that_replaces_the_token_contrary_to_its_configuration_loses_no_client() {
    let claimed =
        "  behaviour: {get: nothing, put_secret: kept, put_token: new, delete: answers_204}\n";
    let world = World::with(Manners::tokens_once(), claimed).await;
    let (id, secret) = client(&world).await;
    for name in ["second", "third"] {
        let update = update(&id, name, "https://ferry.example/cb");
        world.konnect.hook(&id, &update).await.heard();
    }
    let told = world.connector.process.output();
    assert!(told.contains("idp.behaviour.get denies"), "{told}");
    assert!(world.opens(&id, &secret).await);
    world.konnect.delete(&id).await.gone();
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn redirect_uris_that_an_update_loses_are_told() {
    let world = World::start(Manners {
        put_drops_redirect_uris: true,
        ..Manners::default()
    })
    .await;
    for (grant, is_needed) in [("authorization_code", true), ("client_credentials", false)] {
        let mut body = application("ferry");
        set(&mut body, &json!({"grant_types": [grant]}));
        let id = world.konnect.create(&body).await.created().client_id;
        let update = update(&id, "renamed", "https://ferry.example/second");
        let reply = world.konnect.hook(&id, &update).await;
        if is_needed {
            let refusal = reply.refused(400);
            assert!(refusal.description.contains("redirect_uris"), "{refusal:?}");
        } else {
            reply.heard();
        }
    }
    world.cut().await;
}

pub(crate) async fn the_time_of_expiry_outlives_answers_that_do_not_tell_it() {
    const SILENT: &[&str] = &["client_secret", "client_secret_expires_at"];
    let world = World::start(Manners {
        secret_lives: 3600,
        get_leaves_out: SILENT,
        put_leaves_out: SILENT,
        ..Manners::default()
    })
    .await;
    let made = world.konnect.create(&application("ferry")).await.created();
    let ends = made.client_secret_expires_at.expect("it ends");
    let id = made.client_id.to_string();
    let update = update(&id, "renamed", "https://ferry.example/cb");
    world.konnect.hook(&id, &update).await.heard();
    let listed = world.konnect.list(&id).await.listed(&id);
    assert_eq!(listed[0].expires_at.as_ref(), Some(&ends));
    world.cut().await;
}

pub(crate) async fn a_grant_is_believed_of_a_server_that_does_not_tell_scopes() {
    let manners = Manners {
        get: Get::Unsupported,
        put_leaves_out: &["scope"],
        ..Manners::default()
    };
    let grants = "  grants: [{entity: orders, scopes: [orders:read]}]\n";
    let more = behaviour(&manners) + grants;
    let world = World::with(manners, &more).await;
    let (id, _) = client(&world).await;
    let add = event("add_registration", &id, &json!({"api_id": "orders"}));
    for _ in 0..2 {
        world.konnect.hook(&id, &add).await.heard();
    }
    let client = world.server.client(&id).expect("it is there");
    assert_eq!(client.metadata["scope"], "orders:read");
    world.cut().await;
}

pub(crate) async fn there_is_one_secret_and_none_is_added_or_removed() {
    let manners = Manners {
        secret_lives: 3600,
        ..Manners::default()
    };
    let world = World::start(manners).await;
    let made = world.konnect.create(&application("ferry")).await.created();
    let ends = made.client_secret_expires_at.expect("it ends");
    let id = made.client_id.to_string();
    let listed = world.konnect.list(&id).await.listed(&id);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].secret_id, "current");
    assert_eq!(listed[0].status, SecretStatus::Active);
    assert_eq!(listed[0].expires_at.as_ref(), Some(&ends));
    let asked = world.proxy.count();
    assert_eq!(
        world.konnect.add(&id).await.refused(400).error,
        "unsupported"
    );
    let removed = world.konnect.remove(&id, "current").await;
    assert_eq!(removed.refused(400).error, "unsupported");
    assert_eq!(world.proxy.count(), asked);
    world.cut().await;
}

pub(crate) async fn what_the_server_leaves_out_and_the_application_needs_undoes_the_create() {
    let world = World::start(Manners {
        grant_types: &["client_credentials"],
        ..Manners::default()
    })
    .await;
    for (members, field) in [
        (
            json!({"grant_types": ["authorization_code"]}),
            "grant_types",
        ),
        (json!({"scopes": ["ferries", "unheard:of"]}), "scopes"),
        (
            json!({"redirect_uris": ["https://refused.example/cb"]}),
            "redirect_uris",
        ),
    ] {
        let mut body = application("ferry");
        set(&mut body, &members);
        let refusal = world.konnect.create(&body).await.refused(400);
        assert!(refusal.description.contains(field), "{refusal:?}");
        world.until_empty().await;
    }
    // A refused redirect URI is the one thing that the server complains of.
    world.server.forgive();
    world.cut().await;
}

pub(crate) async fn scopes_that_were_asked_for_are_the_clients() {
    let world = World::start(Manners::default()).await;
    let mut body = application("ferry");
    set(&mut body, &json!({"scopes": ["orders:read", "ferries"]}));
    let made = world.konnect.create(&body).await.created();
    let client = world.server.client(&made.client_id).expect("it is there");
    assert_eq!(client.metadata["scope"], "orders:read ferries");
    world.cut().await;
}

pub(crate) async fn registrations_grant_scopes_and_take_only_theirs_away() {
    const GRANTS: &str = "  grants:
  - {audience: https://api.ferry.example, scopes: [ferries, orders:read]}
  - {entity: orders, scopes: [orders:read, orders:write]}
";
    for manners in [Manners::default(), Manners::tokens_once()] {
        let more = behaviour(&manners) + GRANTS;
        let mut world = World::with(manners, &more).await;
        let mut body = application("ferry");
        set(&mut body, &json!({"scopes": ["ferries"]}));
        let made = world.konnect.create(&body).await.created();
        let id = made.client_id.to_string();
        let ferry = json!({"api_id": "ferry", "audience": "https://api.ferry.example"});
        let orders = json!({"api_id": "orders"});
        for (kind, entity, scope) in [
            ("add_registration", &ferry, "ferries orders:read"),
            ("add_registration", &ferry, "ferries orders:read"),
            (
                "add_registration",
                &orders,
                "ferries orders:read orders:write",
            ),
            (
                "remove_registration",
                &ferry,
                "ferries orders:read orders:write",
            ),
            ("remove_registration", &orders, "ferries"),
            ("remove_registration", &orders, "ferries"),
        ] {
            let event = event(kind, &id, entity);
            world.konnect.hook(&id, &event).await.heard();
            let client = world.server.client(&id).expect("it is there");
            assert_eq!(client.metadata["scope"], scope, "after {kind} {entity}");
            assert!(world.opens(&id, &made.client_secret).await);
            world.restart().await;
        }
        world.cut().await;
    }
}

pub(crate) async fn a_redirect_uri_stands_in_where_the_server_wants_one_of_every_client() {
    let manners = Manners {
        wants_redirect_uri: true,
        ..Manners::default()
    };
    let more = behaviour(&manners) + "  redirect_uri_if_none: https://no-redirect.invalid/\n";
    let mut world = World::with(manners, &more).await;
    let made = world.konnect.create(&verify()).await.created();
    let of = |world: &World, id: &str| {
        let client = world.server.client(id).expect("it is there");
        client.metadata["redirect_uris"].clone()
    };
    assert_eq!(
        of(&world, &made.client_id),
        json!(["https://no-redirect.invalid/"])
    );
    let (id, _) = client(&world).await;
    assert_eq!(of(&world, &id), json!(["https://ferry.example/cb"]));
    let none = event("update_application", &id, &json!({"redirect_uris": []}));
    world.konnect.hook(&id, &none).await.heard();
    assert_eq!(of(&world, &id), json!(["https://no-redirect.invalid/"]));
    let (is_content, printed) = world.command(&["check", "--probe"]).await;
    assert!(is_content, "{printed}");
    world.cut().await;
}

pub(crate) async fn the_store_is_the_mark() {
    let world = World::start(Manners::default()).await;
    let (id, _) = client(&world).await;
    let _ = world.konnect_two.list(&id).await.refused(404);
    let _ = world.konnect_two.delete(&id).await.refused(404);
    // What the store does not know was never the bridge's.
    let (foreign, _) = client(&world).await;
    let asked = world.proxy.count();
    let _ = world.konnect.list("unheard-of").await.refused(404);
    world.konnect.delete("unheard-of").await.gone();
    assert_eq!(world.proxy.count(), asked);
    assert!(world.server.client(&id).is_some());
    assert!(world.server.client(&foreign).is_some());
    world.cut().await;
}

pub(crate) async fn curity_is_managed_by_one_token_for_all_clients() {
    let manners = Manners {
        put_replaces_token: false,
        ..Manners::curity()
    };
    let mut world = World::with(
        manners,
        &format!(
            "{DCRM}  behaviour: {{get: nothing, put_secret: kept, put_token: kept, delete: answers_204}}\n  \
             not_sent_back: [subject_type_unheard_of]\n"
        ),
    )
    .await;
    let (id, secret) = client(&world).await;
    let update = update(&id, "renamed", "https://ferry.example/cb");
    world.konnect.hook(&id, &update).await.heard();
    world.restart().await;
    assert!(world.opens(&id, &secret).await);
    let client = world.server.client(&id).expect("it is there");
    assert_eq!(client.metadata["client_name"], "renamed");
    let by_its_token = world.proxy.seen().into_iter().filter(|exchange| {
        let token = exchange.request_headers.get("authorization");
        token.is_some_and(|token| token.as_bytes().ends_with(client.token.as_bytes()))
    });
    assert_eq!(by_its_token.count(), 0);
    world.konnect.delete(&id).await.gone();
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn a_template_settles_what_its_clients_are() {
    let more = behaviour(&Manners::curity()) + "  template: template-client\n";
    let world = World::with(Manners::curity(), &more).await;
    let mut body = application("ferry");
    set(&mut body, &json!({"scopes": ["ferries"]}));
    let made = world.konnect.create(&body).await.created();
    let client = world.server.client(&made.client_id).expect("it is there");
    assert_eq!(client.metadata["client_name"], "Template");
    let sent = world.proxy.seen().into_iter().find(|exchange| {
        exchange.method == Method::POST && exchange.target.ends_with("oauth-registration")
    });
    let sent: Value =
        serde_json::from_slice(&sent.expect("it was sent").request_body).expect("it is JSON");
    assert_eq!(sent, json!({"software_id": "template-client"}));
    // The template has no logins.
    set(&mut body, &json!({"grant_types": ["authorization_code"]}));
    let refusal = world.konnect.create(&body).await.refused(400);
    assert!(refusal.description.contains("grant_types"), "{refusal:?}");
    world.konnect.delete(&made.client_id).await.gone();
    world.until_empty().await;
    world.cut().await;
}

pub(crate) async fn every_registration_at_curity_has_a_token_of_its_own() {
    let world = World::start(Manners::curity()).await;
    for _ in 0..3 {
        let _ = client(&world).await;
    }
    assert_eq!(world.server.ids().len(), 3);
    let refused = world.proxy.seen().into_iter().filter(|exchange| {
        exchange
            .answer
            .as_ref()
            .is_some_and(|answer| answer.status == 401)
    });
    assert_eq!(refused.count(), 0, "a token was used twice");
    world.cut().await;
}

pub(crate) async fn a_software_statement_and_other_metadata_go_with_every_registration() {
    let more = |world: &dcr_tests::Folder| {
        let file = world.write("statement", "eyJh.eyJi.c2ln");
        format!(
            "{}  software_statement_file: {}\n  metadata: {{contacts: [dcr@ferry.example], response_types: null}}\n",
            behaviour(&Manners::default()),
            file.display()
        )
    };
    let folder = dcr_tests::Folder::new();
    let more = more(&folder);
    let world = World::with(Manners::default(), &more).await;
    let mut body = application("ferry");
    set(&mut body, &json!({"grant_types": ["authorization_code"]}));
    let made = world.konnect.create(&body).await.created();
    let client = world.server.client(&made.client_id).expect("it is there");
    assert_eq!(client.metadata["contacts"], json!(["dcr@ferry.example"]));
    let seen = world.proxy.seen();
    let sent = seen
        .iter()
        .find(|exchange| exchange.method == Method::POST && exchange.target == "/register");
    let sent: Value =
        serde_json::from_slice(&sent.expect("it was sent").request_body).expect("it is JSON");
    assert_eq!(sent["software_statement"], "eyJh.eyJi.c2ln");
    assert!(sent.get("response_types").is_none());
    world.cut().await;
}
