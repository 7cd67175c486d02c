//! The connector and its PostgreSQL killed again and again under load. Afterwards every client whose 201 was delivered
//! can still be managed, but for those that the store itself names: a call to the server that replaces the registration
//! token was on its way.
//!
//! What was delivered is what Konnect heard, what lives is what the server's administrator sees; nothing is believed that
//! the connector counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write as _, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dcr_tests::konnect::event;
use dcr_tests::{Konnect, Planted};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Setup;
use crate::load::{Deletion, Heard, Load};
use crate::world::{Store, World, planted};

/// How many clients each gateway works on at once, where the server bears so many.
const AT_ONCE: usize = 4;
/// Longer than a replica's hold on a client outlives the replica.
const HELD: Duration = Duration::from_secs(130);
const PAUSE: Duration = Duration::from_secs(3);

pub(crate) async fn a_killed_connector_loses_no_client(setup: &'static Setup) {
    let mut world = World::lasting(setup, &Store::Sqlite).await;
    let mut dice = dice(setup);
    let before = setup.server.clients().await;
    let load = Working::begin(setup, &[&world.konnect], &mut dice);
    for _ in 0..setup.arguments.kills {
        sleep(Duration::from_millis(dice.u64(200..1500))).await;
        world.restart().await;
    }
    let heard = load.end().await;
    aftermath(&mut world, heard, &before, setup.arguments.kills).await;
    world.end().await;
}

pub(crate) async fn killed_replicas_and_a_killed_postgresql_lose_no_client(setup: &'static Setup) {
    let postgresql = setup.postgresql.as_ref().expect("there is one");
    let mut world = World::lasting(setup, &Store::Postgresql).await;
    let other = World::with(setup, &Store::Postgresql, "").await;
    let mut dice = dice(setup);
    let before = setup.server.clients().await;
    let load = Working::begin(setup, &[&world.konnect, &other.konnect], &mut dice);
    let mut connectors_killed = 0;
    // Each at least once.
    let mut killed: Vec<_> = (0..setup.arguments.kills.max(2))
        .map(|number| if number < 2 { number == 0 } else { dice.bool() })
        .collect();
    dice.shuffle(&mut killed);
    for is_connector in killed {
        sleep(Duration::from_millis(dice.u64(200..1500))).await;
        if is_connector {
            world.restart().await;
            connectors_killed += 1;
        } else {
            postgresql.kill();
            sleep(Duration::from_millis(dice.u64(0..500))).await;
            postgresql.start().await;
        }
    }
    let heard = load.end().await;
    let id = heard
        .keys()
        .next()
        .cloned()
        .expect("a client was delivered");
    aftermath(&mut world, heard, &before, connectors_killed).await;
    no_secret_in(setup, &postgresql.data(), &id);
    other.end().await;
    world.end().await;
}

fn dice(setup: &Setup) -> fastrand::Rng {
    let seed = setup.arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("  seed {seed}"));
    fastrand::Rng::with_seed(seed)
}

/// Konnect at work.
struct Working {
    tasks: JoinSet<BTreeMap<String, Heard>>,
    stop: Arc<AtomicBool>,
}

impl Working {
    fn begin(setup: &Setup, konnects: &[&Konnect], dice: &mut fastrand::Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (through, konnect) in konnects.iter().enumerate() {
            for _ in 0..AT_ONCE.min(setup.server.at_once()) {
                let load = Load {
                    through,
                    konnect: (*konnect).clone(),
                    updates: setup.server.updates(),
                    rotates: setup.server.rotates(),
                };
                let (dice, stop) = (dice.fork(), Arc::clone(&stop));
                tasks.spawn(async move { load.run(dice, &stop).await });
            }
        }
        Self { tasks, stop }
    }

    async fn end(self) -> BTreeMap<String, Heard> {
        self.stop.store(true, Ordering::Relaxed);
        let heard = self.tasks.join_all().await;
        heard.into_iter().flatten().collect()
    }
}

/// What the store says of itself.
struct Listed {
    /// Every live client, and whether a call may have replaced its token unheard.
    live: BTreeMap<String, bool>,
    intents: usize,
}

async fn listed(world: &mut World) -> Listed {
    let (content, output) = world.command(&["store", "list"]).await;
    assert!(content, "{output}");
    let mut listed = Listed {
        live: BTreeMap::new(),
        intents: output.matches("open intent of operation").count(),
    };
    for line in output.lines().skip(1) {
        assert!(!line.contains("damaged"), "{line}");
        let mut columns = line.split_whitespace();
        let (id, state) = (columns.next().unwrap_or_default(), columns.nth(3));
        let is_in_flight = matches!(state, Some("doubtful" | "in"));
        if is_in_flight || state == Some("live") {
            listed.live.insert(id.to_owned(), is_in_flight);
        }
    }
    listed
}

