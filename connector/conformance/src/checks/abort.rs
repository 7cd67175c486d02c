//! Operations that are undone, because their answers were lost.

use std::time::Duration;

use dcr_proto::v1;
use dcr_proto::v1::Abort::{Accepted, Cannot, Left, Undone};
use tonic::Code;

use crate::bridge::Bridge;
use crate::check::{Stop, Verdict, broken, ensure, group};
use crate::requests::{operation_id, operation_id_aged};

group! {
    "abort",
    of_what_never_came_is_accepted [Core]
        "An abort of a create that nobody has seen answers ACCEPTED, or UNDONE where it can have made nothing, never a failure" =>
        "Note the abort, answer ACCEPTED, and look again after settle_after: it may have overtaken the create.";
    keeps_the_create_from_being_done_later [Core]
        "A create whose operation was aborted before it came is ALREADY_EXISTS, reason OPERATION_ABORTED" =>
        "Remember aborted operation ids for 15 minutes and refuse them.";
    removes_the_client_of_a_lost_answer [Core, AbortCreate]
        "An abort of a create whose client was never named since removes the client" =>
        "Find the client by its mark and delete it, and only then answer UNDONE.";
    may_be_repeated [Core]
        "An abort may be sent again until it is accepted, and does not fail then" =>
        "Answer a repetition as the first time, or UNDONE once it is.";
    leaves_a_client_that_was_named [Core]
        "A client that was named in a later call has been delivered: the abort answers LEFT, and it stays" =>
        "Remember for 15 minutes which clients were named; delivery beats every abort.";
    leaves_a_client_that_has_a_registration [Grants, Registrations, MappedAudience]
        "A client that has a registration has been delivered: the abort answers LEFT, and it stays" =>
        "Look at the registrations before you undo a client.";
    may_be_asked_for_again_after_settle_after [Core, Settle]
        "An abort that is asked for again after settle_after tells how it stands then: ACCEPTED or UNDONE of what is not there, LEFT of what is in use" =>
        "Remember for 15 minutes what became of aborts, or look again; do not fail, and do not take the second for the first.";
    by_another_provider_removes_nothing [Core]
        "An abort removes only what bears exactly the mark of its caller" =>
        "Compare installation, provider and operation of the mark before you remove anything.";
    of_an_old_operation_is_refused [Core]
        "An abort of an operation that is older than 15 minutes by its UUIDv7 is INVALID_ARGUMENT" =>
        "Read the time in the UUIDv7 (RFC 9562 section 5.7) and refuse what is too old: it was delivered long ago.";
    removes_an_added_secret_and_no_other [Secrets, Add, AbortAdd]
        "An abort of an added secret removes that secret and leaves the others" =>
        "Find the secret by its label, never by comparing lists.";
    keeps_the_secret_from_being_added_later [Secrets, Add]
        "An added secret whose operation was aborted before it came is ALREADY_EXISTS" =>
        "Remember aborted operation ids for 15 minutes and refuse them, for secrets too.";
}

const TOLD: &str = "AbortOperation answered";

async fn of_what_never_came_is_accepted(bridge: &Bridge) -> Verdict {
    let told = bridge
        .done(bridge.abort_create(&operation_id()))
        .await?
        .abort();
    let cannot = told == Cannot && !bridge.can(v1::Capability::AbortCreate);
    ensure!(
        matches!(told, Accepted | Undone) || cannot,
        "{TOLD} {}",
        told.as_str_name()
    );
    Ok(())
}

async fn keeps_the_create_from_being_done_later(bridge: &Bridge) -> Verdict {
    let request = bridge.create();
    let id = request.operation.clone().unwrap_or_default().operation_id;
    bridge.done(bridge.abort_create(&id)).await?;
    let reasons = ["OPERATION_ABORTED", "OPERATION_REPEATED"];
    bridge
        .refused(request, Code::AlreadyExists, &reasons)
        .await?;
    Ok(())
}

async fn removes_the_client_of_a_lost_answer(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let told = bridge
        .done(bridge.abort_create(&client.operation_id))
        .await?
        .abort();
    ensure!(
        matches!(told, Undone | Accepted),
        "{TOLD} {}",
        told.as_str_name()
    );
    // Asked of the list where there is one: naming the client would save it.
    let time = if told == Accepted {
        bridge.settle_after()
    } else {
        Duration::ZERO
    };
    if bridge.can(v1::Capability::ListManaged) {
        let time = time + bridge.options().patience;
        bridge
            .within(time, || async {
                let listed = bridge.listed(bridge.caller()).await?;
                let is_in = listed.iter().any(|listed| listed.client_id == client.id);
                ensure!(
                    !is_in,
                    "{TOLD} {}, and the client is still listed",
                    told.as_str_name()
                );
                Ok(())
            })
            .await?;
    } else {
        tokio::time::sleep(time).await;
    }
    let deleted = bridge.done(bridge.delete(&client.id)).await?.deletion();
    ensure!(
        deleted == v1::Deletion::Absent,
        "{TOLD} {}, and the client was there",
        told.as_str_name()
    );
    Ok(())
}

async fn may_be_repeated(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    for operation in [operation_id(), client.operation_id] {
        for _ in 0..3 {
            let told = bridge.done(bridge.abort_create(&operation)).await?.abort();
            ensure!(
                told != Left,
                "{TOLD} {} to a repetition",
                told.as_str_name()
            );
        }
    }
    Ok(())
}

