//! Secrets that are listed, added and removed.

use dcr_proto::v1;
use tonic::Code;

use crate::bridge::{Bridge, TestClient};
use crate::check::{Stop, Verdict, broken, ensure, group};
use crate::requests::unknown_id;

group! {
    "secrets",
    a_new_client_has_one [Core]
        "A new client lists one live secret, with the id of the create's answer where that gave one" =>
        "List what the IdP has; where it has one secret without an id, give it a stable one and use it in every answer.";
    reading_gives_the_same_each_time [Core]
        "The ids that ListClientSecrets gives are stable" =>
        "Where the IdP's secrets have no ids, derive them from what stays: the place of the secret, never its value or the time.";
    reading_changes_nothing [Core, Tokens]
        "ListClientSecrets changes nothing, however often it is called" =>
        "Read without side effects: some IdPs make a new secret or token on each read; then keep the list yourself.";
    an_added_one_stands_beside_the_others [Secrets, Add]
        "AddClientSecret adds; all existing secrets keep working" =>
        "Never fake it by rotating. Where the IdP has one secret, do not claim ADD_SECRET.";
    one_too_many_is_refused [Secrets, Add, MaxSecrets]
        "Beyond max_secrets AddClientSecret is FAILED_PRECONDITION, reason SECRET_LIMIT, and changes nothing" =>
        "Map the IdP's refusal, or count before you add; never make room by removing one.";
    a_removed_one_is_gone [Secrets, Add, Remove]
        "RemoveClientSecret ends that secret and no other; when it is gone already the answer is ABSENT" =>
        "Remove exactly the named secret, deactivating it first where the IdP demands it; a repetition is no failure.";
    the_last_one_goes_or_is_refused [Secrets, Remove]
        "Removing the last secret answers REMOVED, or FAILED_PRECONDITION, reason LAST_SECRET" =>
        "Map the IdP's refusal to let the last secret go.";
    removing_the_unknown_is_absent [Secrets, Remove]
        "RemoveClientSecret of a secret that is not there answers ABSENT" =>
        "Answer OK with REMOVAL_ABSENT, never NOT_FOUND.";
    adding_with_a_repeated_operation_id_is_refused [Secrets, Add]
        "An added secret whose operation id was used is ALREADY_EXISTS, and nothing is added" =>
        "Remember operation ids, or make the IdP refuse the second secret of one label.";
}

async fn list(bridge: &Bridge, client: &TestClient) -> Result<Vec<v1::ClientSecret>, Stop> {
    Ok(bridge.done(bridge.list_secrets(&client.id)).await?.secrets)
}

async fn a_new_client_has_one(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let live = bridge.live_secrets(&client.id).await?;
    ensure!(
        live.len() == 1,
        "{} secrets are listed as active",
        live.len()
    );
    let is_it = client.secret_id.is_empty() || live.contains(&client.secret_id);
    ensure!(
        is_it,
        "the create's answer names {}, the list {live:?}",
        client.secret_id
    );
    Ok(())
}

async fn reading_gives_the_same_each_time(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let first = list(bridge, &client).await?;
    for _ in 1..10 {
        let again = list(bridge, &client).await?;
        ensure!(again == first, "first {first:?}, then {again:?}");
    }
    Ok(())
}

async fn reading_changes_nothing(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    for _ in 0..10 {
        list(bridge, &client).await?;
    }
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn an_added_one_stands_beside_the_others(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let before = bridge.live_secrets(&client.id).await?;
    let added = bridge.done(bridge.add_secret(&client.id)).await?;
    let secret = added.secret.unwrap_or_default();
    ensure!(secret != client.secret, "the added secret is the first one");
    bridge
        .eventually(|| async {
            let live = bridge.live_secrets(&client.id).await?;
            ensure!(
                live.contains(&added.secret_id),
                "the added secret {} is not listed",
                added.secret_id
            );
            let kept = before.iter().all(|id| live.contains(id));
            ensure!(kept, "before {before:?}, after the addition {live:?}");
            Ok(())
        })
        .await?;
    bridge.secret_works(&client.id, &secret, true).await?;
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn one_too_many_is_refused(bridge: &Bridge) -> Verdict {
    let most = bridge.described().max_secrets.unwrap_or_default();
    if most > 20 {
        return Err(Stop::Skipped(format!(
            "max_secrets is {most}, which would take long to fill"
        )));
    }
    let client = bridge.client().await?;
    for _ in 1..most {
        bridge.done(bridge.add_secret(&client.id)).await?;
    }
    let before = list(bridge, &client).await?;
    let request = bridge.add_secret(&client.id);
    bridge
        .refused(request, Code::FailedPrecondition, &["SECRET_LIMIT"])
        .await?;
    let after = list(bridge, &client).await?;
    ensure!(
        before == after,
        "before {before:?}, after the refusal {after:?}"
    );
    Ok(())
}

async fn a_removed_one_is_gone(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let added = bridge.done(bridge.add_secret(&client.id)).await?;
    let removed = bridge
        .done(bridge.remove_secret(&client.id, &added.secret_id))
        .await?
        .removal();
    ensure!(
        removed == v1::Removal::Removed,
        "it answered {}",
        removed.as_str_name()
    );
    bridge
        .eventually(|| async {
            let live = bridge.live_secrets(&client.id).await?;
            ensure!(
                !live.contains(&added.secret_id),
                "the removed secret is still listed"
            );
            ensure!(
                live.len() == 1,
                "{} secrets are left instead of one",
                live.len()
            );
            let again = bridge
                .done(bridge.remove_secret(&client.id, &added.secret_id))
                .await?;
            let again = again.removal();
            ensure!(
                again == v1::Removal::Absent,
                "the repetition answered {}",
                again.as_str_name()
            );
            Ok(())
        })
        .await?;
    bridge
        .secret_works(&client.id, &added.secret.unwrap_or_default(), false)
        .await?;
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn the_last_one_goes_or_is_refused(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let live = bridge.live_secrets(&client.id).await?;
    let last = live
        .first()
        .ok_or_else(|| broken("a new client lists no secret"))?;
    match bridge.ask(bridge.remove_secret(&client.id, last)).await {
        Ok(answer) => {
            let told = answer.removal();
            ensure!(
                told == v1::Removal::Removed,
                "it answered {}",
                told.as_str_name()
            );
            bridge.secret_works(&client.id, &client.secret, false).await
        }
        Err(refusal) => {
            let reason = refusal
                .reason()
                .is_none_or(|reason| reason == "LAST_SECRET");
            ensure!(
                refusal.code == Code::FailedPrecondition && reason,
                "{refusal}"
            );
            bridge.secret_works(&client.id, &client.secret, true).await
        }
    }
}

async fn removing_the_unknown_is_absent(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let removed = bridge
        .done(bridge.remove_secret(&client.id, &unknown_id()))
        .await?
        .removal();
    ensure!(
        removed == v1::Removal::Absent,
        "it answered {}",
        removed.as_str_name()
    );
    let live = bridge.live_secrets(&client.id).await?;
    ensure!(
        live.len() == 1,
        "{} secrets are left instead of one",
        live.len()
    );
    Ok(())
}

async fn adding_with_a_repeated_operation_id_is_refused(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let request = bridge.add_secret(&client.id);
    bridge.done(request.clone()).await?;
    let before = list(bridge, &client).await?;
    bridge
        .refused(request, Code::AlreadyExists, &["OPERATION_REPEATED"])
        .await?;
    let after = list(bridge, &client).await?;
    ensure!(
        before == after,
        "before {before:?}, after the repetition {after:?}"
    );
    Ok(())
}
