//! Limits: how much a provider may be asked, how much may be taken away there, and who may ask at all.

use std::net::{IpAddr, Ipv4Addr};

use dcr_tests::bridge::new_key;
use dcr_tests::konnect::{application, event, set, verify};
use dcr_tests::raw::Raw;
use dcr_tests::stand_in::dead_port;
use dcr_tests::{Gateway, Konnect, Provider, Reply};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::start::{GATEWAY, bridge_limited};

/// Another peer than that of the tests' other calls.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const ORGANIZATION: &str = "5c0a6a54-6d5c-4d7e-8f0f-0a6d6f1b2c22";

#[tokio::test]
async fn calls_beyond_the_rate_are_429_before_their_body_and_no_other_providers_concern() {
    let limits = "rate_limit: {per_second: 1, burst: 2}";
    let bridge = bridge_limited(&[("one", Some(limits)), ("two", None)], "", "").await;
    let (one, two) = (bridge.provider("one"), bridge.provider("two"));
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        calls.spawn(one.create(&application("ferry")));
        calls.spawn(two.create(&application("ferry")));
    }
    let created = |reply: &Reply| reply.answer.status == 201;
    let (mut made, mut refused) = (0, 0);
    while let Some(reply) = calls.join_next().await {
        match reply.unwrap() {
            reply if created(&reply) => {
                reply.created();
                made += 1;
            }
            reply => {
                let refusal = reply.refused(429);
                assert_eq!(refusal.error, "rate_limited");
                assert_eq!(refusal.retry_after, Some(1));
                refused += 1;
            }
        }
    }
    // All of two's, and of one's the burst and what became due in the meantime.
    assert!(made >= 42 && refused > 0, "{made} made, {refused} refused");
    assert_eq!(bridge.idp().clients().await.len(), made);
    let metrics = bridge.gateway_metrics().await;
    for name in [
        r#"dcr_operations_total{operation="create_client",provider="one",outcome="rate_limited"}"#,
        r#"dcr_shed_total{provider="one",reason="rate_limited"}"#,
    ] {
        let line = format!("{name} {refused}");
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }

    // A body that never comes is not waited for.
    let head = format!(
        "POST /one/ HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: 9\r\n\r\n",
        bridge.gateway.key("one")
    );
    let peers = (0..20).map(async |_| {
        let mut peer = Raw::connect(&bridge.gateway.address.to_string()).await;
        peer.write(head.as_bytes()).await.unwrap();
        peer
    });
    let mut peers: Vec<Raw> = join_all(peers).await;
    let last = peers.last_mut().unwrap();
    let _ = one.check(last.answer().await.unwrap()).refused(429);
}

#[tokio::test]
async fn each_key_has_a_rate_of_its_own() {
    let connector = dead_port();
    let mut provider = Provider::new("one", connector);
    provider.limits = "rate_limit: {per_second: 1, burst: 1}\n".to_owned();
    let mut gateway = Gateway::start(GATEWAY, &[provider.clone()]).await;
    let konnect = gateway.konnect("one");
    // More at once than become due while they are answered.
    let used_up = async || {
        let calls: JoinSet<_> = (0..20).map(|_| konnect.list("c")).collect();
        let replies = calls.join_all().await;
        replies.iter().any(|reply| reply.answer.status == 429)
    };
    assert!(used_up().await);
    let new = new_key();
    provider.keys.push((new.clone(), None));
    gateway.put(&provider);
    assert_eq!(gateway.reload().await["changed"], 1);
    // A thief who has used up one key's rate keeps nobody from calling with the next.
    assert!(used_up().await);
    let _ = konnect.with_key(Some(&new)).list("c").await.refused(503);
}

async fn join_all<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut done = Vec::new();
    for one in all {
        done.push(one.await);
    }
    done
}

