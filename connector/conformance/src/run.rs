//! A run: the checks side by side, then what holds for every call, then the clean-up, then the end of the connector.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bridge::{Bridge, Shared};
use crate::check::{Check, Group, Need, Stop, Verdict};
use crate::checks::{AT_THE_END, Cleaned, GROUPS, LAST_OF_ALL, clean_up};
use crate::connection::CannotRun;
use crate::options::Options;
use crate::pace::PATIENT;
use crate::report::{Checked, Report, Result as Found};

/// How long a check may take beside what an abort needs to settle: a connector that hangs fails it and does not hold up
/// the run.
const CHECK: Duration = Duration::from_secs(90);
const CLEAN_UP: &str = "clean_up";

/// Plays the gateway against a connector, and tells what it found.
///
/// # Errors
/// When an option is of no use, or nothing that describes itself as a connector answers.
pub async fn run(options: Options) -> Result<Report, CannotRun> {
    run_until(options, std::future::pending, |_| {}).await
}

/// The same until `stop` resolves: then the checks that are left are named as skipped, and what was made is still cleaned
/// up. That is stopped by `stop` in its turn, and what may be left is named. `progress` is told of each check that ends.
///
/// # Errors
/// As [`run`].
pub async fn run_until<S>(
    options: Options,
    mut stop: impl FnMut() -> S + Send,
    mut progress: impl FnMut(&Checked) + Send,
) -> Result<Report, CannotRun>
where
    S: Future<Output = ()> + Send,
{
    let begun = Instant::now();
    let bridge = Arc::new(Bridge::begin(options).await?);
    let mut wanted: Vec<_> = wanted(bridge.options()).collect();
    if wanted.is_empty() {
        let sentence = "--only and --profile leave no check: see --list for their names";
        return Err(CannotRun::Usage(sentence.to_owned()));
    }
    let mut ended = BTreeMap::new();
    let slots = Arc::new(Semaphore::new(bridge.options().parallel.max(1)));
    let mut running = JoinSet::new();
    let (waiting, others): (Vec<_>, Vec<_>) = wanted
        .iter()
        .enumerate()
        .filter(|(_, (group, _))| is_of(GROUPS, group))
        .partition(|(_, (_, check))| check.needs.contains(&Need::Settle));
    // What waits longest is begun first.
    for (number, (_, check)) in waiting.into_iter().chain(others) {
        let (check, bridge, slots) = (**check, Arc::clone(&bridge), Arc::clone(&slots));
        running.spawn(async move {
            let _slot = slots.acquire().await;
            (number, tried(check, bridge).await)
        });
    }
    let all = async {
        while let Some(joined) = running.join_next().await {
            // A check that panicked is missing below, and fails.
            if let Ok((number, (found, took))) = joined
                && let Some((group, check)) = wanted.get(number)
            {
                let checked = checked(group, check, found, took);
                progress(&checked);
                ended.insert(number, checked);
            }
        }
    };
    let stopped = tokio::select! {
        () = all => false,
        () = stop() => true,
    };
    running.shutdown().await;
    clean_up(&bridge, stop()).await;
    // What is left is told, whatever was asked for.
    if bridge.cleaned.get().is_some_and(Cleaned::is_left) && !wanted.iter().any(cleans_up) {
        wanted.extend(every().filter(cleans_up));
    }
    in_turn(AT_THE_END, &wanted, &bridge, stopped, &mut ended).await;
    in_turn(LAST_OF_ALL, &wanted, &bridge, stopped, &mut ended).await;
    let missing = |(group, check): &(&Group, &Check)| {
        let found = if stopped {
            Found::Skipped {
                why: "the run was stopped".to_owned(),
            }
        } else {
            Found::Failed {
                seen: "the check itself broke; report this".to_owned(),
            }
        };
        checked(group, check, found, Duration::ZERO)
    };
    let checks = wanted.iter().enumerate();
    let checks = checks.map(|(number, one)| ended.remove(&number).unwrap_or_else(|| missing(one)));
    let described = bridge.described();
    Ok(Report {
        connector: bridge.options().connector.clone(),
        described: format!("{} {}", described.name, described.version),
        profiles: bridge.options().named().collect(),
        checks: checks.collect(),
        stopped,
        took: begun.elapsed(),
    })
}

fn cleans_up((group, _): &(&Group, &Check)) -> bool {
    group.name == CLEAN_UP
}

fn is_of(groups: &[&Group], group: &Group) -> bool {
    groups.iter().any(|one| one.name == group.name)
}

/// Tries the checks of these groups one after the other; of a run that was stopped the clean-up alone.
async fn in_turn(
    groups: &[&Group],
    wanted: &[(&'static Group, &'static Check)],
    bridge: &Shared,
    stopped: bool,
    ended: &mut BTreeMap<usize, Checked>,
) {
    for (number, (group, check)) in wanted.iter().enumerate() {
        if is_of(groups, group) && (!stopped || group.name == CLEAN_UP) {
            let (found, took) = tried(**check, Arc::clone(bridge)).await;
            ended.insert(number, checked(group, check, found, took));
        }
    }
}

/// Every check there is, in its order.
fn every() -> impl Iterator<Item = (&'static Group, &'static Check)> {
    let groups = GROUPS.iter().chain(AT_THE_END).chain(LAST_OF_ALL);
    groups.flat_map(|group| group.checks.iter().map(move |check| (*group, check)))
}

/// The checks that these options ask for.
fn wanted(options: &Options) -> impl Iterator<Item = (&'static Group, &'static Check)> {
    every().filter(|(group, check)| {
        let name = format!("{}/{}", group.name, check.name);
        let only = &options.only;
        options.covers(check.profile)
            && (only.is_empty() || only.iter().any(|text| name.contains(text)))
    })
}

/// Every check by its full name, with its profile and rule.
pub fn list() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    every().map(|(group, check)| {
        let name = format!("{}/{}", group.name, check.name);
        (name, check.profile.name(), check.rule)
    })
}

async fn tried(check: Check, bridge: Shared) -> (Found, Duration) {
    let begun = Instant::now();
    let missing = check.needs.iter().find_map(|need| need.missing(&bridge));
    let verdict: Verdict = if let Some(why) = missing {
        Err(Stop::Skipped(why))
    } else {
        unthrottled(check, &bridge).await
    };
    let found = match verdict {
        Ok(()) => Found::Passed,
        Err(Stop::Broken(seen)) => Found::Failed { seen },
        Err(Stop::Skipped(why)) => Found::Skipped { why },
    };
    (found, begun.elapsed())
}

/// Tries a check. Where it fails and the connector asked to slow down meanwhile, it is tried again: calls that are never
/// sent again are part of it, each with an operation that is known to the check.
async fn unthrottled(check: Check, bridge: &Shared) -> Verdict {
    let own = bridge.options().terminate_within.unwrap_or_default();
    let time = CHECK + bridge.settle_after().max(own);
    let mut left = PATIENT;
    loop {
        let before = bridge.pace.times();
        let ended = tokio::time::timeout(time, (check.run)(Arc::clone(bridge))).await;
        let verdict =
            ended.unwrap_or_else(|_| Err(Stop::Broken(format!("not ended after {time:?}"))));
        left -= 1;
        if verdict.is_ok() || bridge.pace.times() == before || left == 0 {
            return verdict;
        }
    }
}

fn checked(group: &Group, check: &Check, result: Found, took: Duration) -> Checked {
    Checked {
        group: group.name,
        name: check.name,
        profile: check.profile.name(),
        rule: check.rule,
        advice: check.advice,
        result,
        took,
    }
}
