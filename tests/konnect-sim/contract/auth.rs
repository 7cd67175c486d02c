//! The API key.

use http::Method;
use serde_json::json;

use super::trial::{NOBODY, Trial};
use crate::call::{Call, Keys};
use crate::seen::Seen;
use crate::verdict::{Basis, Verdict, broken, checks, unjudged};

const CONTRACT: Basis = Basis::Demanded("contract: security, 401 Unauthorized");

checks! { Trial, "auth":
    "no call without a key is served", CONTRACT,
        "Judge the header X-API-KEY before anything else, at every path, and answer 401.",
        t => keyless(t).await;
    "a wrong key is a 401", CONTRACT,
        "Compare the whole key, and answer 401 when it is another.",
        t => t.wrong_key().await.status(401);
    "a 401 says why", Basis::Demanded("contract: UnauthorizedResponse"),
        "Answer {\"error\": text, \"error_description\": text}.",
        t => t.wrong_key().await.says_why();
    "two keys are refused", Basis::Wise("the contract is silent; a proxy before the bridge may have taken the other one"),
        "Refuse a call with two X-API-KEY headers.",
        t => two_keys(t).await;
    "the key is judged before the path", Basis::Wise("the contract is silent; else strangers learn what is there"),
        "Answer 401 before 404 and 405.",
        t => before_the_path(t).await;
}

/// A key that Konnect could have, and that is nobody's.
const OTHER: &str = "konnect_sim_key_that_is_nobodys";

impl Trial {
    async fn wrong_key(&self) -> &Seen {
        let call = || async {
            let create = Call::create(&self.application());
            self.call(&create.showing(Keys::Other(OTHER.to_owned())))
                .await
        };
        self.wrong_key.get_or_init(call).await
    }

    async fn unauthorised(&self) -> &[Seen] {
        let calls = || async {
            let update = json!({"event_type": "update_application", "redirect_uris": []});
            let calls = [
                Call::create(&self.application()),
                Call::delete(NOBODY),
                Call::rotate(NOBODY),
                Call::hook(NOBODY, &update),
                Call::list(NOBODY),
                Call::add(NOBODY),
                Call::remove(NOBODY, NOBODY),
            ];
            let mut seen = Vec::new();
            for call in calls {
                seen.push(self.call(&call.showing(Keys::None)).await);
            }
            seen
        };
        self.unauthorised.get_or_init(calls).await
    }
}

async fn keyless(t: &Trial) -> Verdict {
    let mut served = Vec::new();
    for seen in t.unauthorised().await {
        let exchange = seen.answered()?;
        if exchange.status().as_u16() != 401 {
            served.push(format!(
                "{} was answered {}",
                exchange.asked,
                exchange.status().as_u16()
            ));
        }
    }
    if served.is_empty() {
        Ok(())
    } else {
        broken(served.join("; "))
    }
}

async fn two_keys(t: &Trial) -> Verdict {
    let client = t.client().await?;
    let list = Call::list(&client.id);
    if !t.call(&list).await.answered()?.status().is_success() {
        return unjudged("the same call with one key fails");
    }
    t.call(&list.showing(Keys::Two(OTHER.to_owned())))
        .await
        .refused()
}

/// A path and a method that are nobody's, in one call: strangers may be slowed down after few.
async fn before_the_path(t: &Trial) -> Verdict {
    let call = Call::new(Method::PUT, "/a/b/c/d").showing(Keys::None);
    t.call(&call).await.status(401)
}
