//! `POST /{clientId}/secrets` and `DELETE /{clientId}/secrets/{secretId}`, for identity providers with several secrets a
//! client. Others refuse the first, and nothing more is asked of them.

use super::trial::{Change, Trial, first_secret, ids, secret};
use crate::call::Call;
use crate::seen::Seen;
use crate::shape::SECRET_WITH_ID;
use crate::verdict::{Basis, Finding, Verdict, broken, checks, unjudged};

const ADD: Basis = Basis::Demanded("contract: POST /{clientId}/secrets");
const REMOVE: Basis = Basis::Demanded("contract: DELETE /{clientId}/secrets/{secretId}");
const MEMBERS: Basis = Basis::Demanded("contract: SecretWithIdResponse");

checks! { Trial, "secrets":
    "an added secret is answered 201", ADD,
        "Answer 201; or 400 where the identity provider has one secret a client.",
        t => answered(t).await;
    "a refusal says why", Basis::Demanded("contract: BadRequestResponse"),
        "Answer {\"error\": text, \"error_description\": text}.",
        t => refusal(t).await;
    "an added secret is answered in JSON", ADD,
        "Answer an object in JSON, as application/json.",
        t => t.added().await?.is_json();
    "secret_id", MEMBERS,
        "Answer the id under which the secret is listed.",
        t => t.added().await?.member(&SECRET_WITH_ID, "secret_id");
    "client_id", MEMBERS,
        "Answer the client of the path.",
        t => of_the_client(t).await;
    "client_secret", MEMBERS,
        "Answer the secret, of at most 255 characters: nobody can ask for it again.",
        t => t.added().await?.member(&SECRET_WITH_ID, "client_secret");
    "created_at", MEMBERS,
        "Answer an RFC 3339 date-time, or leave the member out: null is not allowed.",
        t => t.added().await?.member(&SECRET_WITH_ID, "created_at");
    "expires_at", MEMBERS,
        "Answer an RFC 3339 date-time, or null, or leave the member out.",
        t => t.added().await?.member(&SECRET_WITH_ID, "expires_at");
    "no other members", MEMBERS,
        "Leave out what the contract does not have: here that is `status` too.",
        t => t.added().await?.no_others(&SECRET_WITH_ID);
    "the added secret is another one", ADD,
        "Make a new secret.",
        t => another(t).await;
    "the first secret stays", ADD,
        "Never make a second secret by replacing the first: an application uses that.",
        t => both(t).await;
    "both open tokens", ADD,
        "Add the secret in the identity provider, beside the first.",
        t => both_open(t).await;
    "a removed secret is answered 204", REMOVE,
        "Answer 204; deactivate the secret first where the identity provider wants that.",
        t => t.removed().await?.status(204);
    "a removed secret is answered without a body", REMOVE,
        "A 204 has no body.",
        t => t.removed().await?.is_empty();
    "a removed secret is listed no more", REMOVE,
        "Remove it in the identity provider before you answer.",
        t => removed(t).await;
    "a removed secret opens nothing", REMOVE,
        "Remove it in the identity provider before you answer.",
        t => opens_nothing(t).await;
    "a secret can be removed twice", Basis::Wise("the contract is silent; Konnect takes every other status as a failure"),
        "Answer 204 also when the secret is gone.",
        t => { t.removed().await?; t.removal().await.again.status(204) };
}

impl Trial {
    /// A secret is added to the client that was listed.
    pub(super) async fn adding(&self) -> &Change {
        let add = || async {
            let client = match self.listing().await.client.clone() {
                Ok(client) => client,
                Err(finding) => return Change::never(finding),
            };
            Change {
                first: self.call(&Call::add(&client.id)).await,
                list: self.call(&Call::list(&client.id)).await,
                again: Seen::Never("one is enough".to_owned()),
                client: Ok(client),
            }
        };
        self.adding.get_or_init(add).await
    }

    /// The answer of the add, unless it says that this cannot be done.
    async fn added(&self) -> Result<&Seen, Finding> {
        let first = &self.adding().await.first;
        match first {
            Seen::Answered(exchange) if exchange.status().as_u16() == 400 => {
                unjudged("the bridge adds no secrets")
            }
            _ => Ok(first),
        }
    }

    /// The added secret is removed, twice.
    async fn removal(&self) -> &Change {
        let remove = || async {
            match self.removed_now().await {
                Ok(change) => change,
                Err(finding) => Change::never(finding),
            }
        };
        self.removal.get_or_init(remove).await
    }

    async fn removed_now(&self) -> Result<Change, Finding> {
        let id = self.added_id().await?;
        let client = self.adding().await.client.clone()?;
        let call = Call::remove(&client.id, &id);
        Ok(Change {
            first: self.call(&call).await,
            list: self.call(&Call::list(&client.id)).await,
            again: self.call(&call).await,
            client: Ok(client),
        })
    }

    async fn added_id(&self) -> Result<String, Finding> {
        match self.added().await?.succeeded()?.text("secret_id") {
            Some(id) if !id.is_empty() => Ok(id),
            _ => unjudged("the answer has no secret_id"),
        }
    }

    async fn removed(&self) -> Result<&Seen, Finding> {
        self.added_id().await?;
        Ok(&self.removal().await.first)
    }
}

async fn answered(t: &Trial) -> Verdict {
    let seen = &t.adding().await.first;
    let exchange = seen.answered()?;
    match exchange.status().as_u16() {
        400 => unjudged(format!("refused with 400, {}", exchange.complaint())),
        _ => seen.status(201),
    }
}

async fn refusal(t: &Trial) -> Verdict {
    let seen = &t.adding().await.first;
    match seen.answered()?.status().as_u16() {
        400 => seen.says_why(),
        _ => unjudged("an added secret was not refused"),
    }
}

async fn of_the_client(t: &Trial) -> Verdict {
    let added = t.added().await?;
    added.member(&SECRET_WITH_ID, "client_id")?;
    added.about(&t.adding().await.client.clone()?.id)
}

async fn another(t: &Trial) -> Verdict {
    let client = t.adding().await.client.clone()?;
    if secret(t.added().await?)? == first_secret(&client)? {
        broken("the secret is the one of the create")
    } else {
        Ok(())
    }
}

async fn both(t: &Trial) -> Verdict {
    let id = t.added_id().await?;
    let before = ids(&t.listing().await.first)?;
    let after = ids(&t.adding().await.list)?;
    if before.contains(&id) {
        return broken(format!(
            "the added secret has the id {id:?} of the one before"
        ));
    }
    let missing = |wanted: &&String| !after.contains(wanted);
    match before.iter().chain([&id]).find(missing) {
        Some(lost) => broken(format!("{lost:?} is not listed after a secret was added")),
        None => Ok(()),
    }
}

async fn both_open(t: &Trial) -> Verdict {
    let client = t.adding().await.client.clone()?;
    t.token(&client, &secret(t.added().await?)?, true).await?;
    match t.token(&client, first_secret(&client)?, true).await {
        Err(Finding::Broken(e)) => {
            broken(format!("the first secret, after another was added: {e}"))
        }
        verdict => verdict,
    }
}

async fn removed(t: &Trial) -> Verdict {
    let id = t.added_id().await?;
    t.removed().await?.succeeded()?;
    let left = ids(&t.removal().await.list)?;
    if left.contains(&id) {
        broken(format!("{id:?} is listed"))
    } else {
        Ok(())
    }
}

async fn opens_nothing(t: &Trial) -> Verdict {
    t.removed().await?.succeeded()?;
    let client = t.adding().await.client.clone()?;
    t.token(&client, &secret(t.added().await?)?, false).await
}
