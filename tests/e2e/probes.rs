//! The port of probes and metrics.

use dcr_tests::Http;
use dcr_tests::konnect::application;

use crate::start::gateway_alone;

#[tokio::test]
async fn a_gateway_lives_and_is_ready_without_its_connectors() {
    let gateway = gateway_alone().await;
    for path in ["livez", "readyz"] {
        let answer = Http::new()
            .get(&format!("http://{}/{path}", gateway.probes))
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn konnects_port_has_no_probes_and_the_probes_port_no_konnect() {
    let gateway = gateway_alone().await;
    let konnect = gateway
        .konnect("one")
        .at(&format!("http://{}", gateway.address));
    for path in ["/livez", "/readyz", "/metrics"] {
        let _ = konnect
            .call(http::Method::GET, path, None)
            .await
            .refused(401);
    }
    let answer = Http::new()
        .get(&format!("http://{}/one/c/secrets", gateway.probes))
        .await;
    assert_eq!(answer.unwrap().status, 404);
}

#[tokio::test]
async fn metrics_count_calls_by_operation_and_name_no_client() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let _ = konnect
        .create(&application("ferry-of-metrics"))
        .await
        .refused(503);
    let _ = konnect.list("client-of-metrics").await.refused(503);
    let _ = konnect
        .with_key(None)
        .list("client-of-metrics")
        .await
        .refused(401);
    let _ = konnect
        .call(http::Method::PUT, "/path-of-metrics", None)
        .await
        .refused(405);
    let answer = Http::new()
        .get(&format!("http://{}/metrics", gateway.probes))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let text = answer.text();
    for line in [
        r#"dcr_operations_total{operation="create_client",provider="one",outcome="unavailable"} 1"#,
        r#"dcr_operations_total{operation="list_secrets",provider="one",outcome="unavailable"} 1"#,
        r#"dcr_auth_failures_total{reason="missing_key"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }
    assert!(text.trim_end().ends_with("# EOF"), "OpenMetrics has an end");
    assert!(
        !text.contains("-of-metrics"),
        "a metric holds what a caller sent:\n{text}"
    );
    konnect
        .planted()
        .assert_absent("the page of metrics", &text);
}
