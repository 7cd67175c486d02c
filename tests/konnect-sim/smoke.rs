//! One application's whole life, in the order in which a developer goes through it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dcr_tests::konnect::{application, event};
use serde_json::{Value, json};

use crate::Tried;
use crate::bridge::{Bridge, Exchange};
use crate::call::Call;
use crate::names::Names;
use crate::seen::Seen;
use crate::tokens::Tokens;
use crate::verdict::{Basis, Finding, Verdict, broken, checks, unjudged};

const CONTRACT: Basis = Basis::Demanded("contract");
const SILENT: Basis =
    Basis::Wise("the contract is silent; Konnect takes every other status as a failure");

/// An application and what is known of it.
pub(crate) struct Life {
    bridge: Bridge,
    tokens: Option<Tokens>,
    name: String,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    client_id: Option<String>,
    secret: Option<String>,
    added: Option<(String, String)>,
    dead: Option<String>,
}

checks! { Life, "smoke":
    "a developer creates an application", CONTRACT,
        "Answer POST / with 201 and client_id and client_secret.",
        t => t.create().await;
    "its secret opens a token", Basis::Demanded("contract: ClientSecret"),
        "Create the client so that it may use client_credentials, with the secret of the answer.",
        t => t.token(t.known().secret, true).await;
    "its secrets are listed", CONTRACT,
        "Answer GET /{clientId}/secrets with 200 and a list with the client's secret, for every client.",
        t => t.list().await;
    "a secret is added", CONTRACT,
        "Answer POST /{clientId}/secrets with 201, or with 400 when the identity provider has one secret a client.",
        t => t.add().await;
    "the added secret opens a token", Basis::Demanded("contract: POST /{clientId}/secrets"),
        "Add the secret in the identity provider, beside the other.",
        t => t.token(t.known().added.map(|(_, secret)| secret), true).await;
    "the first secret still opens a token", Basis::Demanded("contract: POST /{clientId}/secrets"),
        "Never make a second secret by replacing the first.",
        t => { t.added()?; t.token(t.known().secret, true).await };
    "the added secret is removed", CONTRACT,
        "Answer DELETE /{clientId}/secrets/{secretId} with 204, and remove the secret.",
        t => t.remove().await;
    "the removed secret opens nothing", Basis::Demanded("contract: DELETE /{clientId}/secrets/{secretId}"),
        "Remove the secret in the identity provider before you answer.",
        t => t.token(t.known().added.map(|(_, secret)| secret), false).await;
    "the secret is refreshed", Basis::Demanded("contract: POST /{clientId}/new-secret"),
        "Answer POST /{clientId}/new-secret with 200, the same client_id and a new client_secret.",
        t => t.rotate().await;
    "the new secret opens a token", Basis::Demanded("contract: SecretResponse"),
        "Answer with the secret that the identity provider has now.",
        t => { t.rotated()?; t.token(t.known().secret, true).await };
    "the old secret opens nothing", Basis::Demanded("contract: makes the current one unusable"),
        "End the old secret before you answer.",
        t => { let dead = t.rotated()?; t.token(Some(dead), false).await };
    "the application is renamed", CONTRACT,
        "Answer POST /{clientId}/event-hook with 200.",
        t => t.hook("update_application", &json!({"redirect_uris": ["https://ferry.example/other"]})).await;
    "the application is registered for an API", CONTRACT,
        "Answer POST /{clientId}/event-hook with 200.",
        t => t.hook("add_registration", &registration()).await;
    "the registration is removed", CONTRACT,
        "Answer POST /{clientId}/event-hook with 200.",
        t => t.hook("remove_registration", &registration()).await;
    "the secret still opens a token", Basis::Demanded("contract: an event changes no secret"),
        "Leave the secret alone when the client is updated.",
        t => t.token(t.known().secret, true).await;
    "the application is deleted", CONTRACT,
        "Answer DELETE /{clientId} with 204, and delete the client in the identity provider.",
        t => t.delete().await;
    "its secret opens nothing", Basis::Demanded("contract: DELETE /{clientId}"),
        "Delete the client in the identity provider before you answer.",
        t => t.token(t.known().secret, false).await;
    "it can be deleted again", SILENT,
        "Answer 204 also when the client is gone, or the application can never be removed in Konnect.",
        t => t.delete().await;
}

fn registration() -> Value {
    json!({"api_product_version_id": "b3d8e7f6-5c4b-4a39-9281-7f6e5d4c3b77"})
}

