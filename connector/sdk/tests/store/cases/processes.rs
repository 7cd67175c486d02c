//! Processes that start, and one that reads its configuration again.

use std::path::Path;

use dcr_connector::Settings;
use dcr_connector::store::Store;

use crate::world::{World, id, insert, installation, row, soon};

pub(crate) async fn processes_that_start_together_make_one_schema(world: World) {
    let [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()];
    let (a, b, c, d) = tokio::join!(
        a.counts(soon()),
        b.counts(soon()),
        c.counts(soon()),
        d.counts(soon())
    );
    for counts in [a, b, c, d] {
        assert_eq!(counts.unwrap().rows, 0);
    }
}

pub(crate) async fn a_schema_of_a_newer_connector_is_refused(world: World) {
    insert(&world.open(), "a").await;
    let newer = if world.is_postgres() {
        "INSERT INTO _sqlx_migrations VALUES (999, 'newer', now(), true, '\\x00', 0)"
    } else {
        "INSERT INTO _sqlx_migrations VALUES (999, 'newer', 0, true, x'00', 0)"
    };
    world.tamper(newer).await;
    let store = world.open();
    let fault = store.find(soon(), &id("a")).await.unwrap_err();
    assert!(
        fault.message().contains("newer than this connector"),
        "{fault}"
    );
    let findings = store.check(soon()).await;
    let codes: Vec<_> = findings.iter().map(|finding| &*finding.code).collect();
    assert_eq!(codes, ["STORE_UNAVAILABLE"]);
}

pub(crate) async fn a_configuration_that_is_read_again_shares_the_database(world: World) {
    let settings = Settings::of_a_process(installation(), Path::new("c.yaml"), true);
    let mut problems = settings.problems();
    let config = world.config("one", &["one"]);
    let before = Store::open(&config, "idp.store", &settings, &mut problems).unwrap();
    insert(&before, "a").await;
    let config = world.config("two", &["one", "two"]);
    let after = Store::open(&config, "idp.store", &settings, &mut problems).unwrap();
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(after.reencrypt(soon).await.unwrap().moved, 1);
    row(after.find(soon(), &id("a")).await.unwrap());
    // What is still to be undone would be looked for elsewhere.
    world.empty_database("elsewhere").await;
    let config = world.config("two", &["one", "two"]);
    assert!(Store::open(&config, "idp.store", &settings, &mut problems).is_none());
    assert!(
        problems.to_string().contains("restart the connector"),
        "{problems}"
    );
}

pub(crate) async fn a_second_process_may_not_serve_from_a_sqlite_file(world: World) {
    let config = world.config("one", &["one"]);
    let first = World::try_open(&config, true).unwrap();
    insert(&first, "a").await;
    let problems = World::try_open(&config, true).unwrap_err().to_string();
    assert!(
        problems.contains("another process serves from"),
        "{problems}"
    );
    // A command may look, and a successor serve.
    row(world.open().find(soon(), &id("a")).await.unwrap());
    drop(first);
    let next = World::try_open(&config, true).unwrap();
    row(next.find(soon(), &id("a")).await.unwrap());
}

pub(crate) async fn a_sqlite_file_may_have_any_name(world: World) {
    let mut config = world.config("one", &["one"]);
    let file = world.file("100% of #1?mode=memory&x.db");
    config.sqlite = Some(file.clone().into());
    config.witness = None;
    insert(&World::try_open(&config, true).unwrap(), "a").await;
    assert!(file.is_file());
    let again = World::try_open(&config, true).unwrap();
    row(again.find(soon(), &id("a")).await.unwrap());
    config.sqlite = Some(world.file("no-such-folder/clients.db").into());
    let problems = World::try_open(&config, true).unwrap_err().to_string();
    assert!(
        problems.contains("idp.store.sqlite: is in a folder that does not exist"),
        "{problems}"
    );
}

pub(crate) async fn a_file_that_is_missing_is_named(world: World) {
    let mut config = world.config("one", &["one"]);
    config.postgres_ca_file = Some(world.file("no-such-ca.pem").into());
    let problems = World::try_open(&config, false).unwrap_err().to_string();
    assert!(
        problems.contains("idp.store.postgres_ca_file: "),
        "{problems}"
    );
    let mut config = world.config("one", &["one"]);
    config.postgres_url_file = Some(world.file("no-such-url").into());
    let problems = World::try_open(&config, false).unwrap_err().to_string();
    assert!(
        problems.contains("idp.store.postgres_url_file: "),
        "{problems}"
    );
}
