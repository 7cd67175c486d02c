//! Client ids that try to become something else on their way.
//!
//! No DELETE goes out with a path trick: a bridge that falls for one would delete what lies above its clients.

use http::Method;

use super::trial::Trial;
use crate::call::Call;
use crate::verdict::{Basis, Verdict, broken, checks};

checks! { Trial, "hostile":
    "path tricks are refused", Basis::Demanded("contract: 400 and 401 are the only failures"),
        "Check the client id, decoded once, against the characters of your ids before it meets a URL; answer 400 or 404.",
        t => tricks(t).await;
    "bytes that no id has are refused", Basis::Demanded("contract: 400 and 401 are the only failures"),
        "Check the client id, decoded once, against the characters of your ids before it meets a URL; answer 400 or 404.",
        t => bytes(t).await;
    "no failure holds a secret", Basis::Demanded("contract: a secret is only returned once"),
        "Never put the API key, a client secret, or what the identity provider said into a failure.",
        t => leaks(t);
}

const TRICKS: [&str; 7] = [
    "%2e%2e",
    "..",
    "%2e%2e%2fadmin",
    "..%2f..%2fclients",
    "a%2fsecrets",
    "%252e%252e",
    "a%3Fb=c",
];
const BYTES: [&str; 6] = [
    "%00",
    "a%0D%0AX-Evil:%201",
    "%ff",
    "%c0%ae%c0%ae",
    "%e2%80%ae",
    "%1b%5b31m",
];

async fn tricks(t: &Trial) -> Verdict {
    for id in TRICKS {
        refused(t, &Call::new(Method::GET, format!("/{id}/secrets"))).await?;
        refused(t, &Call::new(Method::POST, format!("/{id}/new-secret"))).await?;
    }
    Ok(())
}

async fn bytes(t: &Trial) -> Verdict {
    let long = "a".repeat(4_000);
    for id in BYTES.into_iter().chain([&*long]) {
        refused(t, &Call::new(Method::GET, format!("/{id}/secrets"))).await?;
        let delete = t.call(&Call::new(Method::DELETE, format!("/{id}"))).await;
        let exchange = delete.answered()?;
        if exchange.status().is_server_error() {
            return broken(format!(
                "{} was answered {}",
                exchange.asked,
                exchange.status().as_u16()
            ));
        }
    }
    Ok(())
}

async fn refused(t: &Trial, call: &Call) -> Verdict {
    t.call(call).await.refused()
}

fn leaks(t: &Trial) -> Verdict {
    let leaks = t.bridge.journal().map(crate::journal::Journal::leaks);
    match leaks.unwrap_or_default() {
        leaks if leaks.is_empty() => Ok(()),
        leaks => broken(format!(
            "a secret was in the answer to {}",
            leaks.join("; ")
        )),
    }
}
