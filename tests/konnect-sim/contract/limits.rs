//! What is as long, or as odd, as Konnect allows.

use serde_json::{Value, json};

use super::trial::Trial;
use crate::call::Call;
use crate::verdict::{Basis, Verdict, broken, checks};

const PORTAL: Basis =
    Basis::Demanded("Portal API: names and descriptions have at most 255 characters");

checks! { Trial, "limits":
    "a name of 255 characters is taken", PORTAL,
        "Shorten names that are too long for the identity provider.",
        t => longest_name(t).await;
    "a name in any script is taken", PORTAL,
        "Replace what the identity provider does not take in names.",
        t => any_script(t).await;
    "a description of 255 characters is taken", PORTAL,
        "Shorten descriptions that are too long for the identity provider.",
        t => t.takes(&json!({"application_description": "ä".repeat(255)})).await;
    "a longer description does no harm", Basis::Wise("older portals allow 2048 characters"),
        "Take it, or refuse it with 400.",
        t => longer(t).await;
}

fn name_of(body: &Value) -> String {
    let name = body.get("client_name").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

async fn longest_name(t: &Trial) -> Verdict {
    let mut name = name_of(&t.application());
    name.extend(std::iter::repeat_n('x', 255 - name.len()));
    t.takes(&json!({"client_name": name})).await
}

async fn any_script(t: &Trial) -> Verdict {
    let name = name_of(&t.application()) + " Fähre 渡し船 عبّارة 🚢 \"<&'>\\";
    t.takes(&json!({"client_name": name})).await
}

async fn longer(t: &Trial) -> Verdict {
    let body = t.application_with(&json!({"application_description": "x".repeat(2048)}));
    let seen = t.call(&Call::create(&body)).await;
    let status = seen.answered()?.status();
    if status.is_success() || status.is_client_error() {
        Ok(())
    } else {
        broken(format!("2048 characters were answered {}", status.as_u16()))
    }
}
