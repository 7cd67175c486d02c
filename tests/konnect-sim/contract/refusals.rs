//! What has to be refused, and how.

use dcr_tests::konnect::{event, merge};
use serde_json::json;

use super::trial::{NOBODY, Trial};
use crate::call::{Call, JSON};
use crate::seen::Seen;
use crate::verdict::{Basis, Verdict, broken, checks, unjudged};

const BAD_REQUEST: Basis = Basis::Demanded("contract: 400 BadRequest");
const UNKNOWN: Basis = Basis::Wise("the contract has 400 and 401 only; 404 says what is wrong");

checks! { Trial, "refusals":
    "a create that is no JSON is a 400", BAD_REQUEST,
        "Answer 400 to a body that cannot be read.",
        t => no_json(t).await;
    "a create without a name is a 400", BAD_REQUEST,
        "Answer 400 to a create without client_name.",
        t => t.nameless().await.status(400);
    "a 400 says why", Basis::Demanded("contract: BadRequestResponse"),
        "Answer {\"error\": text, \"error_description\": text}: Konnect's administrators see nothing else.",
        t => says_why(t).await;
    "an unknown client is refused", Basis::Demanded("contract: 200 and 201 are about a client that there is"),
        "Answer 404 to calls about a client that is not there, and never 5xx.",
        t => strangers_are_refused(t).await;
    "an unknown client is a 404", UNKNOWN,
        "Answer 404 to calls about a client that is not there.",
        t => strangers_are_unknown(t).await;
    "a 404 says why", UNKNOWN,
        "Answer {\"error\": text, \"error_description\": text} with every failure.",
        t => strangers_hear_why(t).await;
}

impl Trial {
    async fn nameless(&self) -> &Seen {
        let create = || async {
            let mut body = self.application();
            merge(&mut body, &json!({"client_name": null}));
            self.call(&Call::create(&body)).await
        };
        self.nameless.get_or_init(create).await
    }

    /// Every call but a delete, about a client that is not there.
    async fn strangers(&self) -> &[Seen] {
        let calls = || async {
            let update = event("update_application", NOBODY, &json!({"redirect_uris": []}));
            let calls = [
                Call::rotate(NOBODY),
                Call::hook(NOBODY, &update),
                Call::list(NOBODY),
                Call::add(NOBODY),
            ];
            let mut seen = Vec::new();
            for call in calls {
                seen.push(self.call(&call).await);
            }
            seen
        };
        self.strangers.get_or_init(calls).await
    }
}

async fn no_json(t: &Trial) -> Verdict {
    let call = Call::create(&json!({})).text(JSON, "{\"client_name\": ");
    t.call(&call).await.status(400)
}

async fn says_why(t: &Trial) -> Verdict {
    let nameless = t.nameless().await;
    match nameless.answered()?.status().as_u16() {
        400 => nameless.says_why(),
        _ => unjudged("nothing was answered 400"),
    }
}

async fn strangers_are_refused(t: &Trial) -> Verdict {
    // Adding may be refused before anybody looks for the client, and hooks may be nobody's affair.
    for seen in t.strangers().await {
        let exchange = seen.answered()?;
        let is_hook = exchange.asked.ends_with("event-hook");
        if !(is_hook && exchange.status().is_success()) {
            seen.refused()?;
        }
    }
    Ok(())
}

async fn strangers_are_unknown(t: &Trial) -> Verdict {
    for seen in t.strangers().await {
        let exchange = seen.answered()?;
        let status = exchange.status();
        // Where no secret can be added, that may be said of every client.
        let adds_none = exchange.asked.ends_with("/secrets") && status.as_u16() == 400;
        if status.is_client_error() && !adds_none {
            seen.status(404)?;
        }
    }
    Ok(())
}

async fn strangers_hear_why(t: &Trial) -> Verdict {
    let mut refused = false;
    for seen in t.strangers().await {
        if seen.answered()?.status().is_client_error() {
            refused = true;
            seen.says_why()?;
        }
    }
    if refused {
        Ok(())
    } else {
        broken("no call about an unknown client was refused")
    }
}