/// Fails when a client was lost that no killed connector was at work on: one that lives writes down what it has heard, as
/// soon as its database is back. The first gateway's connector is the one that was killed, so many times.
async fn aftermath(
    world: &mut World,
    heard: BTreeMap<String, Heard>,
    before: &BTreeSet<String>,
    kills: usize,
) {
    let setup = world.setup;
    let server = &setup.server;
    let at_server = &server.clients().await - before;
    let Listed { live, intents } = listed(world).await;

    // All that the server has, the store has, or it has an intent for it.
    let unknown: BTreeSet<_> = at_server
        .iter()
        .filter(|id| !live.contains_key(*id))
        .cloned()
        .collect();
    let allowed = intents.min(kills * AT_ONCE + disowned(setup));
    assert!(
        unknown.len() <= allowed,
        "the server has clients that the store does not have, and there is reason for {allowed} of them: {unknown:?}"
    );

    let (mut managed, mut lost, mut gone) = (0, BTreeSet::new(), 0);
    for (id, client) in &heard {
        match client.deletion {
            Deletion::Done => {
                assert!(!at_server.contains(id), "{id}: a 204, and it is there");
                gone += 1;
                continue;
            }
            Deletion::Maybe => {}
            Deletion::No => {
                assert!(
                    at_server.contains(id),
                    "{id}: delivered, not deleted, and gone"
                );
                if let Some(secret) = &client.secret {
                    assert!(
                        server.opens(id, secret).await,
                        "{id}: its secret opens nothing"
                    );
                }
            }
        }
        match manage_in_time(world, id, client).await {
            Ok(()) => managed += 1,
            Err(failed) => {
                let is_named = live.get(id) == Some(&true);
                assert!(
                    is_named,
                    "{id} cannot be managed any more, and the store does not say so: {failed}"
                );
                assert!(
                    client.was_cut && client.through == 0,
                    "{id} was lost with no call of a killed connector on its way: {failed}"
                );
                lost.insert(id.clone());
            }
        }
    }
    say(&format!(
        "  {} clients delivered: {gone} deleted under load, {managed} managed afterwards, {} whose token was replaced in the \
         instant of a kill; {} at the server with an open intent alone",
        heard.len(),
        lost.len(),
        unknown.len()
    ));
    assert!(managed > 0, "nothing was left to look at");
    assert!(
        lost.len() <= kills * AT_ONCE,
        "{} clients lost by {kills} kills",
        lost.len()
    );
    only_left(setup, before, &(&lost | &unknown)).await;
}

/// How many registrations the server has answered by a failure, and may have made all the same.
fn disowned(setup: &Setup) -> usize {
    let path = setup.server.registration_path();
    let seen = setup.proxy.seen();
    let failed = seen.iter().filter(|exchange| {
        let answer = exchange.answer.as_ref();
        exchange.method == Method::POST
            && exchange.target == path
            && answer.is_some_and(|answer| answer.status.is_server_error())
    });
    failed.count()
}

/// Waits until the server has no more clients than those: what was deleted is gone, and what nobody heard of is undone.
async fn only_left(setup: &Setup, before: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let end = Instant::now() + HELD;
    loop {
        let left = &setup.server.clients().await - before;
        if left == *expected {
            return;
        }
        assert!(
            Instant::now() < end,
            "the server has {left:?}, and there is reason for {expected:?}"
        );
        sleep(PAUSE).await;
    }
}

/// The same, once nobody holds the client any more. What a killed replica held, the others keep their hands off until its
/// time is over.
async fn manage_in_time(world: &World, id: &str, client: &Heard) -> Result<(), String> {
    let end = Instant::now() + HELD;
    loop {
        match manage(world, id, client).await {
            Err(failed) if failed.contains("503") && Instant::now() < end => sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// Does all that can be done with a client, and deletes it.
async fn manage(world: &World, id: &str, client: &Heard) -> Result<(), String> {
    let (konnect, server) = (&world.konnect, &world.setup.server);
    let done = |what: &str, status: StatusCode, expected: StatusCode| {
        if status == expected {
            Ok(())
        } else {
            Err(format!("{what} was answered by {status}"))
        }
    };
    if client.deletion == Deletion::No && server.updates() {
        let update = event(
            "update_application",
            id,
            &json!({"application_name": "afterwards"}),
        );
        let answer = konnect.hook(id, &update).await.answer;
        done("an update", answer.status, StatusCode::OK)?;
    }
    if client.deletion == Deletion::No && server.rotates() {
        let answer = konnect.rotate(id).await.answer;
        done("a rotation", answer.status, StatusCode::OK)?;
    }
    let answer = konnect.delete(id).await.answer;
    done("a delete", answer.status, StatusCode::NO_CONTENT)
}

/// Searches every file of a database for secrets, as whoever steals the disk would.
fn no_secret_in(setup: &Setup, data: &Path, id: &str) {
    let found = planted(setup).found_below(data);
    assert!(found.is_empty(), "the database holds secrets:\n{found}");
    // The search sees what is there: the id of a client is no secret.
    let shown = Planted::new();
    shown.plant("the id of a client", id);
    assert!(
        !shown.found_below(data).is_empty(),
        "the search finds nothing at all"
    );
}

fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}
