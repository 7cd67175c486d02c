//! Registrations for APIs, and what they grant.

use dcr_proto::v1;
use dcr_proto::v1::RegistrationChange::{Changed, NotMapped, Unchanged};
use tonic::Code;

use crate::bridge::{Bridge, TestClient};
use crate::check::{Verdict, ensure, group};
use crate::requests::entity;

group! {
    "registrations",
    for_what_nothing_is_mapped_to_change_nothing [Grants, Registrations]
        "A registration whose entity and audience the configuration maps to nothing answers NOT_MAPPED, added or removed" =>
        "Answer OK with REGISTRATION_CHANGE_NOT_MAPPED; it is no failure.";
    twice_change_nothing [Grants, Registrations, MappedAudience]
        "Adding answers CHANGED, adding again UNCHANGED; so does removing" =>
        "Keep the set of registered entities with the client, and compare before you write.";
    of_one_audience_do_not_undo_each_other [Grants, Registrations, MappedAudience]
        "The grants come from the whole set of entities: a second one of the same audience leaves the first, and removing one leaves the other" =>
        "Record each entity by itself, and derive the grants from all of them.";
    end_in_any_order [Grants, Registrations, MappedAudience]
        "Two registrations may be removed in the order they came or the other" =>
        "Take away what the remaining set does not need, whichever entity goes first.";
    of_a_kind_that_nobody_knows_are_refused [Grants, Registrations]
        "An enum value that is not known counts as UNSPECIFIED, which is INVALID_ARGUMENT naming entity" =>
        "Refuse an entity without a kind that you know, before you ask the IdP.";
    never_change_a_secret [Grants, Registrations, MappedAudience, Tokens]
        "A registration changes no secret" =>
        "Write the registration without an update that makes the IdP give a new secret.";
    show_in_tokens [Grants, Registrations, MappedAudience, MappedScope, Tokens]
        "What a registration is mapped to is granted while it lasts, and not before or after" =>
        "Make and take away the grant before you answer; see --patience if the IdP merely lags.";
}

async fn add(
    bridge: &Bridge,
    client: &TestClient,
    entity: &v1::Entity,
    due: v1::RegistrationChange,
) -> Verdict {
    let told = bridge
        .done(bridge.register(&client.id, entity))
        .await?
        .change();
    ensure!(
        told == due,
        "AddRegistration answered {}; {} is due",
        told.as_str_name(),
        due.as_str_name()
    );
    Ok(())
}

async fn remove(
    bridge: &Bridge,
    client: &TestClient,
    entity: &v1::Entity,
    due: v1::RegistrationChange,
) -> Verdict {
    let told = bridge
        .done(bridge.unregister(&client.id, entity))
        .await?
        .change();
    ensure!(
        told == due,
        "RemoveRegistration answered {}; {} is due",
        told.as_str_name(),
        due.as_str_name()
    );
    Ok(())
}

async fn for_what_nothing_is_mapped_to_change_nothing(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    let entity = entity();
    let audience = "https://dcr-conformance.example/nothing-is-mapped-to-this".to_owned();
    for _ in 0..2 {
        let added = v1::AddRegistrationRequest {
            audience: audience.clone(),
            ..bridge.register(&client.id, &entity)
        };
        let told = bridge.done(added).await?.change();
        ensure!(
            told == NotMapped,
            "AddRegistration answered {}",
            told.as_str_name()
        );
        let removed = v1::RemoveRegistrationRequest {
            audience: audience.clone(),
            ..bridge.unregister(&client.id, &entity)
        };
        let told = bridge.done(removed).await?.change();
        ensure!(
            told == NotMapped,
            "RemoveRegistration answered {}",
            told.as_str_name()
        );
    }
    Ok(())
}

async fn twice_change_nothing(bridge: &Bridge) -> Verdict {
    let (client, one) = (bridge.client().await?, entity());
    add(bridge, &client, &one, Changed).await?;
    add(bridge, &client, &one, Unchanged).await?;
    remove(bridge, &client, &one, Changed).await?;
    remove(bridge, &client, &one, Unchanged).await
}

async fn of_one_audience_do_not_undo_each_other(bridge: &Bridge) -> Verdict {
    let (client, one, other) = (bridge.client().await?, entity(), entity());
    add(bridge, &client, &one, Changed).await?;
    add(bridge, &client, &other, Changed).await?;
    add(bridge, &client, &one, Unchanged).await?;
    remove(bridge, &client, &one, Changed).await?;
    add(bridge, &client, &other, Unchanged).await
}

async fn end_in_any_order(bridge: &Bridge) -> Verdict {
    for is_reversed in [false, true] {
        let (client, one, other) = (bridge.client().await?, entity(), entity());
        add(bridge, &client, &one, Changed).await?;
        add(bridge, &client, &other, Changed).await?;
        let (first, last) = if is_reversed {
            (&other, &one)
        } else {
            (&one, &other)
        };
        remove(bridge, &client, first, Changed).await?;
        remove(bridge, &client, last, Changed).await?;
        remove(bridge, &client, first, Unchanged).await?;
        remove(bridge, &client, last, Unchanged).await?;
    }
    Ok(())
}

async fn of_a_kind_that_nobody_knows_are_refused(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    for kind in [v1::EntityKind::Unspecified.into(), 99] {
        let entity = v1::Entity { kind, ..entity() };
        let request = bridge.register(&client.id, &entity);
        let refusal = bridge
            .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
            .await?;
        ensure!(refusal.names("entity"), "{refusal}");
    }
    Ok(())
}

async fn never_change_a_secret(bridge: &Bridge) -> Verdict {
    let (client, one) = (bridge.client().await?, entity());
    let before = bridge.done(bridge.list_secrets(&client.id)).await?;
    bridge.done(bridge.register(&client.id, &one)).await?;
    bridge.done(bridge.unregister(&client.id, &one)).await?;
    let after = bridge.done(bridge.list_secrets(&client.id)).await?;
    ensure!(
        before == after,
        "before {before:?}, after the registration {after:?}"
    );
    bridge.secret_works(&client.id, &client.secret, true).await
}

async fn show_in_tokens(bridge: &Bridge) -> Verdict {
    let scope = bridge.options().mapped_scope.clone().unwrap_or_default();
    let (client, one, other) = (bridge.client().await?, entity(), entity());
    bridge.scope_is_granted(&client, &scope, false).await?;
    add(bridge, &client, &one, Changed).await?;
    bridge.scope_is_granted(&client, &scope, true).await?;
    add(bridge, &client, &other, Changed).await?;
    remove(bridge, &client, &one, Changed).await?;
    bridge.scope_is_granted(&client, &scope, true).await?;
    remove(bridge, &client, &other, Changed).await?;
    bridge.scope_is_granted(&client, &scope, false).await
}
