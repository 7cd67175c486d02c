//! What the checks look at: a few clients, and each call that several checks judge, made once, when first looked at.

use dcr_tests::konnect::{application, set};
use http::Method;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::arguments::Lacks;
use crate::bridge::Bridge;
use crate::call::Call;
use crate::names::Names;
use crate::seen::Seen;
use crate::tokens::Tokens;
use crate::verdict::{Finding, Verdict, broken, unjudged};

/// A client id that no identity provider gives.
pub(super) const NOBODY: &str = "konnect-sim-nobody";

/// A client that was made for a check.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<String>,
}

/// A run of the checks.
pub(crate) struct Trial {
    pub(super) bridge: Bridge,
    tokens: Option<Tokens>,
    lacks: Lacks,
    names: Names,
    created: OnceCell<Seen>,
    pub(super) unauthorised: OnceCell<Vec<Seen>>,
    pub(super) wrong_key: OnceCell<Seen>,
    pub(super) rotation: OnceCell<Change>,
    pub(super) listing: OnceCell<Change>,
    pub(super) adding: OnceCell<Change>,
    pub(super) removal: OnceCell<Change>,
    pub(super) deletion: OnceCell<Change>,
    pub(super) strangers: OnceCell<Vec<Seen>>,
    pub(super) nameless: OnceCell<Seen>,
    pub(super) updated: OnceCell<Seen>,
}

/// A call on a client of its own, the same call once more, and the list of the client's secrets after the first.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) client: Result<Client, Finding>,
    pub(super) first: Seen,
    pub(super) list: Seen,
    pub(super) again: Seen,
}

impl Change {
    /// What is there when there is no client to change.
    pub(super) fn never(finding: Finding) -> Self {
        let (Finding::Broken(why) | Finding::Unjudged(why)) = &finding;
        let never = || Seen::Never(why.clone());
        Self {
            first: never(),
            list: never(),
            again: never(),
            client: Err(finding),
        }
    }
}

impl Trial {
    pub(super) fn new(bridge: Bridge, tokens: Option<Tokens>, lacks: Lacks) -> Self {
        Self {
            bridge,
            tokens,
            lacks,
            names: Names::new(),
            created: OnceCell::new(),
            unauthorised: OnceCell::new(),
            wrong_key: OnceCell::new(),
            rotation: OnceCell::new(),
            listing: OnceCell::new(),
            adding: OnceCell::new(),
            removal: OnceCell::new(),
            deletion: OnceCell::new(),
            strangers: OnceCell::new(),
            nameless: OnceCell::new(),
            updated: OnceCell::new(),
        }
    }

    /// That rotations can be had.
    pub(super) fn rotates(&self) -> Verdict {
        if self.lacks.no_rotations {
            unjudged("--no-rotations says that the IdP cannot replace a secret")
        } else {
            Ok(())
        }
    }

    /// That updates can be had.
    pub(super) fn updates(&self) -> Verdict {
        if self.lacks.no_updates {
            unjudged("--no-updates says that the IdP would replace the secret")
        } else {
            Ok(())
        }
    }

    /// Makes a call.
    pub(super) async fn call(&self, call: &Call) -> Seen {
        Seen::of(&self.bridge, call).await
    }

    /// Somebody answers, whatever it is.
    pub(super) async fn reached(&self) -> Verdict {
        let seen = self.call(&Call::new(Method::GET, "/")).await;
        seen.answered().map(drop)
    }

    /// The body of a create that no bridge has a reason to refuse.
    pub(super) fn application(&self) -> Value {
        let mut body = application(&self.names.next());
        let plain = json!({
            "grant_types": ["client_credentials"],
            "application_description": "Made by konnect-sim, which deletes it.",
        });
        set(&mut body, &plain);
        body
    }

    /// The same with other members.
    pub(super) fn application_with(&self, members: &Value) -> Value {
        let mut body = self.application();
        set(&mut body, members);
        body
    }

    /// A create with other members than most.
    pub(super) async fn takes(&self, members: &Value) -> Verdict {
        let call = Call::create(&self.application_with(members));
        self.call(&call).await.succeeds()
    }

    /// The create that is judged.
    pub(super) async fn created(&self) -> &Seen {
        let create = || async { self.call(&Call::create(&self.application())).await };
        self.created.get_or_init(create).await
    }

    /// The client that it made, which is there to the end.
    pub(super) async fn client(&self) -> Result<Client, Finding> {
        client(self.created().await)
    }

    /// A client that nobody else touches.
    pub(super) async fn fresh(&self) -> Result<Client, Finding> {
        let seen = self.call(&Call::create(&self.application())).await;
        client(&seen)
    }

    /// Whether a secret opens a token.
    pub(super) async fn token(&self, client: &Client, secret: &str, opens: bool) -> Verdict {
        let Some(tokens) = &self.tokens else {
            return unjudged("no --token-url was given");
        };
        match tokens.settled(&client.id, secret, opens).await {
            Err(e) => broken(e),
            Ok(found) if found == opens => Ok(()),
            Ok(true) => broken("it opens a token"),
            Ok(false) => broken("the token endpoint refuses it"),
        }
    }
}

fn client(created: &Seen) -> Result<Client, Finding> {
    let no_client = || Finding::Unjudged("no client could be created".to_owned());
    let exchange = created.succeeded().map_err(|_| no_client())?;
    let id = exchange.text("client_id").filter(|id| !id.is_empty());
    Ok(Client {
        id: id.ok_or_else(no_client)?,
        secret: exchange.text("client_secret"),
    })
}

/// The secret of an answer.
pub(super) fn secret(seen: &Seen) -> Result<String, Finding> {
    match seen.succeeded()?.text("client_secret") {
        Some(secret) => Ok(secret),
        None => unjudged("the answer has no client_secret"),
    }
}

/// The secret that a client was created with.
pub(super) fn first_secret(client: &Client) -> Result<&str, Finding> {
    match &client.secret {
        Some(secret) => Ok(secret),
        None => unjudged("the create gave no client_secret"),
    }
}

/// The entries of a list of secrets.
pub(super) fn entries(list: &Seen) -> Result<Vec<Map<String, Value>>, Finding> {
    let object = list.object()?;
    let Some(Value::Array(entries)) = object.get("secrets") else {
        return unjudged("there is no list called secrets");
    };
    let objects = entries.iter().filter_map(Value::as_object);
    Ok(objects.cloned().collect())
}

/// The ids in a list of secrets.
pub(super) fn ids(list: &Seen) -> Result<Vec<String>, Finding> {
    let entries = entries(list)?;
    let ids = entries.iter().filter_map(|entry| entry.get("secret_id"));
    Ok(ids.filter_map(Value::as_str).map(str::to_owned).collect())
}
