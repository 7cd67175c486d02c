//! The ownership table of `connector.proto`, row by row.

use dcr_proto::v1;
use dcr_proto::v1::Capability;
use tonic::Code;

use crate::bridge::Bridge;
use crate::check::{Stop, Verdict, broken, ensure, group};
use crate::requests::{entity, unknown_id};

group! {
    "ownership",
    what_is_not_there_is_not_found [Core]
        "Every call but delete about a client that is not there is NOT_FOUND, reason CLIENT_NOT_FOUND" =>
        "Look the client up first, and make the IdP's 404 a NOT_FOUND.";
    another_providers_client_is_not_found [Core]
        "Every call about another provider's client is NOT_FOUND, reason CLIENT_NOT_FOUND, delete too, and changes nothing" =>
        "Compare the provider of the mark with the caller's on every call, reads included.";
    another_installations_client_is_not_found [Core]
        "Every call about another installation's client is NOT_FOUND, reason CLIENT_NOT_FOUND, delete too, and changes nothing" =>
        "Compare the installation of the mark with the caller's on every call, reads included.";
    an_unmarked_client_is_left_alone [Core, Unmarked]
        "Every call about an unmarked client is NOT_FOUND, reason CLIENT_NOT_ADMITTED; a delete answers LEFT_IN_PLACE and leaves it" =>
        "Change nothing that bears no mark, and say that the operator can admit it.";
    an_admitted_client_is_served_and_not_deleted [Core, Admitted]
        "A client that the operator admitted is served; a delete answers LEFT_IN_PLACE and leaves it" =>
        "Keep apart what the bridge made and what the operator lent it.";
    the_own_credential_is_not_found [Core, Own]
        "Every call about the connector's own credential is NOT_FOUND, reason CLIENT_NOT_FOUND, delete too" =>
        "Know your own client id and answer before you look at a mark.";
}

/// Every call about an existing client but delete must be refused so.
async fn every_call_is_refused(
    bridge: &Bridge,
    caller: &v1::Caller,
    id: &str,
    reason: &str,
) -> Verdict {
    let caller = || Some(caller.clone());
    let entity = entity();
    let not_found = |stop: Stop| match stop {
        Stop::Broken(seen) => broken(format!(
            "as {:?}: {seen}",
            caller().unwrap_or_default().provider_id
        )),
        skipped @ Stop::Skipped(_) => skipped,
    };
    macro_rules! refused {
        ($request:expr, $message:ident) => {
            bridge
                .refused(
                    v1::$message {
                        caller: caller(),
                        ..$request
                    },
                    Code::NotFound,
                    &[reason],
                )
                .await
                .map_err(not_found)?
        };
    }
    refused!(bridge.list_secrets(id), ListClientSecretsRequest);
    if bridge.can(Capability::RotateSecret) {
        refused!(bridge.rotate(id), RotateClientSecretRequest);
    }
    if bridge.can(Capability::AddSecret) {
        refused!(bridge.add_secret(id), AddClientSecretRequest);
    }
    if bridge.can(Capability::RemoveSecret) {
        refused!(
            bridge.remove_secret(id, "some-secret"),
            RemoveClientSecretRequest
        );
    }
    if bridge.can(Capability::Update) {
        let name = Some("taken over".to_owned());
        refused!(
            v1::UpdateClientRequest {
                name,
                ..bridge.update(id)
            },
            UpdateClientRequest
        );
    }
    if bridge.can(Capability::Registrations) {
        refused!(bridge.register(id, &entity), AddRegistrationRequest);
        refused!(bridge.unregister(id, &entity), RemoveRegistrationRequest);
    }
    Ok(())
}

async fn what_is_not_there_is_not_found(bridge: &Bridge) -> Verdict {
    every_call_is_refused(bridge, &bridge.caller(), &unknown_id(), "CLIENT_NOT_FOUND").await
}

async fn another_providers_client_is_not_found(bridge: &Bridge) -> Verdict {
    strangers_client_is_not_found(bridge, &bridge.other_provider()).await
}

async fn another_installations_client_is_not_found(bridge: &Bridge) -> Verdict {
    strangers_client_is_not_found(bridge, &bridge.other_installation()).await
}

async fn strangers_client_is_not_found(bridge: &Bridge, stranger: &v1::Caller) -> Verdict {
    let client = bridge.client().await?;
    let before = bridge.done(bridge.list_secrets(&client.id)).await?;
    every_call_is_refused(bridge, stranger, &client.id, "CLIENT_NOT_FOUND").await?;
    let delete = v1::DeleteClientRequest {
        caller: Some(stranger.clone()),
        ..bridge.delete(&client.id)
    };
    bridge
        .refused(delete, Code::NotFound, &["CLIENT_NOT_FOUND"])
        .await?;
    let after = bridge.done(bridge.list_secrets(&client.id)).await?;
    ensure!(
        before == after,
        "its secrets were {before:?}, and are {after:?} after a stranger's calls"
    );
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn left_in_place(bridge: &Bridge, id: &str) -> Verdict {
    let told = bridge.done(bridge.delete(id)).await?.deletion();
    ensure!(
        told == v1::Deletion::LeftInPlace,
        "DeleteClient answered {}",
        told.as_str_name()
    );
    Ok(())
}

async fn an_unmarked_client_is_left_alone(bridge: &Bridge) -> Verdict {
    let id = bridge.options().unmarked_client.clone().unwrap_or_default();
    every_call_is_refused(bridge, &bridge.caller(), &id, "CLIENT_NOT_ADMITTED").await?;
    left_in_place(bridge, &id).await?;
    // Still there: what is gone has the other reason.
    let asked = bridge.list_secrets(&id);
    bridge
        .refused(asked, Code::NotFound, &["CLIENT_NOT_ADMITTED"])
        .await?;
    Ok(())
}

async fn an_admitted_client_is_served_and_not_deleted(bridge: &Bridge) -> Verdict {
    let id = bridge.options().admitted_client.clone().unwrap_or_default();
    let before = bridge.done(bridge.list_secrets(&id)).await?;
    left_in_place(bridge, &id).await?;
    let after = bridge.done(bridge.list_secrets(&id)).await?;
    ensure!(
        before == after,
        "before {before:?}, after the delete {after:?}"
    );
    Ok(())
}

async fn the_own_credential_is_not_found(bridge: &Bridge) -> Verdict {
    let id = bridge.options().own_client.clone().unwrap_or_default();
    every_call_is_refused(bridge, &bridge.caller(), &id, "CLIENT_NOT_FOUND").await?;
    bridge
        .refused(bridge.delete(&id), Code::NotFound, &["CLIENT_NOT_FOUND"])
        .await?;
    Ok(())
}
