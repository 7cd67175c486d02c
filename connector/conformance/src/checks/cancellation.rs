//! Callers that go away in the middle of a call.

use std::time::Duration;

use dcr_proto::v1::Abort::{Cannot, Left};
use tokio::time::{Instant, timeout};

use crate::bridge::Bridge;
use crate::check::{Stop, Verdict, about, ensure, group};

group! {
    "cancellation",
    of_creates_leaves_nothing_once_they_are_aborted [Core, AbortCreate, List]
        "A connector finishes or undoes what it began when its caller has gone; after an abort nothing is left of it" =>
        "Run a create as a task of its own that outlives the call, read the IdP's answer to its end, and undo it when nobody takes it.";
    of_a_rotation_is_healed_by_another [Core, Rotate]
        "A rotation succeeds whatever an earlier one, cancelled at any point, left behind, and no earlier one overtakes it" =>
        "Run a rotation as a task of its own that outlives the call and holds the client's lock to its end; do not begin one whose caller has gone.";
    of_added_secrets_leaves_nothing_once_they_are_aborted [Secrets, Add, AbortAdd]
        "A connector finishes or undoes what it began when its caller has gone; after an abort no added secret is left" =>
        "Run an addition as a task of its own that outlives the call, and undo it by its label.";
}

/// A few calls to learn how long one takes.
const SAMPLES: u32 = 5;
/// What is cancelled of rotations and additions, which need a client each.
const FEW: u32 = 10;

/// A random point in the life of a call that takes this long, or soon after.
fn point(usual: Duration) -> Duration {
    usual.mul_f64(fastrand::f64() * 1.3)
}

async fn create_takes(bridge: &Bridge) -> Result<Duration, Stop> {
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        bridge.client().await?;
        samples.push(begun.elapsed());
    }
    // The middle one: of a machine that was busy once, most points would come after the call.
    samples.sort();
    Ok(samples.get(samples.len() / 2).copied().unwrap_or_default())
}

async fn of_creates_leaves_nothing_once_they_are_aborted(bridge: &Bridge) -> Verdict {
    let usual = create_takes(bridge).await?;
    let mut operations = Vec::new();
    for _ in 0..bridge.options().cancellations {
        let request = bridge.create();
        let operation = request.operation.clone().unwrap_or_default().operation_id;
        // Answered or not: the answer is lost here.
        let _ = timeout(point(usual), bridge.ask(request)).await;
        let told = bridge.done(bridge.abort_create(&operation)).await?.abort();
        ensure!(
            !matches!(told, Left | Cannot),
            "the abort of a cancelled create answered {}",
            told.as_str_name()
        );
        operations.push(operation);
    }
    late_commits(usual).await;
    nothing_is_left(bridge, &operations).await
}

/// Nothing that bears one of these operations may be listed when the aborts have settled.
pub(super) async fn nothing_is_left(bridge: &Bridge, operations: &[String]) -> Verdict {
    bridge
        .within(
            bridge.settle_after() + bridge.options().patience,
            || async {
                let listed = bridge.listed(bridge.caller()).await?;
                let left = listed
                    .iter()
                    .filter(|client| operations.contains(&client.operation_id));
                let left = left.count();
                ensure!(left == 0, "{left} of {} clients are left", operations.len());
                Ok(())
            },
        )
        .await
}

async fn of_a_rotation_is_healed_by_another(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let begun = Instant::now();
    bridge.done(bridge.rotate(&client.id)).await?;
    let usual = begun.elapsed();
    for _ in 0..FEW {
        let _ = timeout(point(usual), bridge.ask(bridge.rotate(&client.id))).await;
        let healed = bridge.done(bridge.rotate(&client.id)).await?;
        late_commits(usual).await;
        bridge
            .eventually(|| async {
                let live = bridge.live_secrets(&client.id).await?;
                ensure!(
                    live.len() == 1,
                    "{} secrets are listed as active",
                    live.len()
                );
                let is_it = healed.secret_id.is_empty() || live.contains(&healed.secret_id);
                ensure!(
                    is_it,
                    "the secret that is listed is not that of the last rotation"
                );
                Ok(())
            })
            .await?;
        let secret = healed.secret.unwrap_or_default();
        let works = bridge.secret_works(&client.id, &secret, true).await;
        works.map_err(|stop| about(stop, "that of the last rotation"))?;
    }
    Ok(())
}

async fn of_added_secrets_leaves_nothing_once_they_are_aborted(bridge: &Bridge) -> Verdict {
    let sample = bridge.client().await?;
    let begun = Instant::now();
    bridge.done(bridge.add_secret(&sample.id)).await?;
    let usual = begun.elapsed();
    let client = bridge.client().await?;
    let before = bridge.live_secrets(&client.id).await?;
    for _ in 0..FEW {
        let add = bridge.add_secret(&client.id);
        let operation = add.operation.clone().unwrap_or_default().operation_id;
        let _ = timeout(point(usual), bridge.ask(add)).await;
        let abort = bridge.abort_add_secret(&operation, &client.id);
        let told = bridge.done(abort).await?.abort();
        ensure!(
            !matches!(told, Left | Cannot),
            "the abort of a cancelled addition answered {}",
            told.as_str_name()
        );
        // Before the next one: there may be room for one more only.
        secrets_are(bridge, &client.id, &before).await?;
    }
    late_commits(usual).await;
    secrets_are(bridge, &client.id, &before).await
}

/// These must be a client's live secrets when its aborts have settled.
async fn secrets_are(bridge: &Bridge, client_id: &str, before: &[String]) -> Verdict {
    let time = bridge.settle_after() + bridge.options().patience;
    bridge
        .within(time, || async {
            let live = bridge.live_secrets(client_id).await?;
            let (was, is) = (before.len(), live.len());
            ensure!(
                live == before,
                "{was} secrets before, {is} after addition and abort"
            );
            Ok(())
        })
        .await
}

/// Lets what was cancelled last commit after all, if that is what it does.
async fn late_commits(usual: Duration) {
    tokio::time::sleep(usual * 4).await;
}
