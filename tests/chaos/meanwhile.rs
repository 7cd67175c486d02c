//! What happens to processes while stories are lived: kills, black holes, and every key, credential and certificate
//! replaced. Drawn from the seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::certificates::Use;
use crate::world::{Who, World};

/// Between two changes, on the average.
const CHANGE_EVERY: u64 = 800;

/// One kill: after which time, of what, and how long it stays dead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlannedKill {
    pub(crate) after: Duration,
    pub(crate) who: Who,
    pub(crate) pause: Duration,
}

/// All kills, `every` so many milliseconds on the average; of gateways alone, or of everybody: rounds in which each is
/// killed once, in any order.
pub(crate) fn kills(
    seed: u64,
    every: u64,
    gateways: bool,
) -> impl Iterator<Item = PlannedKill> + Send {
    let mut rng = Rng::with_seed(seed);
    let is_killed = move |who: &Who| !gateways || matches!(who, Who::Gateway(_));
    let mut round = Vec::new();
    std::iter::repeat_with(move || {
        if round.is_empty() {
            round.extend(Who::ALL.into_iter().filter(is_killed));
            rng.shuffle(&mut round);
        }
        PlannedKill {
            after: Duration::from_millis(rng.u64(..2 * every)),
            who: round.pop().expect("a round is not empty"),
            pause: Duration::from_millis(rng.u64(..800)),
        }
    })
}

/// What changes while all serve.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// A gateway is given another API key of each provider.
    Key(usize),
    /// A connector is given another credential at the IdP.
    Credential(usize),
    /// Another certificate of the same CA, which its process finds by itself.
    Certificate(Use),
    /// Another CA, and certificates of it.
    Ca,
    /// Nothing gets through to or from a replica for this time.
    BlackHole(usize, Duration),
}

/// All changes, with the time before each: rounds in which each kind comes, in any order.
pub(crate) fn changes(seed: u64) -> impl Iterator<Item = (Duration, Change)> + Send {
    let mut rng = Rng::with_seed(seed.rotate_left(1));
    let mut round = Vec::new();
    let mut number = 0;
    std::iter::repeat_with(move || {
        if round.is_empty() {
            let certificate = Use::ALL[rng.usize(..Use::ALL.len())];
            round = vec![
                Change::Key(0),
                Change::Key(1),
                Change::Credential(0),
                Change::Credential(1),
                Change::Certificate(certificate),
                Change::Ca,
            ];
            if number % 2 == 0 {
                let time = Duration::from_millis(rng.u64(3_000..8_000));
                round.push(Change::BlackHole(rng.usize(..2), time));
            }
            rng.shuffle(&mut round);
            number += 1;
        }
        let after = Duration::from_millis(rng.u64(..2 * CHANGE_EVERY));
        (after, round.pop().expect("a round is not empty"))
    })
}

/// Makes the changes, until all is over.
pub(crate) async fn change(
    changes: impl Iterator<Item = (Duration, Change)> + Send,
    world: Arc<World>,
    over: Arc<AtomicBool>,
) {
    let mut holes = JoinSet::new();
    for (after, change) in changes {
        sleep(after).await;
        if over.load(Ordering::SeqCst) {
            break;
        }
        match change {
            Change::Key(gateway) => world.reload(gateway).await,
            Change::Credential(connector) => world.rotate_credential(connector).await,
            Change::Certificate(to) => world.replace_certificate(to).await,
            Change::Ca => world.replace_ca().await,
            Change::BlackHole(connector, time) => {
                let world = Arc::clone(&world);
                holes.spawn(async move { world.black_hole(connector, time).await });
            }
        }
    }
    while let Some(ended) = holes.join_next().await {
        ended.expect("a black hole does not panic");
    }
}
