//! A client's secrets, and when they end.

use dcr_connector::fault::{Fault, Reason};
use dcr_connector::model::{SecretId, SecretMetadata, SecretStatus};
use jiff::Timestamp;

use crate::api;

/// How long before its expiry a secret counts as expired: clocks differ, and the call takes time.
const MARGIN_SECONDS: i64 = 60;

/// Whether an update leaves the secret alone.
///
/// # Errors
/// `Unsupported` when a client policy has let the secret expire: Keycloak would replace it with any update, and nobody
/// would learn the new one.
pub(crate) fn may_be_updated(client: &api::Client, now: Timestamp) -> Result<(), Fault> {
    match expiry(client) {
        Some(expires_at) if expires_at.as_second() <= now.as_second() + MARGIN_SECONDS => {
            let sentence = "The client's secret has expired, and Keycloak would replace it with this update: \
                            refresh the secret first.";
            Err(Fault::unsupported(sentence).reason(Reason::UpdateRotatesSecret))
        }
        _ => Ok(()),
    }
}

/// A time that Keycloak keeps as an attribute, in seconds since 1970; 0 is none.
fn time(client: &api::Client, attribute: &str) -> Option<Timestamp> {
    let seconds = client.attributes.get(attribute)?.parse().ok()?;
    Timestamp::from_second(seconds)
        .ok()
        .filter(|time| time.as_second() > 0)
}

/// When the current secret stops working, where a client policy says so.
pub(crate) fn expiry(client: &api::Client) -> Option<Timestamp> {
    time(client, "client.secret.expiration.time")
}

/// The current secret under a name that stays, and before it the one that a client policy may keep for a while.
pub(crate) fn secrets(client: &api::Client, now: Timestamp) -> Vec<SecretMetadata> {
    let time = |name: &str| time(client, name);
    let secret = |id: &str, created_at, expires_at: Option<Timestamp>| {
        let expired = expires_at.is_some_and(|time| time <= now);
        Some(SecretMetadata {
            secret_id: SecretId::parse(id).ok()?,
            status: if expired {
                SecretStatus::Inactive
            } else {
                SecretStatus::Active
            },
            created_at,
            expires_at,
        })
    };
    let rotated = time("client.secret.rotated.expiration.time")
        .filter(|_| client.attributes.contains_key("client.secret.rotated"))
        .and_then(|expires| {
            secret(
                "rotated",
                time("client.secret.rotated.creation.time"),
                Some(expires),
            )
        });
    let current = secret(
        "current",
        time("client.secret.creation.time"),
        expiry(client),
    );
    rotated.into_iter().chain(current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::client;
    use serde_json::json;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let client = client(&json!({"secret": "planted"}));
        assert!(client.secret.is_some());
        assert!(!format!("{client:?}").contains("planted"));
    }

    #[test]
    fn an_update_that_would_replace_an_expired_secret_is_refused() {
        let expiring = client(&json!({"attributes": {"client.secret.expiration.time": "1000"}}));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(may_be_updated(&expiring, at(939)).is_ok());
        let fault = may_be_updated(&expiring, at(940)).unwrap_err();
        assert_eq!(fault.why(), Reason::UpdateRotatesSecret);
        assert!(may_be_updated(&client(&json!({})), at(1_000)).is_ok());
    }

    #[test]
    fn the_one_secret_has_a_name_that_stays_and_a_kept_one_stands_beside_it() {
        let now = Timestamp::from_second(2_000).unwrap();
        let one = client(&json!({"attributes": {"client.secret.creation.time": "1000"}}));
        let listed = secrets(&one, now);
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].secret_id.as_str(), "current");
        assert_eq!(listed[0].created_at.unwrap().as_second(), 1_000);
        let kept = client(&json!({"attributes": {
            "client.secret.rotated": "…", "client.secret.rotated.expiration.time": "1999",
        }}));
        let listed = secrets(&kept, now);
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].status, SecretStatus::Inactive);
        assert_eq!(listed[1].status, SecretStatus::Active);
    }
}
