//! The contract with the gateway, as the suite for every connector has it.

use dcr_conformance::{Options, Profile, TokenOptions, run};
use dcr_tests::bridge::INSTALLATION;
use serde_json::json;

use crate::Setup;
use crate::world::{OWN, World};

const GRANTS: &str = "  grants:
  - audience: https://api.ferry.example
    optional_scopes: [timetable.read]
";

pub(crate) async fn the_contract_is_kept(setup: &'static Setup) {
    let mut world = World::with(setup, GRANTS, "").await;
    let (unmarked, _) = setup.admin.insert(&json!({"name": "made by hand"})).await;
    let (admitted, _) = setup.admin.insert(&json!({"name": "adopted"})).await;
    world.adopt("one", &admitted, &[]).await;
    let before = setup.admin.ids().await;
    let token_url = setup.tokens().url().to_owned();
    let options = Options {
        // A client of Keycloak's has one secret.
        profile: vec![Profile::Core, Profile::Grants],
        installation: INSTALLATION.to_owned(),
        provider: "one".to_owned(),
        tokens: TokenOptions {
            token_url: Some(token_url),
            ..TokenOptions::default()
        },
        unmarked_client: Some(unmarked.clone()),
        admitted_client: Some(admitted.clone()),
        own_client: Some(OWN.to_owned()),
        mapped_audience: Some("https://api.ferry.example".to_owned()),
        mapped_scope: Some("timetable.read".to_owned()),
        ..Options::new(format!("http://{}", world.connector()))
    };
    let report = run(options).await.expect("a connector that answers");
    report.assert_passed();
    let skipped: Vec<_> = report.skipped().collect();
    // What needs a second secret, what would take as long again, and what comes below.
    let left = [
        "rotate/leaves_one_secret_of_many",
        "abort/may_be_asked_for_again_after_settle_after",
        "drain/",
    ];
    let is_left = |name: String| left.iter().any(|left| name.starts_with(left));
    let only = skipped.iter().all(|checked| is_left(checked.full_name()));
    assert!(only, "{skipped:?}");
    setup.admin.only(&before).await;
    for id in [&unmarked, &admitted] {
        setup.admin.remove(id).await;
    }
    // Told to end, the connector would look once more for what was aborted.
    world.cut().await;
}

/// A connector of its own, for it would look once more for what the others aborted.
pub(crate) async fn the_contract_is_kept_to_the_end(setup: &'static Setup) {
    let world = World::start(setup).await;
    let before = setup.admin.ids().await;
    let options = Options {
        terminate: Some(world.connector_process()),
        only: vec!["drain/".to_owned()],
        ..Options::new(format!("http://{}", world.connector()))
    };
    let report = run(options).await.expect("a connector that answers");
    report.assert_passed();
    setup.admin.only(&before).await;
    world.end().await;
}
