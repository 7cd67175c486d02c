//! Clients that go.

use dcr_proto::v1;
use tonic::Code;

use crate::bridge::Bridge;
use crate::check::{Verdict, broken, ensure, group};
use crate::requests::{impossible_ids, unknown_id};

group! {
    "delete",
    of_an_unknown_client_is_absent [Core]
        "DeleteClient of what is not there answers ABSENT" =>
        "Answer OK with DELETION_ABSENT, never NOT_FOUND: Konnect must be able to repeat a delete.";
    twice_is_deleted_and_then_absent [Core]
        "A delete answers DELETED; the next one of the same client ABSENT" =>
        "Tell what the IdP told: gone now, or gone before. A repetition is no failure.";
    ends_the_client [Core]
        "A client that is DELETED is no more: every call about it is NOT_FOUND" =>
        "Delete the client at the IdP before you answer, or find out that it is gone.";
    ends_its_secrets [Core, Tokens]
        "A deleted client's secrets get no token" =>
        "Delete the client and do not merely disable or detach it.";
    of_an_id_that_no_client_can_have_is_refused [Core]
        "A client_id that is no RFC 3986 path segment of 1 to 255 characters is INVALID_ARGUMENT naming client_id" =>
        "Check the characters before the id meets a URL of the IdP's.";
}

async fn of_an_unknown_client_is_absent(bridge: &Bridge) -> Verdict {
    let deleted = bridge.done(bridge.delete(&unknown_id())).await?;
    let told = deleted.deletion();
    ensure!(
        told == v1::Deletion::Absent,
        "it answered {}",
        told.as_str_name()
    );
    Ok(())
}

async fn twice_is_deleted_and_then_absent(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let first = bridge.done(bridge.delete(&client.id)).await?.deletion();
    ensure!(
        first == v1::Deletion::Deleted,
        "the first answered {}",
        first.as_str_name()
    );
    bridge
        .eventually(|| async {
            let next = bridge.done(bridge.delete(&client.id)).await?.deletion();
            ensure!(
                next == v1::Deletion::Absent,
                "the next one answered {}",
                next.as_str_name()
            );
            Ok(())
        })
        .await
}

async fn ends_the_client(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge.done(bridge.delete(&client.id)).await?;
    bridge
        .eventually(|| async {
            let asked = bridge.list_secrets(&client.id);
            bridge
                .refused(asked, Code::NotFound, &["CLIENT_NOT_FOUND"])
                .await?;
            Ok(())
        })
        .await
}

async fn ends_its_secrets(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge
        .secret_works(&client.id, &client.secret, true)
        .await?;
    bridge.done(bridge.delete(&client.id)).await?;
    bridge.secret_works(&client.id, &client.secret, false).await
}

async fn of_an_id_that_no_client_can_have_is_refused(bridge: &Bridge) -> Verdict {
    for id in impossible_ids() {
        match bridge.ask(bridge.delete(&id)).await {
            Err(refusal) if refusal.code == Code::InvalidArgument && refusal.names("client_id") => {
            }
            Err(refusal) => return Err(broken(format!("{id:?}: {refusal}"))),
            Ok(answer) => {
                return Err(broken(format!(
                    "{id:?} answered {}",
                    answer.deletion().as_str_name()
                )));
            }
        }
    }
    Ok(())
}