async fn may_be_asked_for_again_after_settle_after(bridge: &Bridge) -> Verdict {
    let never_came = operation_id();
    let (lost, named) = (bridge.client().await?, bridge.client().await?);
    bridge.done(bridge.list_secrets(&named.id)).await?;
    let asked = [&never_came, &lost.operation_id, &named.operation_id];
    for operation in asked {
        bridge.done(bridge.abort_create(operation)).await?;
    }
    tokio::time::sleep(bridge.settle_after() + bridge.options().patience).await;
    let mut told = Vec::new();
    for operation in asked {
        told.push(bridge.done(bridge.abort_create(operation)).await?.abort());
    }
    stays(bridge, &named.id).await?;
    let cannot = !bridge.can(v1::Capability::AbortCreate);
    let due: [&[v1::Abort]; 3] = [&[Accepted, Undone], &[Undone, Accepted], &[Left]];
    let of = [
        "of what never came",
        "of a lost answer",
        "of a client that was named",
    ];
    for ((told, due), of) in told.into_iter().zip(due).zip(of) {
        let is_due = due.contains(&told) || (cannot && told == Cannot);
        ensure!(
            is_due,
            "{TOLD} {} to the second abort {of}",
            told.as_str_name()
        );
    }
    let deleted = bridge.done(bridge.delete(&lost.id)).await?.deletion();
    ensure!(
        cannot || deleted == v1::Deletion::Absent,
        "the client of a lost answer is there after two aborts"
    );
    Ok(())
}

/// The client must still be there.
async fn stays(bridge: &Bridge, client_id: &str) -> Verdict {
    bridge
        .done(bridge.list_secrets(client_id))
        .await
        .map_err(|stop| match stop {
            Stop::Broken(seen) => broken(format!("the client does not stay: {seen}")),
            skipped @ Stop::Skipped(_) => skipped,
        })?;
    Ok(())
}

/// LEFT is due, and CANNOT of a connector that does not find clients by their operations.
fn is_left(bridge: &Bridge, told: v1::Abort) -> Verdict {
    let cannot = told == Cannot && !bridge.can(v1::Capability::AbortCreate);
    ensure!(
        told == Left || cannot,
        "{TOLD} {}; LEFT is due",
        told.as_str_name()
    );
    Ok(())
}

async fn leaves_a_client_that_was_named(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge.done(bridge.list_secrets(&client.id)).await?;
    let told = bridge
        .done(bridge.abort_create(&client.operation_id))
        .await?
        .abort();
    stays(bridge, &client.id).await?;
    is_left(bridge, told)
}

async fn leaves_a_client_that_has_a_registration(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge
        .done(bridge.register(&client.id, &crate::requests::entity()))
        .await?;
    let told = bridge
        .done(bridge.abort_create(&client.operation_id))
        .await?
        .abort();
    stays(bridge, &client.id).await?;
    is_left(bridge, told)
}

async fn by_another_provider_removes_nothing(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    for stranger in [bridge.other_provider(), bridge.other_installation()] {
        let abort = v1::AbortOperationRequest {
            caller: Some(stranger),
            ..bridge.abort_create(&client.operation_id)
        };
        let told = bridge.done(abort).await?.abort();
        ensure!(
            told != Undone || !bridge.can(v1::Capability::AbortCreate),
            "{TOLD} {} to a stranger",
            told.as_str_name()
        );
    }
    stays(bridge, &client.id).await
}

async fn of_an_old_operation_is_refused(bridge: &Bridge) -> Verdict {
    let old = operation_id_aged(Duration::from_mins(16));
    bridge
        .refused(
            bridge.abort_create(&old),
            Code::InvalidArgument,
            &["INVALID_REQUEST"],
        )
        .await?;
    let young = operation_id_aged(Duration::from_mins(10));
    bridge.done(bridge.abort_create(&young)).await?;
    Ok(())
}

async fn removes_an_added_secret_and_no_other(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let before = bridge.live_secrets(&client.id).await?;
    let add = bridge.add_secret(&client.id);
    let operation = add.operation.clone().unwrap_or_default().operation_id;
    let added = bridge.done(add).await?;
    let told = bridge
        .done(bridge.abort_add_secret(&operation, &client.id))
        .await?
        .abort();
    ensure!(
        matches!(told, Undone | Accepted),
        "{TOLD} {}",
        told.as_str_name()
    );
    let time = if told == Accepted {
        bridge.settle_after()
    } else {
        Duration::ZERO
    };
    bridge
        .within(time + bridge.options().patience, || async {
            let live = bridge.live_secrets(&client.id).await?;
            ensure!(
                live == before,
                "before {before:?}, after addition and abort {live:?}"
            );
            Ok(())
        })
        .await?;
    bridge
        .secret_works(&client.id, &added.secret.unwrap_or_default(), false)
        .await?;
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn keeps_the_secret_from_being_added_later(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let add = bridge.add_secret(&client.id);
    let operation = add.operation.clone().unwrap_or_default().operation_id;
    bridge
        .done(bridge.abort_add_secret(&operation, &client.id))
        .await?;
    let reasons = ["OPERATION_ABORTED", "OPERATION_REPEATED"];
    bridge.refused(add, Code::AlreadyExists, &reasons).await?;
    Ok(())
}