/// Lives it.
pub(crate) async fn run(tried: Tried<'_>) {
    let life = Life {
        bridge: tried.bridge,
        tokens: tried.tokens,
        name: Names::new().next(),
        known: Mutex::default(),
    };
    for check in CHECKS {
        check.take(&life, tried.report, tried.console).await;
    }
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Known {
        self.lock().clone()
    }

    fn client_id(&self) -> Result<String, Finding> {
        match self.known().client_id {
            Some(id) => Ok(id),
            None => unjudged("there is no application"),
        }
    }

    fn added(&self) -> Result<(String, String), Finding> {
        match self.known().added {
            Some(added) => Ok(added),
            None => unjudged("no secret was added"),
        }
    }

    fn rotated(&self) -> Result<String, Finding> {
        match self.known().dead {
            Some(dead) => Ok(dead),
            None => unjudged("the secret was not refreshed"),
        }
    }

    async fn ask(&self, call: &Call, status: u16) -> Result<Exchange, Finding> {
        let seen = Seen::of(&self.bridge, call).await;
        seen.status(status)?;
        seen.answered().cloned()
    }

    async fn create(&self) -> Verdict {
        let exchange = self
            .ask(&Call::create(&application(&self.name)), 201)
            .await?;
        let mut known = self.lock();
        known.client_id = Some(text(&exchange, "client_id")?);
        known.secret = Some(text(&exchange, "client_secret")?);
        Ok(())
    }

    async fn token(&self, secret: Option<String>, opens: bool) -> Verdict {
        let id = self.client_id()?;
        let Some(secret) = secret else {
            return unjudged("there is no such secret");
        };
        let Some(tokens) = &self.tokens else {
            return unjudged("no --token-url was given");
        };
        match (tokens.settled(&id, &secret, opens).await, opens) {
            (Err(e), _) => broken(e),
            (Ok(found), wanted) if found == wanted => Ok(()),
            (Ok(true), _) => broken("it opens a token"),
            (Ok(false), _) => broken("the token endpoint refuses it"),
        }
    }

    async fn list(&self) -> Verdict {
        let exchange = self.ask(&Call::list(&self.client_id()?), 200).await?;
        let body = exchange.json().unwrap_or_default();
        match body.get("secrets").and_then(Value::as_array) {
            Some(secrets) if !secrets.is_empty() => Ok(()),
            Some(_) => broken("the list is empty"),
            None => broken("there is no list called secrets"),
        }
    }

    async fn add(&self) -> Verdict {
        let seen = Seen::of(&self.bridge, &Call::add(&self.client_id()?)).await;
        if seen.answered()?.status().as_u16() == 400 {
            let complaint = seen.answered()?.complaint();
            seen.says_why()?;
            return unjudged(format!(
                "refused with 400, {complaint} (turn allow_multiple_credentials off in Konnect)"
            ));
        }
        seen.status(201)?;
        let exchange = seen.answered()?;
        let added = (
            text(exchange, "secret_id")?,
            text(exchange, "client_secret")?,
        );
        self.lock().added = Some(added);
        Ok(())
    }

    async fn remove(&self) -> Verdict {
        let (secret_id, _) = self.added()?;
        let call = Call::remove(&self.client_id()?, &secret_id);
        self.ask(&call, 204).await.map(drop)
    }

    async fn rotate(&self) -> Verdict {
        let id = self.client_id()?;
        let exchange = self.ask(&Call::rotate(&id), 200).await?;
        let (about, fresh) = (
            text(&exchange, "client_id")?,
            text(&exchange, "client_secret")?,
        );
        if about != id {
            return broken(format!(
                "the answer is about the client {about:?}, not about {id:?}"
            ));
        }
        let mut known = self.lock();
        if known.secret.as_ref() == Some(&fresh) {
            return broken("the secret is the one from before");
        }
        known.dead = known.secret.replace(fresh);
        Ok(())
    }

    async fn hook(&self, event_type: &str, members: &Value) -> Verdict {
        let id = self.client_id()?;
        let mut event = event(event_type, &id, members);
        if let Some(name) = event.get_mut("application_name") {
            *name = format!("{} renamed", self.name).into();
        }
        self.ask(&Call::hook(&id, &event), 200).await.map(drop)
    }

    async fn delete(&self) -> Verdict {
        self.ask(&Call::delete(&self.client_id()?), 204)
            .await
            .map(drop)
    }
}

fn text(exchange: &Exchange, member: &str) -> Result<String, Finding> {
    match exchange.text(member) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => broken(format!("the answer has no {member}")),
    }
}
