//! The commands `check` and `check --probe`.

use http::{Method, StatusCode};

use crate::faults::{instead, lost};
use crate::server::{Get, Manners, PutSecret, Registration};
use crate::world::{DCRM, World, behaviour, refusal};

/// Servers, and what there is to learn of each: the members of `idp.behaviour`.
fn servers() -> Vec<Manners> {
    vec![
        Manners::default(),
        Manners::tokens_once(),
        Manners::secret_sent_back(),
        Manners::always_a_new_secret(),
        Manners::curity(),
        Manners {
            put_secret: PutSecret::MustBeSent,
            ..Manners::default()
        },
        Manners {
            get: Get::Unsupported,
            put_secret: PutSecret::Unsupported,
            registration: Registration::Open,
            ..Manners::default()
        },
    ]
}

/// The members and values of a section as [`behaviour`] writes it.
fn members(behaviour: &str) -> Vec<(String, String)> {
    let (_, list) = behaviour.split_once('{').expect("a flow mapping");
    let list = list.trim_end().trim_end_matches('}');
    let pairs = list.split(", ").filter_map(|pair| pair.split_once(": "));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub(crate) async fn what_a_server_does_is_learned_and_fits_what_is_configured() {
    for manners in servers() {
        let known = behaviour(&manners);
        let mut learning = World::with(manners.clone(), "").await;
        let (is_content, printed) = learning.command(&["check", "--probe"]).await;
        assert!(is_content, "{printed}");
        for (member, value) in members(&known) {
            // Of a server without PUT nothing is known of tokens.
            if manners.put_secret == PutSecret::Unsupported && member == "put_token" {
                continue;
            }
            let advice = format!("Set idp.behaviour.{member}: {value} (it is not set).");
            assert!(
                printed.contains(&advice),
                "{manners:?}: {advice}\n{printed}"
            );
        }
        assert!(learning.server.ids().is_empty(), "a client stays behind");
        learning.server.forgive();
        learning.cut().await;

        let mut knowing = World::with(manners, &known).await;
        let (is_content, printed) = knowing.command(&["check", "--probe"]).await;
        assert!(is_content, "{printed}");
        assert!(printed.contains("as configured"), "{printed}");
        assert!(!printed.contains("Set idp.behaviour"), "{printed}");
        knowing.server.forgive();
        knowing.cut().await;
    }
}

pub(crate) async fn a_new_secret_is_seen_although_the_old_one_lives_on() {
    let manners = Manners {
        old_secret_lives_on: true,
        ..Manners::curity()
    };
    let mut world = World::with(manners, "").await;
    let (_, printed) = world.command(&["check", "--probe"]).await;
    for advice in ["get: new_token_and_secret", "put_secret: new"] {
        assert!(printed.contains(advice), "{advice}\n{printed}");
    }
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn what_nobody_can_see_is_not_recommended() {
    let manners = Manners {
        grant_types: &["authorization_code"],
        get_leaves_out: &["client_secret", "client_secret_expires_at"],
        put_leaves_out: &["client_secret", "client_secret_expires_at"],
        ..Manners::default()
    };
    let mut world = World::with(manners, "").await;
    let (_, printed) = world.command(&["check", "--probe"]).await;
    for member in ["get", "put_secret"] {
        let advice = format!("Set idp.behaviour.{member}:");
        assert!(!printed.contains(&advice), "{printed}");
    }
    assert!(printed.contains("NOT_LEARNED"), "{printed}");
    assert!(
        printed.contains("Set idp.behaviour.put_token: kept"),
        "{printed}"
    );
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn a_hiccup_is_no_sign_that_a_server_lacks_something() {
    for (method, status, member) in [
        (Method::GET, StatusCode::TOO_MANY_REQUESTS, "get"),
        (Method::PUT, StatusCode::BAD_GATEWAY, "put_secret"),
        (Method::PUT, StatusCode::UNAUTHORIZED, "put_secret"),
        (Method::DELETE, StatusCode::FORBIDDEN, "delete"),
        (Method::DELETE, StatusCode::TOO_MANY_REQUESTS, "delete"),
    ] {
        let mut world = World::with(Manners::default(), "").await;
        world
            .proxy
            .spoil(method.clone(), "/register/", instead(status));
        let (is_content, printed) = world.command(&["check", "--probe"]).await;
        assert!(world.proxy.is_spent());
        assert!(!is_content, "{printed}");
        let advice = format!("Set idp.behaviour.{member}: unsupported");
        assert!(!printed.contains(&advice), "{method} {status}\n{printed}");
        assert_eq!(printed.contains("LEFT_BEHIND"), method == Method::DELETE);
        world.cut().await;
    }
}

pub(crate) async fn a_client_without_a_secret_is_removed_all_the_same() {
    let manners = Manners {
        gives_no_secret: true,
        ..Manners::default()
    };
    let mut world = World::with(manners, "").await;
    let (is_content, printed) = world.command(&["check", "--probe"]).await;
    assert!(!is_content, "{printed}");
    assert!(printed.contains("NO_SECRET"), "{printed}");
    assert!(world.server.ids().is_empty(), "a client stays behind");
    world.cut().await;
}

pub(crate) async fn a_probe_whose_answer_is_lost_tells_what_to_look_for() {
    let mut world = World::with(Manners::default(), "").await;
    world.proxy.spoil(Method::POST, "/register", lost());
    let (is_content, printed) = world.command(&["check", "--probe"]).await;
    assert!(!is_content, "{printed}");
    let line = printed
        .lines()
        .find(|line| line.contains("MAY_BE_LEFT_BEHIND"));
    assert!(
        line.is_some_and(|line| line.contains("may be deleted")),
        "{printed}"
    );
    assert_eq!(world.server.ids().len(), 1);
    world.cut().await;
}

pub(crate) async fn what_is_configured_and_not_true_is_an_error() {
    let wrong =
        "  behaviour: {get: nothing, put_secret: kept, put_token: kept, delete: answers_200}\n";
    let mut world = World::with(Manners::curity(), wrong).await;
    let (is_content, printed) = world.command(&["check", "--probe"]).await;
    assert!(!is_content, "{printed}");
    for advice in [
        "Set idp.behaviour.get: new_token_and_secret (it is nothing).",
        "Set idp.behaviour.put_secret: new (it is kept).",
        "Set idp.behaviour.put_token: new (it is kept).",
        "Set idp.behaviour.delete: answers_204 (it is answers_200).",
    ] {
        assert!(printed.contains(advice), "{advice}\n{printed}");
    }
    assert!(world.server.ids().is_empty());
    world.cut().await;
}

pub(crate) async fn a_client_that_cannot_be_removed_is_named() {
    let manners = Manners {
        can_delete: false,
        ..Manners::default()
    };
    let mut world = World::with(manners, "").await;
    let (is_content, printed) = world.command(&["check", "--probe"]).await;
    assert!(!is_content, "{printed}");
    let left = world.server.ids();
    assert_eq!(left.len(), 2, "one for each way to authenticate");
    for id in left {
        assert!(printed.contains(&format!("The client {id} stays behind")));
    }
    let advice = "Set idp.behaviour.delete: unsupported";
    assert!(printed.contains(advice), "{printed}");
    world.cut().await;
}

pub(crate) async fn what_one_token_for_all_clients_does_is_learned_with_it() {
    for (rotates, get, put) in [
        (false, "nothing", "kept"),
        (true, "new_token_and_secret", "new"),
    ] {
        let manners = Manners {
            dcrm_rotates: rotates,
            ..Manners::curity()
        };
        let mut world = World::with(manners, DCRM).await;
        let (is_content, printed) = world.command(&["check", "--probe"]).await;
        assert!(is_content, "{printed}");
        for advice in [
            format!("Set idp.behaviour.get: {get} "),
            format!("Set idp.behaviour.put_secret: {put} "),
        ] {
            assert!(printed.contains(&advice), "{advice}\n{printed}");
        }
        assert!(world.server.ids().is_empty());
        world.cut().await;
    }
}

pub(crate) async fn a_check_registers_nobody() {
    let mut world = World::start(Manners::curity()).await;
    let (is_content, printed) = world.command(&["check"]).await;
    assert!(is_content, "{printed}");
    for code in ["REACHABLE", "CREDENTIAL_ACCEPTED", "CANNOT_UPDATE", "STORE"] {
        assert!(printed.contains(code), "{code}\n{printed}");
    }
    let posts = world.proxy.seen().into_iter().filter(|exchange| {
        exchange.method != Method::GET && exchange.target.contains("oauth-registration")
    });
    assert_eq!(posts.count(), 0);
    world.cut().await;
}

pub(crate) async fn what_is_wrong_is_named_with_the_member_to_correct() {
    for (more, code, member) in [
        (
            "  token_endpoint_auth_methods: [client_secret_jwt]\n",
            "AUTH_METHOD_UNKNOWN",
            "idp.token_endpoint_auth_methods",
        ),
        (
            "  behaviour: {put_secret: kept}\n  grants: [{entity: e, scopes: [unheard:of]}]\n",
            "GRANT_UNKNOWN",
            "unheard:of",
        ),
        (
            "  token_endpoint: ISSUER/nowhere\n  management:\n    client_credentials: {client_id: dcr-bridge, \
             client_secret_file: SECRET}\n",
            "CREDENTIAL_REFUSED",
            "idp.management",
        ),
    ] {
        let mut world = World::with(Manners::default(), more).await;
        let (_, printed) = world.command(&["check"]).await;
        let line = printed.lines().find(|line| line.contains(code));
        assert!(
            line.is_some_and(|line| line.contains(member)),
            "{code}\n{printed}"
        );
        world.cut().await;
    }
}

pub(crate) async fn what_is_not_known_is_told_before_a_call_depends_on_it() {
    for (more, unknown) in [
        ("", &["idp.behaviour.", "behaviour.delete"][..]),
        (
            "  behaviour: {put_secret: kept}\n",
            &["behaviour.delete", "behaviour.put_token"],
        ),
        (
            "  behaviour: {put_secret: kept, put_token: kept, delete: answers_204}\n",
            &[],
        ),
    ] {
        let mut world = World::with(Manners::default(), more).await;
        let (_, printed) = world.command(&["check"]).await;
        let told: Vec<_> = printed
            .lines()
            .filter(|line| line.contains("BEHAVIOUR_UNKNOWN"))
            .collect();
        assert_eq!(told.len(), unknown.len(), "{printed}");
        for member in unknown {
            assert!(
                told.iter().any(|line| line.contains(member)),
                "{member}\n{printed}"
            );
        }
        world.cut().await;
    }
}

pub(crate) async fn a_document_of_another_issuer_is_not_believed() {
    let mut world = World::start(Manners::default()).await;
    world.server.is_called("https://login.elsewhere.example");
    let (is_content, printed) = world.command(&["check"]).await;
    assert!(!is_content, "{printed}");
    let line = printed.lines().find(|line| line.contains("UNREACHABLE"));
    assert!(
        line.is_some_and(|line| line.contains("idp.issuer")),
        "{printed}"
    );
    world.cut().await;
}

pub(crate) async fn what_cannot_be_true_at_once_is_told_with_all_other_mistakes() {
    const STORE: &str =
        "  store: {sqlite: FOLDER/store.db, keyring: {current: k1, keys: {k1: FOLDER/key}}}\n";
    const OPEN: &str = "  registration: {open: true}\n";
    const ENDPOINT: &str = "  registration_endpoint: https://login.ferry.example/register\n";
    for (section, mistakes) in [
        (OPEN.to_owned(), &["neither idp.issuer nor idp.registration_endpoint"][..]),
        (
            format!("{ENDPOINT}  registration: {{}}\n  template: t\n  software_statement_file: FOLDER/key\n"),
            &["exactly one of", "idp.software_statement_file"],
        ),
        (
            format!("{ENDPOINT}  token_endpoint: https://elsewhere.example/token\n{OPEN}"),
            &["idp.token_endpoint: must be of the same origin"],
        ),
        (
            format!(
                "{ENDPOINT}  registration:\n    client_credentials: {{client_id: a, client_secret_file: FOLDER/key}}\n"
            ),
            &["idp.token_endpoint: must be given"],
        ),
        (
            format!(
                "{ENDPOINT}{OPEN}  behaviour: {{put_secret: new}}\n  grants: [{{entity: e, scopes: [s]}}, {{entity: e}}]\n"
            ),
            &["idp.grants: needs updates", "idp.grants[1]: grants nothing"],
        ),
        (
            format!("{ENDPOINT}{OPEN}  management: {{unsupported: true}}\n  behaviour: {{delete: answers_204}}\n"),
            &["idp.behaviour.delete: must be unsupported"],
        ),
        (
            format!("{ENDPOINT}{OPEN}  token_endpoint_auth_methods: [private_key_jwt]\n"),
            &["idp.token_endpoint_auth_methods: must be"],
        ),
        (
            format!(
                "{ENDPOINT}{OPEN}  management: {{unsupported: true}}\n  behaviour: {{put_secret: kept}}\n  grants: [{{entity: \
                 e, scopes: [s]}}]\n"
            ),
            &["idp.grants: cannot be given"],
        ),
        (
            format!(
                "{ENDPOINT}{OPEN}  token_endpoint: https://login.ferry.example/token\n  management:\n    \
                 client_credentials: {{client_id: a, client_secret_file: FOLDER/key}}\n  unauthorized_means: gone\n  \
                 not_sent_back: [metadata, scope, redirect_uris]\n  metadata: {{client_id: a, software_statement: b}}\n"
            ),
            &[
                "idp.unauthorized_means: must be refused",
                "idp.not_sent_back: names scope",
                "idp.not_sent_back: names redirect_uris",
                "idp.metadata: has client_id",
                "idp.metadata: has software_statement",
            ],
        ),
        (
            "  registration_endpoint: http://login.ferry.example/register\n  registration: {open: true}\n".to_owned(),
            &["idp.registration_endpoint: must use https"],
        ),
    ] {
        let printed = refusal(&(section + STORE)).await;
        for mistake in mistakes {
            assert!(printed.contains(mistake), "{mistake:?} is not in\n{printed}");
        }
    }
}
