//! Traces: one from Konnect's call to the IdP's, over both processes, without what must not be in it.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use dcr_tests::collector::{Collector, Span};
use dcr_tests::http::Http;
use dcr_tests::konnect::application;
use dcr_tests::small_idp::CLIENTS;
use dcr_tests::{Folder, Gateway, Mishap, Process};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::start::{Bridge, GATEWAY, bridge_with};

/// A bridge whose two processes send their traces, and the gateway of the two that does.
async fn traced() -> (Collector, Bridge, Gateway) {
    let collector = Collector::start().await;
    let yaml = collector.yaml();
    let bridge = bridge_with(&["one"], "", &yaml).await;
    let more = format!("{yaml}audit: {{stdout: true}}\n");
    let gateway = Gateway::start_with(GATEWAY, bridge.gateway.providers(), &more).await;
    (collector, bridge, gateway)
}

/// Ends the processes, which send their last spans then.
async fn end(bridge: &mut Bridge, gateway: &mut Gateway) {
    gateway.process.terminate().await;
    assert!(
        gateway
            .process
            .ended(Duration::from_secs(15))
            .await
            .success()
    );
    bridge.end().await;
}

#[track_caller]
fn one<'s>(spans: &'s [Span], what: &str, wanted: impl Fn(&Span) -> bool) -> &'s Span {
    let found: Vec<_> = spans.iter().filter(|span| wanted(span)).collect();
    assert_eq!(found.len(), 1, "{what} in {spans:#?}");
    found.first().unwrap()
}

const CREATE: &str = "dcr.connector.v1.ConnectorService/CreateClient";

/// Whether the audit log's line of a client names the trace.
#[track_caller]
fn audited_as(output: &str, client_id: &str, trace: &str) {
    let of_client = |line: &&str| line.contains("\"chain\"") && line.contains(client_id);
    let audited = output.lines().find(of_client);
    let trace_id = format!("\"trace_id\":\"{trace}\"");
    assert!(audited.unwrap().contains(&trace_id), "{audited:?}");
}

#[tokio::test]
async fn a_call_is_one_trace_over_both_processes_down_to_the_idp() {
    let (collector, mut bridge, mut gateway) = traced().await;
    let konnect = gateway.konnect("one");
    let konnects = "0af7651916cd43dd8448eb211c80319c";
    let request = konnect
        .request(Method::POST, "/")
        .header("content-type", "application/json")
        .header("traceparent", format!("00-{konnects}-b7ad6b7169203331-01"))
        .header("baggage", "user=planted-in-baggage")
        .body(Full::from(application("ferry-of-traces").to_string()));
    let client = konnect.send(request.unwrap()).await.created();
    konnect
        .list(&client.client_id)
        .await
        .listed(&client.client_id);
    let _ = konnect.rotate("absent-client").await.refused(404);
    end(&mut bridge, &mut gateway).await;

    let spans = collector.spans();
    let call = one(&spans, "Konnect's create", |span| span.name == "POST /");
    assert_eq!((call.kind, &*call.service), ("server", "dcr-gateway"));
    assert_eq!(call.parent, "", "Konnect's trace is no parent");
    assert_eq!(call.links, [konnects]);
    assert_ne!(call.trace, konnects);
    audited_as(&gateway.process.output(), &client.client_id, &call.trace);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/"),
        ("http.response.status_code", "201"),
        ("dcr.provider", "one"),
        ("dcr.operation", "create_client"),
        ("dcr.outcome", "ok"),
    ] {
        assert_eq!(call.attribute(name), Some(value), "{name}");
    }
    let child = |of: &Span, kind: &str| {
        one(&spans, "a child", |span| {
            span.parent == of.id && span.kind == kind
        })
    };
    let sent = child(call, "client");
    assert_eq!((&*sent.name, &*sent.service), (CREATE, "dcr-gateway"));
    let answered = child(sent, "server");
    assert_eq!(
        (&*answered.name, &*answered.service),
        (CREATE, "dcr-connector-memory")
    );
    for span in [sent, answered] {
        assert_eq!(span.attribute("rpc.system.name"), Some("grpc"));
        assert_eq!(span.attribute("rpc.method"), Some(CREATE));
        assert_eq!(span.attribute("rpc.response.status_code"), Some("OK"));
        assert_eq!(
            span.attribute("dcr.operation_id"),
            call.attribute("dcr.operation_id")
        );
        assert!(!span.failed);
    }
    let asked = spans.iter().filter(|span| span.parent == answered.id);
    let created = asked
        .filter(|span| span.attribute("http.response.status_code") == Some("201"))
        .collect::<Vec<_>>();
    assert_eq!(created.len(), 1, "{spans:#?}");
    let created = created[0];
    assert_eq!((created.kind, &*created.name), ("client", "POST"));
    assert_eq!(created.attribute("server.address"), Some("127.0.0.1"));
    assert!(
        spans
            .iter()
            .all(|span| span.trace == call.trace || span.parent != created.id)
    );
    for span in [sent, answered, created] {
        assert_eq!(span.trace, call.trace);
    }
    one(&spans, "a list", |span| {
        span.name == "GET /{clientId}/secrets"
    });
    let refused = one(&spans, "a refusal", |span| {
        span.service == "dcr-connector-memory"
            && span.attribute("rpc.response.status_code") == Some("NOT_FOUND")
    });
    assert!(refused.failed);

    for exchange in bridge.proxy.seen() {
        for header in ["traceparent", "tracestate", "baggage"] {
            let sent = exchange.request_headers.contains_key(header);
            assert!(!sent, "{header} went to the IdP");
        }
    }
    let text = collector.text();
    let planted = bridge.planted();
    planted.extend(konnect.planted());
    planted.plant("a client's id", &client.client_id);
    planted.plant("a client's id", "absent-client");
    planted.plant("an application's name", "ferry-of-traces");
    planted.plant("baggage", "planted-in-baggage");
    planted.assert_absent("the traces", &text);
    assert!(
        text.contains("create_client"),
        "the search would find nothing"
    );
}

