//! What users run against a bridge and against a connector, run before this server.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use dcr_tests::{Folder, Process};

use crate::Setup;
use crate::life::{AUDIENCE, GRANTS};
use crate::server::{GRANTED, SCOPE};
use crate::world::{Store, World};

/// Longer than such a run may take.
const LIMIT: Duration = Duration::from_mins(4);

pub(crate) async fn konnect_sim_is_content(setup: &'static Setup) {
    let mut world = World::start(setup).await;
    let before = setup.server.clients().await;
    let folder = Folder::new();
    let key = folder.write("key", world.gateway.key("one"));
    let token_url = setup.server.token_url();
    let mut words = vec![
        "contract",
        "--base-url",
        world.konnect.base_url(),
        "--api-key-file",
        key.to_str().expect("a path of ours"),
    ];
    // It asks for tokens as Konnect's documentation has them asked for: without a scope.
    if !setup.server.rotates() {
        words.push("--no-rotations");
    }
    if !setup.server.updates() {
        words.push("--no-updates");
    }
    if !setup.server.needs_scope() {
        words.extend(["--token-url", &token_url]);
    }
    content(&setup.arguments.konnect_sim, &words).await;
    left_nothing(&mut world, &before).await;
    world.end().await;
}

pub(crate) async fn conformance_is_content(setup: &'static Setup) {
    let updates = setup.server.updates();
    let grants = if updates { GRANTS } else { "" };
    let mut world = World::with(setup, &Store::Sqlite, grants).await;
    let before = setup.server.clients().await;
    let address = format!("http://{}", world.connector.address);
    let token_url = setup.server.token_url();
    let parallel = setup.server.at_once().to_string();
    let mut words = vec![
        "--parallel",
        &parallel,
        "--connector",
        &address,
        "--profile",
        "core",
        "--installation",
        "e2e",
        "--scope",
        SCOPE,
        "--token-url",
        &token_url,
        "--token-scope",
        SCOPE,
    ];
    if updates {
        words.extend(["--profile", "grants", "--mapped-audience", AUDIENCE]);
        words.extend(["--mapped-scope", GRANTED]);
    }
    content(&setup.arguments.conformance, &words).await;
    left_nothing(&mut world, &before).await;
    world.end().await;
}

/// Runs a command that has to be content.
async fn content(program: &Path, words: &[&str]) {
    let words: Vec<_> = words.iter().map(OsStr::new).collect();
    let mut process = Process::start(program, &words);
    let status = process.ended(LIMIT).await;
    assert!(
        status.success(),
        "{}:\n{}",
        program.display(),
        process.output()
    );
}

/// Nothing is left but what the server made and said that it did not: for that the store has an intent.
async fn left_nothing(world: &mut World, before: &BTreeSet<String>) {
    let left = &world.setup.server.clients().await - before;
    let (content, listed) = world.command(&["store", "list"]).await;
    assert!(content, "{listed}");
    let intents = listed.matches("open intent of operation").count();
    assert!(
        left.len() <= intents,
        "clients stay behind: {left:?}\n{listed}"
    );
}
