//! `POST /`.

use super::trial::{Trial, first_secret, secret};
use crate::shape::APPLICATION;
use crate::verdict::{Basis, Verdict, broken, checks};

const CONTRACT: Basis = Basis::Demanded("contract: POST /");
const MEMBERS: Basis = Basis::Demanded("contract: ApplicationResponse");
const PORTAL: Basis =
    Basis::Demanded("contract: ApplicationResponse; Portal API: at most 255 characters");

checks! { Trial, "create":
    "answers 201", CONTRACT,
        "Answer a create with 201.",
        t => t.created().await.status(201);
    "answers in JSON", CONTRACT,
        "Answer an object in JSON, as application/json.",
        t => t.created().await.is_json();
    "client_id", PORTAL,
        "Answer the identity provider's client id as text.",
        t => t.created().await.member(&APPLICATION, "client_id");
    "client_secret", PORTAL,
        "Answer the client's secret as text.",
        t => t.created().await.member(&APPLICATION, "client_secret");
    "client_id_issued_at", MEMBERS,
        "Answer an RFC 3339 date-time, or leave the member out.",
        t => t.created().await.member(&APPLICATION, "client_id_issued_at");
    "client_secret_expires_at", MEMBERS,
        "Answer an RFC 3339 date-time, or leave the member out when the secret never expires.",
        t => t.created().await.member(&APPLICATION, "client_secret_expires_at");
    "no other members", MEMBERS,
        "Leave out what the contract does not have; registration access tokens above all.",
        t => t.created().await.no_others(&APPLICATION);
    "each create is another client", Basis::Demanded("contract: ClientId is unique"),
        "Create a new client at each call, with an id and a secret of its own.",
        t => another(t).await;
    "the client id can stand in a path", Basis::Wise("the contract puts it into paths; how Konnect escapes it is not published"),
        "Use client ids of A-Z a-z 0-9 - . _ ~ only.",
        t => plain_id(t).await;
    "the secret opens a token", Basis::Demanded("contract: ClientSecret"),
        "Create a client that may use client_credentials, and answer with its secret.",
        t => token(t).await;
}

async fn another(t: &Trial) -> Verdict {
    let (one, two) = (t.client().await?, t.fresh().await?);
    if one.id == two.id {
        return broken(format!("two creates gave the client id {:?}", one.id));
    }
    if first_secret(&one)? == first_secret(&two)? {
        broken("two creates gave the same client_secret")
    } else {
        Ok(())
    }
}

async fn plain_id(t: &Trial) -> Verdict {
    let id = t.client().await?.id;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if id.chars().all(plain) {
        Ok(())
    } else {
        broken(format!("the client id is {id:?}"))
    }
}

async fn token(t: &Trial) -> Verdict {
    let client = t.client().await?;
    t.token(&client, &secret(t.created().await)?, true).await
}
