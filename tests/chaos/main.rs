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

mod aftermath;
mod answers;
mod balancer;
mod befell;
mod certificates;
mod credentials;
mod digest;
mod evidence;
mod floors;
mod foreign;
mod grants;
mod history;
mod holder;
#[path = "idp/journal.rs"]
mod journal;
mod keys;
mod known;
mod line;
mod made;
mod meanwhile;
#[path = "idp/mishaps.rs"]
mod mishaps;
mod names;
mod passed;
mod plan;
mod protections;
mod replica;
mod stalls;
mod story;
mod undoing;
mod verdict;
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use clap::Parser;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::digest::Plan;
use crate::evidence::Evidence;
use crate::line::Line;
use crate::meanwhile::{PlannedKill, change, changes, kills};
use crate::plan::{Levels, Story};
use crate::protections::{CONNECTOR_HOP, KILL_EVERY, KONNECT_HOP, MISHAPS, OPERATIONS, Protection};
use crate::story::{Ending, tell};
use crate::verdict::{TWICE, Verdict};
use crate::world::{Options, World};

/// Runs the chaos suite and prints what it counted; exit code 1 when there was harm.
#[derive(Debug, Parser)]
#[command(after_help = protections::table())]
struct Arguments {
    /// How many requests Konnect sends; default 10,000.
    #[arg(long)]
    operations: Option<usize>,
    /// What everything is drawn from; another one every time if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// How many clients are worked on at once.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// How many in a hundred requests go wrong at the IdP; default 12.
    #[arg(long)]
    mishaps: Option<u32>,
    /// How many in a hundred go wrong between Konnect and the gateways; default 10.
    #[arg(long)]
    konnect_hop: Option<u32>,
    /// How many in a hundred go wrong between gateways and connectors; default 2.
    #[arg(long)]
    connector_hop: Option<u32>,
    /// Kill nothing.
    #[arg(long)]
    no_kills: bool,
    /// Switch a protection off; exit code 0 when the harm that it prevents is seen. See below.
    #[arg(long, value_parser = protections::parse)]
    without: Option<&'static Protection>,
    /// Print the plan's digest and end.
    #[arg(long)]
    plan: bool,
    /// Keep what the processes printed, the journal, and the orphans that are excused, in this folder. It holds secrets.
    #[arg(long)]
    keep: Option<std::path::PathBuf>,
}

impl Arguments {
    fn operations(&self) -> usize {
        let operations = self.without.map_or(OPERATIONS, |off| off.operations);
        self.operations.unwrap_or(operations)
    }

    /// Whether everything is on, and goes wrong as often as usual.
    fn is_usual(&self) -> bool {
        let levels = [self.mishaps, self.konnect_hop, self.connector_hop];
        self.without.is_none() && levels.iter().all(Option::is_none)
    }

    fn mishaps(&self) -> u32 {
        let mishaps = self.without.map_or(MISHAPS, |off| off.mishaps);
        self.mishaps.unwrap_or(mishaps)
    }

    fn levels(&self) -> Levels {
        let off = self.without;
        let konnect = off.map_or(KONNECT_HOP, |off| off.konnect_hop);
        let connector = off.map_or(CONNECTOR_HOP, |off| off.connector_hop);
        Levels {
            konnect: self.konnect_hop.unwrap_or(konnect),
            connector: self.connector_hop.unwrap_or(connector),
        }
    }

    /// What is killed, if anything is.
    fn kills(&self, seed: u64) -> Option<impl Iterator<Item = PlannedKill> + Send + 'static> {
        let every = match self.without {
            None => Some(KILL_EVERY),
            Some(off) => off.kill_gateways_every,
        };
        let every = every.filter(|_| !self.no_kills)?;
        Some(kills(seed, every, self.without.is_some()))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let levels = arguments.levels();
    let plan = Plan {
        seed,
        levels,
        mishaps: arguments.mishaps(),
        stories: arguments.operations() as u64,
    };
    let digest = plan.digest(arguments.kills(seed));
    say(&format!("seed {seed}, plan {digest}\n"));
    if arguments.plan {
        return ExitCode::SUCCESS;
    }
    let options = Options {
        seed,
        mishaps: arguments.mishaps(),
        levels,
        without: arguments.without,
    };
    let began = Instant::now();
    let world = Arc::new(World::start(options, plan.stories()).await);
    let line = Line::new(Arc::clone(&world.certificates));
    let endings = live(&arguments, seed, levels, &world, &line).await;
    let lived = began.elapsed();
    let seconds = lived.as_secs_f64();
    say(&format!("all is sent in {seconds:.0} s; settling\n"));
    let lost = line.lost().await;
    // What is switched off is to be seen, and not what covers for it.
    aftermath::settle(&world, arguments.without.is_none()).await;
    let settled = began.elapsed();

