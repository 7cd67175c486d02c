//! Changes of name, description and redirect URIs.

use dcr_proto::v1;
use tonic::Code;

use crate::bridge::Bridge;
use crate::check::{Verdict, ensure, group};

group! {
    "update",
    changes_what_is_given [Core, Update]
        "UpdateClient takes a name, a description and redirect URIs, together or alone, and may be repeated" =>
        "Change only what is present; an absent field and an absent list stay as they are.";
    may_clear_the_description [Core, Update]
        "A description that is present and empty clears it" =>
        "Tell an absent description from an empty one: the field is optional.";
    never_changes_a_secret [Core, Update, Tokens]
        "UpdateClient changes no secret" =>
        "Where the IdP's update makes a new secret, refuse with UNIMPLEMENTED, reason UPDATE_ROTATES_SECRET, before you act.";
    refuses_by_name_what_cannot_be_honoured [Core, Update]
        "What is too long or not safe is INVALID_ARGUMENT naming each field" =>
        "Judge an update by the rules of a create.";
}

async fn changes_what_is_given(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let name = Some("dcr-conformance Überfahrt".to_owned());
    let description = Some("changed".to_owned());
    let uris = Some(v1::RedirectUris {
        uris: vec![bridge.redirect_uri(1), bridge.redirect_uri(2)],
    });
    let all = v1::UpdateClientRequest {
        name: name.clone(),
        description: description.clone(),
        redirect_uris: uris.clone(),
        ..bridge.update(&client.id)
    };
    let repeated = v1::UpdateClientRequest {
        operation: bridge.update("").operation,
        ..all.clone()
    };
    for request in [
        v1::UpdateClientRequest {
            name,
            ..bridge.update(&client.id)
        },
        v1::UpdateClientRequest {
            description,
            ..bridge.update(&client.id)
        },
        v1::UpdateClientRequest {
            redirect_uris: uris,
            ..bridge.update(&client.id)
        },
        bridge.update(&client.id),
        all,
        repeated,
    ] {
        bridge.done(request).await?;
    }
    Ok(())
}

async fn may_clear_the_description(bridge: &Bridge) -> Verdict {
    let described = v1::CreateClientRequest {
        description: "described".to_owned(),
        ..bridge.create()
    };
    let client = bridge.client_of(described).await?;
    let description = Some(String::new());
    bridge
        .done(v1::UpdateClientRequest {
            description,
            ..bridge.update(&client.id)
        })
        .await?;
    Ok(())
}

async fn never_changes_a_secret(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let before = bridge.done(bridge.list_secrets(&client.id)).await?;
    let request = v1::UpdateClientRequest {
        name: Some("renamed".to_owned()),
        redirect_uris: Some(v1::RedirectUris {
            uris: vec![bridge.redirect_uri(3)],
        }),
        ..bridge.update(&client.id)
    };
    bridge.done(request).await?;
    let after = bridge.done(bridge.list_secrets(&client.id)).await?;
    ensure!(
        before == after,
        "before {before:?}, after the update {after:?}"
    );
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn refuses_by_name_what_cannot_be_honoured(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let request = v1::UpdateClientRequest {
        name: Some("n".repeat(256)),
        description: Some("d".repeat(256)),
        redirect_uris: Some(v1::RedirectUris {
            uris: vec!["javascript:alert(1)".to_owned()],
        }),
        ..bridge.update(&client.id)
    };
    let refusal = bridge
        .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
        .await?;
    for field in ["name", "description", "redirect_uris"] {
        ensure!(refusal.names(field), "{field} is not among them: {refusal}");
    }
    let too_many = (0..21).map(|number| bridge.redirect_uri(number)).collect();
    let request = v1::UpdateClientRequest {
        redirect_uris: Some(v1::RedirectUris { uris: too_many }),
        ..bridge.update(&client.id)
    };
    let refusal = bridge
        .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
        .await?;
    ensure!(refusal.names("redirect_uris"), "{refusal}");
    Ok(())
}