/// Calls without a right key, from another peer.
async fn stranger(gateway: &Gateway, konnect: &Konnect, path: &str) -> Reply {
    let mut peer = Raw::connect_from(STRANGER, gateway.address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: key_of_nobody\r\n\r\n");
    peer.write(head.as_bytes()).await.unwrap();
    let reply = konnect.check(peer.answer().await.unwrap());
    assert_eq!(reply.answer.header("connection"), Some("close"));
    peer.hung_up().await.unwrap();
    reply
}

#[tokio::test]
async fn a_strangers_wrong_keys_are_limited_and_shut_nobody_out() {
    let limits = "failed_authentications: {per_minute: 1, burst: 3}\n";
    let providers = [Provider::new("one", dead_port())];
    let mut gateway = Gateway::start_with(GATEWAY, &providers, limits).await;
    let konnect = gateway.konnect("one");
    for path in ["/one/", "/nowhere/", "/one/"] {
        let refusal = stranger(&gateway, &konnect, path).await.refused(401);
        assert_eq!(refusal.error, "unauthorized");
    }
    // Also where there is nothing.
    for path in ["/one/", "/nowhere/"] {
        let refusal = stranger(&gateway, &konnect, path).await.refused(429);
        assert_eq!(refusal.error, "too_many_failures");
        assert!(refusal.retry_after.is_some());
    }
    // A right key passes all the same; the connector is not there.
    let mut peer = Raw::connect_from(STRANGER, gateway.address).await.unwrap();
    let head = format!(
        "GET /one/c/secrets HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n",
        gateway.key("one")
    );
    peer.write(head.as_bytes()).await.unwrap();
    let _ = konnect.check(peer.answer().await.unwrap()).refused(503);
    // Another peer has its own tries.
    let wrong = konnect.with_key(Some("key_of_nobody_either"));
    let _ = wrong.list("c").await.refused(401);

    gateway.process.terminate().await;
    let ended = gateway.process.ended(std::time::Duration::from_secs(15));
    assert!(ended.await.success());
    let denied = |level: &str| {
        let output = gateway.process.output();
        let told = |line: &&str| line.contains("unknown_key") && line.contains(level);
        output.lines().filter(told).count()
    };
    assert_eq!(
        denied(r#""level":"INFO""#),
        3,
        "one from here, two from there"
    );
    assert_eq!(denied(r#""level":"DEBUG""#), 1);
}

#[tokio::test]
async fn a_strangers_ambiguous_heads_are_all_refused_and_not_all_logged() {
    let limits = "failed_authentications: {per_minute: 1, burst: 3}\n";
    let providers = [Provider::new("one", dead_port())];
    let mut gateway = Gateway::start_with(GATEWAY, &providers, limits).await;
    let konnect = gateway.konnect("one");
    for _ in 0..6 {
        let mut peer = Raw::connect_from(STRANGER, gateway.address).await.unwrap();
        let head = "POST /one/ HTTP/1.1\r\nhost: x\r\ncontent-type: a\r\ncontent-type: b\r\n\r\n";
        peer.write(head.as_bytes()).await.unwrap();
        let refusal = konnect.check(peer.answer().await.unwrap()).refused(400);
        assert_eq!(refusal.error, "ambiguous_request");
    }
    // They count with the wrong keys.
    let _ = stranger(&gateway, &konnect, "/one/").await.refused(429);
    gateway.process.terminate().await;
    let ended = gateway.process.ended(std::time::Duration::from_secs(15));
    assert!(ended.await.success());
    let output = gateway.process.output();
    let refused = output.lines().filter(|l| l.contains("ambiguous_request"));
    let (told, kept_back): (Vec<_>, Vec<_>) =
        refused.partition(|line| line.contains(r#""level":"INFO""#));
    assert_eq!((told.len(), kept_back.len()), (3, 3));
}

#[tokio::test]
async fn deletes_and_rotations_beyond_the_brake_are_refused_and_nothing_is_done() {
    let limits = "rate_limit: {per_second: 1000, burst: 1000}\nalarm_per_hour: 2\n\
                  brake: {deletes_per_hour: 2, rotations_per_hour: 1}";
    let bridge = bridge_limited(&[("one", Some(limits)), ("two", None)], "", "").await;
    let (one, two) = (bridge.provider("one"), bridge.provider("two"));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(one.create(&application("ferry")).await.created());
    }
    let [first, second, third] = clients.as_slice() else {
        unreachable!()
    };
    // What is gone already takes nothing away.
    for _ in 0..3 {
        one.delete("never-there").await.gone();
        let _ = one.rotate("never-there").await.refused(404);
    }
    let id = &*third.client_id;
    let rotated = one.rotate(id).await.rotated(id);
    for reply in [one.rotate(id).await, one.remove(id, "s").await] {
        let refusal = reply.refused(429);
        assert_eq!(refusal.error, "braked");
        assert!(refusal.sentence().contains("brake.rotations_per_hour"));
        assert_eq!(refusal.retry_after, Some(60));
    }
    assert!(bridge.tokens().opens(id, &rotated.client_secret).await);

    one.delete(&first.client_id).await.gone();
    // Nor does it set off the alarm, which one more would.
    for _ in 0..3 {
        one.delete("never-there").await.gone();
    }
    one.delete(&second.client_id).await.gone();
    let refusal = one.delete(id).await.refused(429);
    assert_eq!(refusal.error, "braked");
    assert!(refusal.sentence().contains("brake.deletes_per_hour"));
    assert!(bridge.tokens().opens(id, &rotated.client_secret).await);
    // Reading, creating and the other provider go on.
    one.list(id).await.listed(id);
    one.create(&application("ferry")).await.created();
    for _ in 0..3 {
        let client = two.create(&application("ferry")).await.created();
        two.delete(&client.client_id).await.gone();
    }

    let metrics = bridge.gateway_metrics().await;
    for line in [
        r#"dcr_deletes_last_hour{provider="one"} 2"#,
        r#"dcr_rotations_last_hour{provider="one"} 1"#,
        r#"dcr_deletes_and_rotations_alarm{provider="one"} 1"#,
        r#"dcr_deletes_last_hour{provider="two"} 3"#,
        r#"dcr_deletes_and_rotations_alarm{provider="two"} 0"#,
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
    let output = bridge.gateway.process.output();
    let alarms = output.lines().filter(|l| l.contains("alarm_per_hour"));
    assert_eq!(alarms.count(), 1, "the alarm is told once");
}

#[tokio::test]
async fn a_pinned_provider_serves_its_own_organizations_alone() {
    let limits =
        format!("rate_limit: {{per_second: 1000, burst: 1000}}\norganizations: [{ORGANIZATION}]");
    let bridge = bridge_limited(&[("one", Some(&limits))], "", "").await;
    let konnect = bridge.konnect();
    let client = konnect.create(&application("ferry")).await.created();
    let probe = konnect.create(&verify()).await.created();
    konnect.delete(&probe.client_id).await.gone();
    let id = &*client.client_id;
    let before = bridge.idp().clients().await;

    let update = event(
        "update_application",
        id,
        &json!({"application_name": "another", "redirect_uris": []}),
    );
    let register = event("add_registration", id, &json!({"api_id": "a"}));
    for organization in [
        json!("another"),
        json!(null),
        json!(""),
        json!([ORGANIZATION]),
    ] {
        let foreign = |body: &serde_json::Value| {
            let mut body = body.clone();
            set(&mut body, &json!({"organization_id": organization}));
            body
        };
        for reply in [
            konnect.create(&foreign(&application("ferry"))).await,
            konnect.create(&foreign(&verify())).await,
            konnect.hook(id, &foreign(&update)).await,
            konnect.hook(id, &foreign(&register)).await,
        ] {
            let refusal = reply.refused(400);
            assert_eq!(refusal.error, "organization_not_served", "{organization}");
        }
    }
    assert_eq!(bridge.idp().clients().await, before);
    // Its own pass, and so does what names none: those calls have no body.
    konnect.hook(id, &update).await.heard();
    konnect.list(id).await.listed(id);
    konnect.rotate(id).await.rotated(id);
    konnect
        .call(Method::DELETE, &format!("/{id}"), None)
        .await
        .gone();
}