    let journal = journal::read(&world.journal()).expect("the journal can be read");
    let (kills, drains, passed) = (world.kills(), world.drains(), world.passed());
    let (holes, stalls) = (world.holes(), world.stalls.all());
    let evidence = Evidence {
        journal: &journal,
        lost: &lost,
        kills: &kills,
        drains: &drains,
        passed: &passed,
        holes: &holes,
        stalls: &stalls,
        endings: &endings,
    };
    let mut verdict = Verdict::of(&evidence);
    stalls::judge(&stalls, &mut verdict);
    if arguments.without.is_none() {
        aftermath::tokens(&world, &mut verdict).await;
        aftermath::heal(&world, &endings, &mut verdict).await;
        aftermath::kept(&world, &journal, &mut verdict);
    }
    aftermath::secrecy(&world, &mut verdict);
    answers::ends(&world.kills(), &world.drains(), &mut verdict);
    for resent in world.resent() {
        verdict.add("requests sent twice to a connector", resent.count);
        verdict.add("  refused as repeated", resent.conflicts);
        verdict.add("  done by both replicas", resent.done_by_both);
        if resent.succeeded_twice > 0 {
            let many = format!("{} times", resent.succeeded_twice);
            verdict.harm(TWICE, &many);
        }
    }
    floors::count(&evidence, &mut verdict);
    for (what, count) in world.befallen() {
        verdict.add(&what, count);
    }
    for refusal in world.refusals() {
        verdict.harm("a good certificate was refused", &refusal);
    }
    if arguments.is_usual() {
        let kills = arguments.kills(seed).map(|_| kills.len());
        floors::judge(arguments.operations(), kills, &mut verdict);
    }
    if let Some(folder) = &arguments.keep {
        keep(&world, &verdict, folder);
    }
    for (what, count) in &verdict.counts {
        say(&format!("{count:>7}  {what}\n"));
    }
    for (what, detail) in verdict.harm.iter().take(20) {
        say(&format!("\n{what}: {detail}\n"));
    }
    say(&format!(
        "\nseed {seed}: {} harms; {seconds:.0} s of chaos, {:.0} s of settling\n",
        verdict.harm.len(),
        settled.saturating_sub(lived).as_secs_f64()
    ));
    passes(arguments.without, &verdict)
}

/// Without a protection its own harm has to be seen, with all of them none.
fn passes(off: Option<&Protection>, verdict: &Verdict) -> ExitCode {
    let passes = match off {
        None => verdict.harm.is_empty(),
        Some(off) => {
            let is_its_own = |(what, _): &&(&'static str, String)| off.harm.contains(what);
            let own = verdict.harm.iter().filter(is_its_own).count();
            let (name, harm) = (off.name, off.harm.join(", or "));
            say(&format!("without {name}: {own} times {harm}\n"));
            own > 0
        }
    };
    if passes {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
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
    let over = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    if let Some(kills) = arguments.kills(seed) {
        others.spawn(kill(kills, Arc::clone(world), Arc::clone(&over)));
    }
    others.spawn(change(changes(seed), Arc::clone(world), Arc::clone(&over)));
    let count = Arc::new(AtomicUsize::new(0));
    let mut stories = JoinSet::new();
    let mut endings = Vec::new();
    let (mut number, most) = (0, arguments.operations());
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
    while let Some(ended) = others.join_next().await {
        ended.expect("what was killed or changed serves again");
    }
    endings
}

/// Kills one process after the other, and starts each again.
async fn kill(
    kills: impl Iterator<Item = PlannedKill> + Send,
    world: Arc<World>,
    over: Arc<AtomicBool>,
) {
    for kill in kills {
        sleep(kill.after).await;
        if over.load(Ordering::SeqCst) {
            return;
        }
        world.kill(kill.who, kill.pause).await;
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
