//! `DELETE /{clientId}`.

use super::trial::{Change, Trial, first_secret};
use crate::call::{Call, JSON};
use crate::verdict::{Basis, Verdict, broken, checks, unjudged};

const CONTRACT: Basis = Basis::Demanded("contract: DELETE /{clientId}");

checks! { Trial, "delete":
    "answers 204", CONTRACT,
        "Answer 204 when the client is deleted.",
        t => t.deletion().await.first.status(204);
    "answers without a body", CONTRACT,
        "A 204 has no body.",
        t => t.deletion().await.first.is_empty();
    "the client is gone", CONTRACT,
        "Delete the client in the identity provider before you answer.",
        t => gone(t).await;
    "its secret opens nothing", CONTRACT,
        "Delete the client in the identity provider before you answer.",
        t => opens_nothing(t).await;
    "a client can be deleted twice", Basis::Wise("the contract is silent; Konnect takes every other status as a failure"),
        "Answer 204 also when the client is gone, or the application can never be removed in Konnect.",
        t => { t.deletion().await.first.succeeded()?; t.deletion().await.again.status(204) };
    "no body with a content type is taken", Basis::Demanded("seen in Kong's own tests"),
        "Take an empty body that is said to be application/json.",
        t => typed(t).await;
}

impl Trial {
    async fn deletion(&self) -> &Change {
        let delete = || async {
            let client = match self.fresh().await {
                Ok(client) => client,
                Err(finding) => return Change::never(finding),
            };
            let call = Call::delete(&client.id);
            Change {
                first: self.call(&call).await,
                list: self.call(&Call::list(&client.id)).await,
                again: self.call(&call).await,
                client: Ok(client),
            }
        };
        self.deletion.get_or_init(delete).await
    }
}

async fn gone(t: &Trial) -> Verdict {
    let deletion = t.deletion().await;
    deletion.first.succeeded()?;
    let list = deletion.list.answered()?;
    if list.status().is_success() {
        broken("its secrets are still listed")
    } else {
        Ok(())
    }
}

async fn opens_nothing(t: &Trial) -> Verdict {
    let deletion = t.deletion().await;
    let client = deletion.client.clone()?;
    deletion.first.succeeded()?;
    t.token(&client, first_secret(&client)?, false).await
}

async fn typed(t: &Trial) -> Verdict {
    let client = t.fresh().await?;
    let seen = t.call(&Call::delete(&client.id).text(JSON, "")).await;
    let plain = &t.deletion().await.first;
    if seen.succeeds().is_err() && plain.succeeds().is_err() {
        return unjudged("a delete without a content type fails too");
    }
    seen.succeeds()
}
