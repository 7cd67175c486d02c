//! `POST /{clientId}/new-secret`.

use super::trial::{Change, Trial, first_secret, secret};
use crate::call::{Call, JSON};
use crate::seen::Seen;
use crate::shape::NEW_SECRET;
use crate::verdict::{Basis, Verdict, broken, checks};

const CONTRACT: Basis = Basis::Demanded("contract: POST /{clientId}/new-secret");
const MEMBERS: Basis = Basis::Demanded("contract: SecretResponse");
const UNUSABLE: Basis = Basis::Demanded("contract: makes the current one unusable");

checks! { Trial, "rotate":
    "answers 200", CONTRACT,
        "Answer 200 with the new secret; set disable_refresh_secret in Konnect where it cannot be replaced.",
        t => t.rotation().await.first.status(200);
    "answers in JSON", CONTRACT,
        "Answer an object in JSON, as application/json.",
        t => t.rotation().await.first.is_json();
    "client_id", MEMBERS,
        "Answer the client of the path: its id stays.",
        t => same_client(t).await;
    "client_secret", MEMBERS,
        "Answer the new secret, of at most 255 characters.",
        t => t.rotation().await.first.member(&NEW_SECRET, "client_secret");
    "no other members", MEMBERS,
        "Leave out what the contract does not have.",
        t => t.rotation().await.first.no_others(&NEW_SECRET);
    "the secret is a new one", UNUSABLE,
        "Replace the secret.",
        t => new_secret(t).await;
    "again gives another", UNUSABLE,
        "Replace the secret at every call.",
        t => again(t).await;
    "the new secret opens a token", MEMBERS,
        "Answer the secret that the identity provider has now.",
        t => opens(t).await;
    "the old secret opens nothing", UNUSABLE,
        "End the old secret before you answer.",
        t => old_opens_nothing(t).await;
    "no body with a content type is taken", Basis::Wise("Kong's own tests do so with DELETE"),
        "Take an empty body that is said to be application/json.",
        t => typed(t).await;
}

impl Trial {
    async fn rotation(&self) -> &Change {
        let rotate = || async {
            let client = match self.rotates() {
                Ok(()) => self.fresh().await,
                Err(finding) => Err(finding),
            };
            let client = match client {
                Ok(client) => client,
                Err(finding) => return Change::never(finding),
            };
            let call = Call::rotate(&client.id);
            Change {
                first: self.call(&call).await,
                list: Seen::Never("it is of no interest".to_owned()),
                again: self.call(&call).await,
                client: Ok(client),
            }
        };
        self.rotation.get_or_init(rotate).await
    }
}

async fn same_client(t: &Trial) -> Verdict {
    let rotation = t.rotation().await;
    rotation.first.member(&NEW_SECRET, "client_id")?;
    rotation.first.about(&rotation.client.clone()?.id)
}

async fn new_secret(t: &Trial) -> Verdict {
    let rotation = t.rotation().await;
    let client = rotation.client.clone()?;
    if secret(&rotation.first)? == first_secret(&client)? {
        broken("the secret is the one of the create")
    } else {
        Ok(())
    }
}

async fn again(t: &Trial) -> Verdict {
    let rotation = t.rotation().await;
    let first = secret(&rotation.first)?;
    rotation.again.status(200)?;
    if secret(&rotation.again)? == first {
        broken("the second rotation gave the secret of the first")
    } else {
        Ok(())
    }
}

async fn opens(t: &Trial) -> Verdict {
    let rotation = t.rotation().await;
    let client = rotation.client.clone()?;
    t.token(&client, &secret(&rotation.again)?, true).await
}

async fn old_opens_nothing(t: &Trial) -> Verdict {
    let rotation = t.rotation().await;
    let client = rotation.client.clone()?;
    rotation.again.succeeded()?;
    t.token(&client, first_secret(&client)?, false).await?;
    t.token(&client, &secret(&rotation.first)?, false).await
}

async fn typed(t: &Trial) -> Verdict {
    t.rotates()?;
    let call = Call::rotate(&t.client().await?.id).text(JSON, "");
    t.call(&call).await.succeeds()
}