#[tokio::test]
async fn what_is_undone_later_has_a_trace_of_its_own_linked_to_the_call() {
    let (collector, mut bridge, mut gateway) = traced().await;
    let lost = Mishap::AfterCommit(
        StatusCode::INTERNAL_SERVER_ERROR,
        HeaderMap::new(),
        Bytes::from(json!({"error": "server_error"}).to_string()),
    );
    bridge.proxy.spoil(Method::POST, CLIENTS, lost);
    let reply = gateway.konnect("one").create(&application("ferry")).await;
    assert!(reply.answer.status.is_server_error());
    bridge.nothing_left().await;
    end(&mut bridge, &mut gateway).await;

    let spans = collector.spans();
    let call = one(&spans, "Konnect's create", |span| span.name == "POST /");
    assert!(call.failed);
    for service in ["dcr-gateway", "dcr-connector-memory"] {
        let undo = one(&spans, "an undo", |span| {
            span.name == "undo" && span.service == service && span.links.contains(&call.trace)
        });
        assert_eq!(undo.parent, "");
        assert_ne!(undo.trace, call.trace);
    }
    let undo = one(&spans, "the gateway's undo", |span| {
        span.name == "undo" && span.service == "dcr-gateway"
    });
    let aborts = spans
        .iter()
        .filter(|span| span.name.ends_with("/AbortOperation"));
    let traces: Vec<_> = aborts.map(|span| &*span.trace).collect();
    assert_eq!(traces, [&*undo.trace, &*undo.trace], "client and server");
}

#[tokio::test]
async fn nothing_is_sent_to_a_collector_that_the_environment_says() {
    let collector = Collector::start().await;
    let folder = Folder::new();
    let yaml = "installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\n".to_owned();
    let _ = folder.write("gateway.yaml", &(yaml + &collector.yaml()));
    let variable = "OTEL_EXPORTER_OTLP_HEADERS";
    let arguments = [
        OsStr::new("-c"),
        OsStr::new(
            "export OTEL_EXPORTER_OTLP_HEADERS=authorization=planted; exec \"$0\" serve --config \"$1\"",
        ),
        OsStr::new(GATEWAY),
        folder.path().as_os_str(),
    ];
    let mut process = Process::start("sh", &arguments);
    assert!(!process.ended(Duration::from_secs(15)).await.success());
    let output = process.output();
    assert!(
        output.contains(variable) && !output.contains("planted"),
        "{output}"
    );
}

#[tokio::test]
async fn no_proxy_of_the_environment_sees_traces() {
    let (collector, proxy) = (Collector::start().await, Collector::start().await);
    let folder = Folder::new();
    let proxied = format!(
        "#!/bin/sh\nhttp_proxy=http://{0} ALL_PROXY=http://{0} exec \"{GATEWAY}\" \"$@\"\n",
        proxy.address()
    );
    let program = folder.write("gateway", &proxied);
    fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    let mut gateway = Gateway::start_with(&program, &[], &collector.yaml()).await;
    let url = format!("http://{}/", gateway.address);
    let answer = Http::new().get(&url).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    gateway.process.terminate().await;
    let ended = gateway.process.ended(Duration::from_secs(15)).await;
    assert!(ended.success());
    assert!(proxy.spans().is_empty());
    assert!(!collector.spans().is_empty());
}
