//! Chaos: creates, rotations, added secrets, hooks and deletes through two gateways and two replicas of a connector,
//! while the IdP misbehaves, both hops lose, cut and double, and processes are killed.
//!
//! When all has settled, the clients that live at the IdP must be those whose 201 Konnect heard whole, and those that
//! came through a window which the design leaves open. A seed repeats what is planned: lives, mishaps and kills.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a harness fails by a panic"
)]

mod balancer;
mod evidence;
mod foreign;
#[path = "idp/journal.rs"]
mod journal;
mod keys;
mod known;
mod line;
mod plan;
mod story;
mod verdict;
mod world;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use dcr_tests::Planted;
use dcr_tests::token::{Method, TokenEndpoint};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::evidence::Evidence;
use crate::known::Life;
use crate::line::Line;
use crate::plan::{Levels, Story};
use crate::story::{Ending, rotate_again, tell};
use crate::verdict::Verdict;
use crate::world::{Options, Who, World};

/// Longer than a gateway waits for its aborts, and than a connector waits for its undoing.
const DRAIN: Duration = Duration::from_secs(110);

/// Runs the chaos suite and prints what it counted; exit code 1 when there was harm.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many requests Konnect sends.
    #[arg(long, default_value_t = 10_000)]
    operations: usize,
    /// What everything is drawn from; another one every time if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// How many clients are worked on at once.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// How many in a hundred requests go wrong at the IdP.
    #[arg(long, default_value_t = 12)]
    mishaps: u32,
    /// How many in a hundred go wrong between Konnect and the gateways.
    #[arg(long, default_value_t = 10)]
    konnect_hop: u32,
    /// How many in a hundred go wrong between gateways and connectors.
    #[arg(long, default_value_t = 2)]
    connector_hop: u32,
    /// How many milliseconds there are between two kills, on the average.
    #[arg(long, default_value_t = 2_000)]
    kill_every: u64,
    /// Kill gateways alone.
    #[arg(long)]
    kill_gateways: bool,
    /// Kill nothing.
    #[arg(long)]
    no_kills: bool,
    /// Switch a protection off; exit code 0 when the harm is seen. With --no-kills: guard, settle-look, client-lock,
    /// mark-check, and only-once (which wants --connector-hop 20). With --kill-gateways --kill-every 700, since the guard
    /// covers for them while it lives: detached, armed-undo, own-undo.
    #[arg(long)]
    without: Option<String>,
    /// Keep what the processes printed, the journal, and the orphans that are excused, in this folder. It holds secrets.
    #[arg(long)]
    keep: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    say(&format!("seed {seed}\n"));
    let levels = Levels {
        konnect: arguments.konnect_hop,
        connector: arguments.connector_hop,
    };
    let options = Options {
        seed,
        mishaps: arguments.mishaps,
        levels,
        without: arguments.without.clone(),
    };
    let began = Instant::now();
    let world = Arc::new(World::start(options).await);
    let line = Line::default();
    let endings = live(&arguments, seed, levels, &world, &line).await;
    let lived = began.elapsed();
    let lost = line.lost().await;
    settle(&world).await;
    let settled = began.elapsed();

    let journal = journal::read(&world.journal()).expect("the journal can be read");
    let (kills, accepted) = (world.kills(), world.accepted());
    let evidence = Evidence {
        journal: &journal,
        lost: &lost,
        kills: &kills,
        accepted: &accepted,
        endings: &endings,
    };
    let mut verdict = Verdict::of(&evidence);
    tokens(&world, &endings, &mut verdict).await;
    heal(&world, &endings, &mut verdict).await;
    secrecy(&world, &mut verdict);
    for resent in world.resent() {
        verdict.add("requests sent twice to a connector", resent.count);
        verdict.add("  refused as repeated", resent.conflicts);
        if resent.succeeded_twice > 0 {
            let many = format!("{} times", resent.succeeded_twice);
            verdict.harm("a request sent twice succeeded twice", &many);
        }
    }
    verdict.add(
        "times Konnect went over to another key",
        world.keys_rotated(),
    );
    for kill in &kills {
        verdict.add(&format!("kills of {:?}", kill.who), 1);
    }
    if let Some(folder) = &arguments.keep {
        keep(&world, &verdict, folder);
    }
    for (what, count) in &verdict.counts {
        say(&format!("{count:>7}  {what}\n"));
    }
    for harm in verdict.harm.iter().take(20) {
        say(&format!("\n{harm}\n"));
    }
    let harm = verdict.harm.len();
    say(&format!(
        "\nseed {seed}: {harm} harms; {:.0} s of chaos, {:.0} s of settling\n",
        lived.as_secs_f64(),
        settled.saturating_sub(lived).as_secs_f64()
    ));
    match &arguments.without {
        None if harm == 0 => ExitCode::SUCCESS,
        Some(_) if harm > 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Lives all stories, and kills meanwhile.
async fn live(
    arguments: &Arguments,
    seed: u64,
    levels: Levels,
    world: &Arc<World>,
    line: &Line,
) -> Vec<Ending> {
    let over = Arc::new(AtomicBool::new(arguments.no_kills));
    let mut killer = JoinSet::new();
    let plan = KillPlan {
        rng: Rng::with_seed(seed),
        every: arguments.kill_every,
        gateways: arguments.kill_gateways,
    };
    killer.spawn(kill(plan, Arc::clone(world), Arc::clone(&over)));
    let count = Arc::new(AtomicUsize::new(0));
    let mut stories = JoinSet::new();
    let mut endings = Vec::new();
    let (mut number, most) = (0, arguments.operations);
    loop {
        while stories.len() < arguments.at_once && count.load(Ordering::SeqCst) < most {
            number += 1;
            let story = Story::draw(seed, number, levels);
            let (world, line, count) = (Arc::clone(world), line.clone(), Arc::clone(&count));
            stories.spawn(async move { tell(&world, &line, (&count, most), story).await });
        }
        match stories.join_next().await {
            Some(ending) => endings.push(ending.expect("a story does not panic")),
            None => break,
        }
    }
    over.store(true, Ordering::SeqCst);
    while killer.join_next().await.is_some() {}
    endings
}

/// What is killed.
struct KillPlan {
    rng: Rng,
    every: u64,
    gateways: bool,
}

/// Kills one process after the other, and starts each again.
async fn kill(mut plan: KillPlan, world: Arc<World>, over: Arc<AtomicBool>) {
    let rng = &mut plan.rng;
    while !over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(rng.u64(..2 * plan.every))).await;
        let who = match rng.u32(..if plan.gateways { 2 } else { 5 }) {
            0 => Who::Gateway(0),
            1 => Who::Gateway(1),
            2 => Who::Connector(0),
            3 => Who::Connector(1),
            _ => Who::Idp,
        };
        let pause = Duration::from_millis(rng.u64(0..800));
        if rng.u32(..3) == 0 && !over.load(Ordering::SeqCst) {
            world.reload(rng.usize(..2)).await;
        }
        if !over.load(Ordering::SeqCst) {
            world.kill(who, pause).await;
        }
    }
}

