//! `POST /{clientId}/event-hook`.

use dcr_tests::konnect::event;
use serde_json::{Value, json};

use super::trial::{NOBODY, Trial, first_secret};
use crate::call::Call;
use crate::seen::Seen;
use crate::verdict::{Basis, Finding, Verdict, checks};

const CONTRACT: Basis = Basis::Demanded("contract: EventHook");
const ENTITY: &str = "b3d8e7f6-5c4b-4a39-9281-7f6e5d4c3b77";

checks! { Trial, "hook":
    "update_application is answered 200", CONTRACT,
        "Answer 200, also when there is nothing to do.",
        t => t.updated().await?.status(200);
    "nothing is said", Basis::Wise("the contract defines no body"),
        "Answer without a body.",
        t => t.updated().await?.is_empty();
    "an update may empty what it names", CONTRACT,
        "Take an empty application_description and empty redirect_uris.",
        t => emptied(t).await;
    "an update leaves the secret alone", CONTRACT,
        "Update the client without replacing its secret.",
        t => secret_stays(t).await;
    "add_registration is answered 200", CONTRACT,
        "Answer 200, also when there is nothing to do.",
        t => hook(t, "add_registration", &json!({"api_product_version_id": ENTITY})).await;
    "an audience may be named", CONTRACT,
        "Take the member audience.",
        t => audience(t).await;
    "remove_registration is answered 200", CONTRACT,
        "Answer 200, also when there is nothing to do.",
        t => hook(t, "remove_registration", &json!({"api_product_version_id": ENTITY})).await;
    "registrations may come twice", Basis::Wise("whether Konnect repeats an event is not published"),
        "Answer 200 when there is nothing more to add or to remove.",
        t => twice(t).await;
    "an API may be registered by its own name", Basis::Wise("what portals of the API catalog send is not published"),
        "Take api_id in place of api_product_version_id.",
        t => by_api_id(t).await;
    "an unknown event is answered 200", Basis::Wise("Kong has added members before, and may add events"),
        "Answer 200 to events that you do not know, and do nothing.",
        t => hook(t, "event_of_a_later_version", &json!({})).await;
    "an event about another client is refused", Basis::Wise("the contract names the client twice"),
        "Answer 400 when client_id is not the client of the path.",
        t => about_another(t).await;
}

impl Trial {
    async fn updated(&self) -> Result<&Seen, Finding> {
        self.updates()?;
        let client = self.client().await?.id;
        let update = || async {
            let members = json!({"redirect_uris": ["https://ferry.example/other"]});
            self.call(&Call::hook(
                &client,
                &event("update_application", &client, &members),
            ))
            .await
        };
        Ok(self.updated.get_or_init(update).await)
    }
}

async fn hook(t: &Trial, event_type: &str, members: &Value) -> Verdict {
    let id = t.client().await?.id;
    let event = event(event_type, &id, members);
    t.call(&Call::hook(&id, &event)).await.status(200)
}

async fn emptied(t: &Trial) -> Verdict {
    t.updates()?;
    let members = json!({"redirect_uris": [], "application_description": ""});
    hook(t, "update_application", &members).await
}

async fn secret_stays(t: &Trial) -> Verdict {
    t.updates()?;
    let client = t.fresh().await?;
    let members = json!({"redirect_uris": ["https://ferry.example/other"]});
    let event = event("update_application", &client.id, &members);
    t.call(&Call::hook(&client.id, &event)).await.succeeded()?;
    t.token(&client, first_secret(&client)?, true).await
}

async fn audience(t: &Trial) -> Verdict {
    let members =
        json!({"api_product_version_id": ENTITY, "audience": "https://api.ferry.example"});
    hook(t, "add_registration", &members).await?;
    hook(t, "remove_registration", &members).await
}

async fn twice(t: &Trial) -> Verdict {
    let members = json!({"api_product_version_id": ENTITY});
    for event_type in ["add_registration", "remove_registration"] {
        hook(t, event_type, &members).await?;
        hook(t, event_type, &members).await?;
    }
    Ok(())
}

async fn by_api_id(t: &Trial) -> Verdict {
    hook(t, "add_registration", &json!({"api_id": ENTITY})).await?;
    hook(t, "remove_registration", &json!({"api_id": ENTITY})).await
}

async fn about_another(t: &Trial) -> Verdict {
    let id = t.client().await?.id;
    let event = event("update_application", NOBODY, &json!({"redirect_uris": []}));
    t.call(&Call::hook(&id, &event)).await.refused()
}
