//! The connector's command `check`.

use dcr_tests::Mishap;
use dcr_tests::stand_in::dead_port;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::Setup;
use crate::world::{check, proxy, section, section_of};

const GRANTS: &str = "  grants:
  - audience: https://api.ferry.example
    default_scopes: [ferry-audience]
  - entity: orders
    optional_scopes: [orders.read, orders.write]
    client_roles: {orders-api: [reader, writer]}
";
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The line of a finding.
#[track_caller]
fn finding<'a>(output: &'a str, severity: &str, code: &str) -> Vec<&'a str> {
    let fits = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next() == Some(severity) && words.next() == Some(code)
    };
    let lines: Vec<_> = output.lines().filter(fits).collect();
    assert!(!lines.is_empty(), "no {severity} {code} in:\n{output}");
    lines
}

pub(crate) async fn a_good_setup_is_clean(setup: &'static Setup) {
    let proxy = proxy(setup);
    let before = setup.admin.ids().await;
    let (content, output) = check(setup, &proxy, |f| section(setup, f, &proxy.url(), GRANTS)).await;
    assert!(content, "{output}");
    for code in ["REACHABLE", "CREDENTIAL_ACCEPTED"] {
        finding(&output, "ok", code);
    }
    for line in output.lines() {
        let severity = line.split_whitespace().next();
        assert!(!matches!(severity, Some("warning" | "error")), "{line}");
    }
    assert_eq!(
        setup.admin.ids().await,
        before,
        "check has changed something"
    );
}

pub(crate) async fn a_wrong_secret_is_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    for credential in [
        ("dcr-bridge", "not-the-secret-at-all"),
        ("no-such-client", "any-secret-at-all"),
    ] {
        let section = |f: &_| section_of(setup, f, &proxy.url(), credential, GRANTS);
        let (content, output) = check(setup, &proxy, section).await;
        assert!(!content, "{output}");
        finding(&output, "error", "CREDENTIAL_REFUSED");
    }
}

pub(crate) async fn a_wrong_realm_is_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    let realm = format!("realm: {}\n", setup.arguments.realm);
    let section =
        |f: &_| section(setup, f, &proxy.url(), "").replace(&realm, "realm: no-such-realm\n");
    let (content, output) = check(setup, &proxy, section).await;
    assert!(!content, "{output}");
    finding(&output, "error", "REALM_UNKNOWN");
}

pub(crate) async fn an_unreachable_server_is_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    let nowhere = format!("http://{}", dead_port());
    let (content, output) = check(setup, &proxy, |f| section(setup, f, &nowhere, "")).await;
    assert!(!content, "{output}");
    finding(&output, "error", "UNREACHABLE");
}

pub(crate) async fn missing_rights_are_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    let (id, secret) = setup.admin.insert(&json!({})).await;
    let section = |grants: &'static str| {
        section_with(setup, proxy.url(), (id.clone(), secret.clone()), grants)
    };
    let (content, output) = check(setup, &proxy, section(GRANTS)).await;
    assert!(!content, "{output}");
    let lines = finding(&output, "error", "RIGHT_MISSING").join("\n");
    assert!(
        lines.contains("manage-clients") && lines.contains("manage-users"),
        "{lines}"
    );

    setup.admin.allow(&id, &["manage-clients"]).await;
    let (content, output) = check(setup, &proxy, section(GRANTS)).await;
    assert!(!content, "{output}");
    let lines = finding(&output, "error", "RIGHT_MISSING").join("\n");
    assert!(
        !lines.contains("manage-clients") && lines.contains("manage-users"),
        "{lines}"
    );
    // Without roles among the grants it is enough.
    let scopes = "  grants:
  - entity: orders
    default_scopes: [orders.read]
";
    let (content, output) = check(setup, &proxy, section(scopes)).await;
    assert!(content, "{output}");
    setup.admin.remove(&id).await;
}

pub(crate) async fn a_secret_that_a_policy_ends_soon_is_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    let in_a_week = Timestamp::now() + SignedDuration::from_hours(7 * 24);
    let attributes = json!({"client.secret.expiration.time": in_a_week.as_second().to_string()});
    let attributes = json!({"attributes": attributes});
    let (id, secret) = setup.admin.insert(&attributes).await;
    setup
        .admin
        .allow(&id, &["manage-clients", "manage-users"])
        .await;
    let section = section_with(setup, proxy.url(), (id.clone(), secret), GRANTS);
    let (content, output) = check(setup, &proxy, section).await;
    assert!(content, "{output}");
    finding(&output, "warning", "CREDENTIAL_EXPIRES");
    setup.admin.remove(&id).await;
}

/// The section with a credential that lives as long as it is needed.
fn section_with(
    setup: &'static Setup,
    base_url: String,
    (id, secret): (String, String),
    grants: &'static str,
) -> impl FnOnce(&dcr_tests::Folder) -> String {
    move |folder| section_of(setup, folder, &base_url, (&id, &secret), grants)
}

pub(crate) async fn what_the_realm_lacks_is_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    let grants = "  grants:
  - entity: orders
    default_scopes: [ferry-audience, no.such.scope]
    client_roles: {orders-api: [reader, no-such-role], no-such-api: [any]}
";
    let (content, output) = check(setup, &proxy, |f| section(setup, f, &proxy.url(), grants)).await;
    assert!(!content, "{output}");
    let lines = finding(&output, "error", "GRANT_UNKNOWN").join("\n");
    for name in ["no.such.scope", "no-such-role", "no-such-api"] {
        assert!(lines.contains(name), "{name} is not in: {lines}");
    }
    assert!(
        !lines.contains("ferry-audience") && !lines.contains("reader"),
        "{lines}"
    );
}

pub(crate) async fn another_issuer_and_another_time_are_named(setup: &'static Setup) {
    let proxy = proxy(setup);
    let other = json!("https://login.ferry.example/realms/apis");
    proxy.spoil(Method::GET, WELL_KNOWN, Mishap::Member("issuer", other));
    let (content, output) = check(setup, &proxy, |f| section(setup, f, &proxy.url(), "")).await;
    assert!(content, "another name inside is no error: {output}");
    finding(&output, "warning", "ISSUER_DIFFERS");

    let issuer = format!("{}/realms/{}", proxy.url(), setup.arguments.realm);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert(
        "date",
        HeaderValue::from_static("Tue, 01 Sep 2026 08:30:00 GMT"),
    );
    let body = json!({"issuer": issuer}).to_string();
    let slow = Mishap::AfterCommit(StatusCode::OK, headers, body.into());
    proxy.spoil(Method::GET, WELL_KNOWN, slow);
    let (content, output) = check(setup, &proxy, |f| section(setup, f, &proxy.url(), "")).await;
    assert!(content, "{output}");
    finding(&output, "warning", "CLOCK_SKEW");
}
