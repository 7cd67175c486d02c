//! The conformance suite before a connector that serves its gateway alone.

use dcr_conformance::{CannotRun, Options, TlsOptions, run};
use dcr_tests::certificates::{Ca, Name};
use dcr_tests::small_idp::SmallIdp;

use super::{CONNECTOR_ID, Files, GATEWAY_ID, connector, connectors, gateways};

#[tokio::test]
async fn the_suite_is_let_in_as_the_gateway_is_and_knows_the_connector_by_its_uri() {
    let (ca, idp) = (Ca::new("ours"), SmallIdp::start().await);
    let theirs = Files::new(&connectors(&ca), &[&ca]);
    let connector = connector(&idp, &theirs, GATEWAY_ID).await;
    let ours = Files::new(&gateways(&ca), &[&ca]);
    let stranger = Files::new(&ca.issue(&[Name::Uri("spiffe://test/x")]), &[&ca]);
    let options = |shown: &Files, identity: &str| Options {
        tls: TlsOptions {
            ca_file: Some(shown.path().join("ca.crt")),
            certificate_file: Some(shown.path().join("tls.crt")),
            private_key_file: Some(shown.path().join("tls.key")),
            connector_identity: Some(identity.to_owned()),
        },
        // The second opens connections of its own.
        only: vec!["describe/".to_owned(), "transport/".to_owned()],
        ..Options::new(format!("https://{}", connector.address))
    };
    let report = run(options(&ours, CONNECTOR_ID)).await.unwrap();
    report.assert_passed();
    for (shown, identity) in [(&ours, GATEWAY_ID), (&stranger, CONNECTOR_ID)] {
        let refused = run(options(shown, identity)).await.map(|_| ());
        assert!(
            matches!(refused, Err(CannotRun::Unreachable(_))),
            "{refused:?}"
        );
    }
    let plain = Options::new(format!("https://{}", connector.address));
    let refused = run(plain).await.map(|_| ());
    assert!(matches!(refused, Err(CannotRun::Usage(_))), "{refused:?}");
}
