//! What a create may look like.

use dcr_tests::konnect::{merge, set, verify};
use serde_json::json;

use super::trial::Trial;
use crate::call::Call;
use crate::verdict::{Basis, Verdict, checks};

const CONTRACT: Basis = Basis::Demanded("contract: ApplicationPayload");

checks! { Trial, "reading":
    "Verify's create is taken", Basis::Demanded("seen of Konnect: portal_id is \"test portal_id\""),
        "Take ids that are no UUIDs: they are opaque.",
        t => verified(t).await;
    "empty lists are taken", CONTRACT,
        "Take empty redirect_uris, grant_types and scopes.",
        t => t.takes(&json!({"redirect_uris": [], "grant_types": [], "scopes": []})).await;
    "an empty description is taken", CONTRACT,
        "Take an empty application_description.",
        t => t.takes(&json!({"application_description": ""})).await;
    "auth methods among the grant types are taken", Basis::Demanded("seen of Konnect: `bearer` in grant_types"),
        "Ignore words in grant_types that are no grants: Konnect puts the strategy's auth methods there.",
        t => t.takes(&json!({"grant_types": ["client_credentials", "bearer", "session"]})).await;
    "an auth method is a hint", Basis::Wise("the contract has any text there"),
        "Take a token_endpoint_auth_method that you do not offer, and use one that you do.",
        t => t.takes(&json!({"token_endpoint_auth_method": "client_secret_jwt"})).await;
    "unknown members are ignored", Basis::Wise("Kong has added members before"),
        "Ignore members that you do not know, or the bridge stops on the day when Konnect sends one more.",
        t => t.takes(&json!({"member_of_a_later_version": {"a": [1]}})).await;
    "null is no description", Basis::Wise("the Portal API has null for it"),
        "Take null for application_description.",
        t => t.takes(&json!({"application_description": null})).await;
    "missing ids are no failure", Basis::Wise("applications of teams and administrators have no developer"),
        "Take a create without developer_id, auth_strategy_id and dcr_provider_id.",
        t => without_ids(t).await;
    "a charset is no other media type", Basis::Wise("RFC 8259: JSON is UTF-8, and many clients say so"),
        "Take application/json; charset=utf-8.",
        t => with_charset(t).await;
}

async fn verified(t: &Trial) -> Verdict {
    let (mut body, named) = (verify(), t.application());
    set(&mut body, &json!({"client_name": named.get("client_name")}));
    t.call(&Call::create(&body)).await.succeeds()
}

async fn without_ids(t: &Trial) -> Verdict {
    let mut body = t.application();
    let none = json!({"developer_id": null, "auth_strategy_id": null, "dcr_provider_id": null});
    merge(&mut body, &none);
    t.call(&Call::create(&body)).await.succeeds()
}

async fn with_charset(t: &Trial) -> Verdict {
    let body = t.application();
    let call = Call::create(&body).text("application/json; charset=utf-8", &body.to_string());
    t.call(&call).await.succeeds()
}
