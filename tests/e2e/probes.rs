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

/// The series of a page of metrics.
fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test]
async fn the_number_of_series_does_not_grow_with_what_strangers_and_konnect_send() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let page = format!("http://{}/metrics", gateway.probes);
    let odd = async |number: usize| {
        let id = format!("c-{number}");
        for (method, path) in [
            ("GET", format!("/{id}/secrets")),
            ("DELETE", format!("/{id}/secrets/s-{number}")),
            ("POST", format!("/{id}/event-hook")),
            ("POST", format!("/{id}/odd-{number}")),
            (&*format!("ODD{number}"), format!("/{id}")),
        ] {
            let method = http::Method::from_bytes(method.as_bytes()).unwrap();
            let mut body = application(&id);
            body[format!("odd_{number}")] = number.into();
            body["event_type"] = format!("odd_{number}").into();
            let _ = konnect.call(method, &path, Some(&body)).await;
        }
        let stranger = konnect.with_key(Some(&format!("key_of_stranger_{number}")));
        let _ = stranger.list(&id).await.refused(401);
        let nowhere = konnect.at(&format!("http://{}/nowhere-{number}", gateway.address));
        let _ = nowhere.list(&id).await.refused(401);
    };
    odd(0).await;
    let before = Http::new().get(&page).await.unwrap().text();
    for number in 1..40 {
        odd(number).await;
    }
    let after = Http::new().get(&page).await.unwrap().text();
    assert_eq!(series(&before), series(&after), "{after}");
    assert!(series(&after) < 300, "{}", series(&after));
    for name in [
        "rpc_client_call_duration_seconds_count{provider=\"one\",rpc=\"ListClientSecrets\",code=\"UNAVAILABLE\"",
        "dcr_inflight{provider=\"one\"} 0",
        "dcr_retries_total{provider=\"one\"}",
        "dcr_api_key_last_used_timestamp_seconds{provider=\"one\",key_id=",
        "dcr_build_info{version=",
    ] {
        assert!(after.contains(name), "{name} is not in\n{after}");
    }
}
