//! After the chaos: all settles, what must live is tried, what was lost is healed, and nothing has printed a secret.

use std::collections::HashMap;
use std::time::Duration;

use dcr_tests::Planted;
use dcr_tests::token::{Method, TokenEndpoint};
use tokio::time::{Instant, sleep};

use crate::foreign::is_old_probe;
use crate::history::foreign;
use crate::journal::{self, Event, Line};
use crate::known::Life;
use crate::story::{Ending, rotate_again};
use crate::verdict::{FOREIGN, Verdict, table};
use crate::world::{Who, World};

/// Calls have 10 s to end. A gateway's aborts have 40 s then; a connector's undoing has until it has settled (30 s), and 30 s
/// more. And each has some time to begin and to end.
const GATEWAY_DRAIN: Duration = Duration::from_secs(10 + 40 + 5);
const CONNECTOR_DRAIN: Duration = Duration::from_secs(10 + 30 + 30 + 5);
/// For the probes to be removed.
const CLEANED_UP: Duration = Duration::from_secs(30);
/// Until a gateway has asked again about all that was accepted: 35 s after that.
const ASKED_AGAIN: Duration = Duration::from_secs(40);

/// Lets the gateways abort and the connectors undo all that they know of: a drain ends when that is done. One gateway
/// drains at once, the other may live until it has asked again.
pub(crate) async fn settle(world: &World, asks_again: bool) {
    let later = async {
        if asks_again {
            sleep(ASKED_AGAIN).await;
        }
        world.drain(Who::Gateway(1), GATEWAY_DRAIN).await;
    };
    tokio::join!(world.drain(Who::Gateway(0), GATEWAY_DRAIN), later);
    tokio::join!(
        world.drain(Who::Connector(0), CONNECTOR_DRAIN),
        world.drain(Who::Connector(1), CONNECTOR_DRAIN)
    );
    world.calm().await;
}

/// Every secret that lives opens a token.
pub(crate) async fn tokens(world: &World, verdict: &mut Verdict) {
    let endpoint = TokenEndpoint::new(&world.token_url());
    for (id, secret) in std::mem::take(&mut verdict.alive) {
        let answer = endpoint.ask(Method::Post, &id, &secret, None).await;
        if answer.status != 200 {
            verdict.harm("a delivered secret opens nothing", &id);
        }
    }
}

/// A rotation heals what another one that was lost has left: it succeeds, and one secret lives.
pub(crate) async fn heal(world: &World, endings: &[Ending], verdict: &mut Verdict) {
    world.resume().await;
    probes(world, verdict).await;
    let mut healed = HashMap::new();
    for ending in endings {
        let known = ending.known.as_ref();
        let lost = known.filter(|k| k.rotation_open.is_some() && k.delete == Life::Lives);
        let Some(known) = lost else {
            continue;
        };
        match rotate_again(world, ending.alone, &known.id).await {
            Some(secret) => drop(healed.insert(known.id.as_str(), secret)),
            None => verdict.harm("a lost rotation is not healed by another", &known.id),
        }
    }
    let journal = journal::read(&world.journal()).expect("the journal can be read");
    let table = table(&journal);
    for (id, secret) in healed {
        verdict.add("lost rotations healed by another", 1);
        let alive = table.get(id).map(|client| client.secrets.as_slice());
        if !matches!(alive, Some([one]) if one.client_secret == secret) {
            verdict.harm("not one secret after a rotation", id);
        }
    }
    for number in [0, 1] {
        world.drain(Who::Gateway(number), GATEWAY_DRAIN).await;
    }
    for number in [0, 1] {
        world.drain(Who::Connector(number), CONNECTOR_DRAIN).await;
    }
}

/// Judges that nothing has gone since `before`, and that no foreign client was changed, though the connectors have started
/// again and cleaned up.
pub(crate) fn kept(world: &World, before: &[Line], verdict: &mut Verdict) {
    let after = journal::read(&world.journal()).expect("the journal can be read");
    let there = table(&after);
    let mut alive = table(before).into_keys().filter(|id| !is_old_probe(id));
    if let Some(gone) = alive.find(|id| !there.contains_key(id)) {
        verdict.harm("a client has gone that lived when all was settled", gone);
    }
    let known = foreign(before).1.len();
    for what in foreign(&after).1.iter().skip(known) {
        verdict.harm(FOREIGN, what);
    }
}

/// What Konnect's Verify has left long ago is gone soon after a connector has started before an IdP that does what it
/// should, if not before.
async fn probes(world: &World, verdict: &mut Verdict) {
    let end = Instant::now() + CLEANED_UP;
    loop {
        let journal = journal::read(&world.journal()).expect("the journal can be read");
        let table = table(&journal);
        let left: Vec<_> = table.keys().filter(|id| is_old_probe(id)).collect();
        if left.is_empty() {
            let removed = journal.iter().filter(|line| is_removed(line)).count();
            return verdict.add("old probes removed", removed);
        }
        if Instant::now() > end {
            return verdict.harm("an old probe lives", &format!("{left:?}"));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_removed(line: &Line) -> bool {
    matches!(&line.event, Event::Committed { client_id, client: None, .. } if is_old_probe(client_id))
}

/// Nothing that came out of the bridge holds a secret, unless Konnect asked for it: all of them begin alike.
pub(crate) fn secrecy(world: &World, verdict: &mut Verdict) {
    let planted = Planted::new();
    planted.plant("a secret, key, credential or token", journal::SECRET);
    let printed = world.printed().into_iter();
    let printed = printed.map(|(who, printed)| (format!("{who:?}"), printed));
    for (from, text) in printed.chain(world.outputs()) {
        verdict.add("bytes that came out of the bridge", text.len());
        for found in planted.found_in(&text) {
            verdict.harm("a secret came out", &format!("{from}: {found}"));
        }
    }
}