/// Lets the gateways abort and the connectors undo all that they know of: a drain ends when that is done.
async fn settle(world: &World) {
    tokio::join!(
        world.drain(Who::Gateway(0), DRAIN),
        world.drain(Who::Gateway(1), DRAIN)
    );
    tokio::join!(
        world.drain(Who::Connector(0), DRAIN),
        world.drain(Who::Connector(1), DRAIN)
    );
    world.calm().await;
}

/// Every secret that has to live still opens a token.
async fn tokens(world: &World, endings: &[Ending], verdict: &mut Verdict) {
    let endpoint = TokenEndpoint::new(&world.token_url());
    for known in endings.iter().filter_map(|ending| ending.known.as_ref()) {
        for secret in &known.secrets {
            if known.delete == Life::Lives && secret.life == Life::Lives {
                let answer = endpoint
                    .ask(Method::Post, &known.id, &secret.value, None)
                    .await;
                if answer.status != 200 {
                    verdict.harm("a delivered secret opens nothing", &known.id);
                }
            }
        }
    }
}

/// A rotation heals what another one that was lost has left: it succeeds, and one secret lives.
async fn heal(world: &World, endings: &[Ending], verdict: &mut Verdict) {
    world.resume().await;
    let mut healed = HashMap::new();
    for ending in endings {
        let known = ending.known.as_ref();
        let Some(known) = known.filter(|k| k.rotation_open && k.delete == Life::Lives) else {
            continue;
        };
        match rotate_again(world, ending.alone, &known.id).await {
            Some(secret) => drop(healed.insert(known.id.as_str(), secret)),
            None => verdict.harm("a lost rotation is not healed by another", &known.id),
        }
    }
    let journal = journal::read(&world.journal()).expect("the journal can be read");
    let table = verdict::table(&journal);
    for (id, secret) in healed {
        verdict.add("lost rotations healed by another", 1);
        let alive = table.get(id).map(|client| client.secrets.as_slice());
        if !matches!(alive, Some([one]) if one.client_secret == secret) {
            verdict.harm("not one secret after a rotation", id);
        }
    }
    for who in [
        Who::Gateway(0),
        Who::Gateway(1),
        Who::Connector(0),
        Who::Connector(1),
    ] {
        world.drain(who, DRAIN).await;
    }
}

/// No process has printed a secret: all of them begin alike.
fn secrecy(world: &World, verdict: &mut Verdict) {
    let planted = Planted::new();
    planted.plant("a client secret or access token", journal::SECRET);
    for secret in world.secrets() {
        planted.plant("a key or a credential", &secret);
    }
    for (who, printed) in world.printed() {
        verdict.add("bytes printed by the bridge", printed.len());
        for found in planted.found_in(&printed) {
            verdict.harm(&format!("{who:?} printed a secret"), &found);
        }
    }
}

fn keep(world: &World, verdict: &Verdict, folder: &std::path::Path) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let _ = std::fs::copy(world.journal(), folder.join("journal"));
    std::fs::write(folder.join("excused"), verdict.excused.join("\n\n"))
        .expect("the disk has room");
    let mut log = String::new();
    for (who, printed) in world.printed() {
        let _ = writeln!(log, "=== {who:?}\n{printed}");
    }
    std::fs::write(folder.join("log"), log).expect("the disk has room");
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
