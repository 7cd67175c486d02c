//! One new secret in the place of all others.

use tonic::Code;

use crate::bridge::Bridge;
use crate::check::{Verdict, ensure, group};

group! {
    "rotate",
    gives_a_new_secret_in_the_place_of_the_old_one [Core, Rotate]
        "RotateClientSecret gives a new secret; exactly one is live afterwards" =>
        "Replace the secret at the IdP and deliver the new one; remove what is left of the old one.";
    works_however_often [Core, Rotate]
        "A rotation succeeds whatever an earlier one left behind" =>
        "Find and remove what an earlier rotation left, such as a secret in its grace period.";
    leaves_one_secret_of_many [Core, Rotate, Add]
        "A rotation of a client with added secrets ends with exactly one live secret" =>
        "Remove every other secret, not only the newest or oldest.";
    with_a_repeated_operation_id_is_refused [Core, Rotate]
        "A rotation whose operation id was used is ALREADY_EXISTS" =>
        "Remember the operation ids that you have begun, at least for a few minutes.";
    ends_the_old_secret [Core, Rotate, Tokens]
        "After a rotation the new secret works and no earlier one does" =>
        "End the IdP's grace period for old secrets, if it has one; see --patience if it merely lags.";
}

async fn gives_a_new_secret_in_the_place_of_the_old_one(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let rotated = bridge.done(bridge.rotate(&client.id)).await?;
    ensure!(
        rotated.secret.unwrap_or_default() != client.secret,
        "the secret is the old one"
    );
    one_is_live(bridge, &client.id, &rotated.secret_id).await
}

async fn one_is_live(bridge: &Bridge, client_id: &str, secret_id: &str) -> Verdict {
    bridge
        .eventually(|| async {
            let live = bridge.live_secrets(client_id).await?;
            ensure!(
                live.len() == 1,
                "{} secrets are listed as active",
                live.len()
            );
            let is_it = secret_id.is_empty() || live.iter().any(|live| live == secret_id);
            ensure!(
                is_it,
                "the secret that is listed is not the one of the answer"
            );
            Ok(())
        })
        .await
}

async fn works_however_often(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let mut seen = vec![client.secret];
    for number in 1..=5 {
        let secret = bridge
            .done(bridge.rotate(&client.id))
            .await?
            .secret
            .unwrap_or_default();
        ensure!(
            !seen.contains(&secret),
            "rotation {number} gave a secret that was there before"
        );
        seen.push(secret);
    }
    Ok(())
}

async fn leaves_one_secret_of_many(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let most = bridge.described().max_secrets.unwrap_or(2).min(5);
    let mut added = Vec::new();
    for _ in 1..most {
        added.extend(bridge.done(bridge.add_secret(&client.id)).await?.secret);
    }
    let rotated = bridge.done(bridge.rotate(&client.id)).await?;
    one_is_live(bridge, &client.id, &rotated.secret_id).await?;
    for secret in added.iter().chain([&client.secret]) {
        bridge.secret_works(&client.id, secret, false).await?;
    }
    Ok(())
}

async fn with_a_repeated_operation_id_is_refused(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let request = bridge.rotate(&client.id);
    let rotated = bridge.done(request.clone()).await?;
    bridge
        .refused(request, Code::AlreadyExists, &["OPERATION_REPEATED"])
        .await?;
    bridge
        .secret_works(&client.id, &rotated.secret.unwrap_or_default(), true)
        .await
}

async fn ends_the_old_secret(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge
        .secret_works(&client.id, &client.secret, true)
        .await?;
    let first = bridge
        .done(bridge.rotate(&client.id))
        .await?
        .secret
        .unwrap_or_default();
    bridge.secret_works(&client.id, &first, true).await?;
    bridge
        .secret_works(&client.id, &client.secret, false)
        .await?;
    let second = bridge
        .done(bridge.rotate(&client.id))
        .await?
        .secret
        .unwrap_or_default();
    bridge.secret_works(&client.id, &second, true).await?;
    bridge.secret_works(&client.id, &first, false).await
}
