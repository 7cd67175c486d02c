//! The subcommands, as an operator runs them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use dcr_connector::store::Lookup;

use crate::world::{PLANTED, World, id, insert, mark, row, soon, token_of};

/// A configuration file whose current key is this.
fn configured(world: &World, current: &str) -> PathBuf {
    let file = |name: &str| world.file(name).display().to_string();
    let database = if world.is_postgres() {
        format!("postgres_url_file: {}", file("url"))
    } else {
        format!("sqlite: {}", world.sqlite().display())
    };
    let text = format!(
        "installation: production\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\nidp:\n  store:\n    {database}\n    \
         witness: {}\n    keyring:\n      current: {current}\n      keys:\n        one: {}\n        two: {}\n",
        file("witness"),
        file("key-one"),
        file("key-two"),
    );
    let config = world.file("connector.yaml");
    fs::write(&config, text).unwrap();
    config
}

fn store(arguments: &[&str], config: Option<&PathBuf>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("store").args(arguments);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let output = command.output().unwrap();
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(
            !text.contains(PLANTED) && !text.contains("planted-name"),
            "{text}"
        );
    }
    output
}

/// What it prints, and that it succeeds.
#[track_caller]
fn prints(arguments: &[&str], config: Option<&PathBuf>) -> String {
    let output = store(arguments, config);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it logs when it fails.
#[track_caller]
fn fails(arguments: &[&str], config: Option<&PathBuf>) -> String {
    let output = store(arguments, config);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn line<'a>(printed: &'a str, of: &str) -> &'a str {
    let line = printed.lines().find(|line| line.contains(of));
    line.unwrap_or_else(|| panic!("nothing of {of} in {printed}"))
}

pub(crate) async fn an_operator_sees_what_needs_attention_and_mends_it(world: World) {
    let served = world.open();
    for client_id in ["live", "doubtful", "held", "damaged", "gone", "buried"] {
        insert(&served, client_id).await;
    }
    served.bury(soon(), "buried").await.unwrap();
    served
        .hold(soon(), "doubtful")
        .await
        .unwrap()
        .doubt(soon())
        .await;
    let held = served.hold(soon(), "held").await.unwrap();
    world
        .tamper("UPDATE dcr_clients SET made = 'adopted' WHERE client_id = 'damaged'")
        .await;
    let lost = mark();
    served.intend(soon(), &lost).await.unwrap();
    let operation = lost.operation_id.to_string();

    let config = configured(&world, "one");
    let listed = prints(&["list"], Some(&config));
    assert!(line(&listed, "live ").contains("partners"), "{listed}");
    for (of, state) in [
        ("live ", " live"),
        ("doubtful ", "doubtful since"),
        ("held ", "in flight since"),
        ("damaged ", "damaged: the row was changed outside"),
        ("buried ", " buried"),
        (&operation, "open intent"),
    ] {
        assert!(line(&listed, of).contains(state), "{of}: {listed}");
    }
    fails(&["repair"], Some(&config));
    let forget = [
        "repair",
        "--forget-intent",
        &operation,
        "--bury",
        "gone",
        "--bury",
        "damaged",
    ];
    prints(&forget, Some(&config));
    assert!(
        fails(&["repair", "--bury", "held"], Some(&config)).contains("a call works on client held")
    );
    held.release(soon()).await;
    let listed = prints(&["list"], Some(&config));
    assert!(!listed.contains(&operation), "{listed}");
    assert!(line(&listed, "damaged ").ends_with(" buried"), "{listed}");
    let found = served.find(soon(), &id("gone")).await.unwrap();
    assert!(matches!(found, Lookup::Tombstone));
}

pub(crate) async fn a_backup_of_store_and_keyring_is_restored_by_the_book(world: World) {
    let served = world.open();
    insert(&served, "a").await;
    let config = configured(&world, "one");
    let backup = world.file("backup").display().to_string();
    prints(&["export", "--to", &backup], Some(&config));
    assert!(fails(&["export", "--to", &backup], Some(&config)).contains("cannot be made"));
    insert(&served, "after-the-backup").await;
    drop(served);

    world.empty_database("restored").await;
    let config = configured(&world, "one");
    let imported = prints(&["import", "--from", &backup], Some(&config));
    assert!(imported.contains("1 rows added"), "{imported}");
    assert!(fails(&["list"], Some(&config)).contains("--accept-restore"));
    let accepted = prints(&["repair", "--accept-restore"], Some(&config));
    assert!(accepted.contains("is believed from now on"), "{accepted}");
    prints(&["list"], Some(&config));
    let found = row(world.open().find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-a");
}

pub(crate) async fn a_new_key_is_made_and_rows_move_to_it(world: World) {
    insert(&world.open(), "a").await;
    let key = prints(&["new-key"], None);
    fs::write(world.file("key-two"), key).unwrap();
    let config = configured(&world, "two");
    let listed = prints(&["list"], Some(&config));
    assert!(
        listed.contains("1 not sealed with the current key"),
        "{listed}"
    );
    let moved = prints(&["reencrypt"], Some(&config));
    assert!(moved.contains("1 rows moved"), "{moved}");
    let listed = prints(&["list"], Some(&config));
    assert!(
        listed.contains(" two ") && !listed.contains(" one "),
        "{listed}"
    );
    let found = row(world.open().find(soon(), &id("a")).await.unwrap());
    assert_eq!(token_of(&found), "planted-registration-token-a");
}
