//! What is refused at the door: paths, methods, bodies and heads that no operation has.

use std::time::Duration;

use dcr_tests::konnect::application;
use dcr_tests::raw::{self, Raw};
use dcr_tests::{Gateway, Konnect, Listening, Provider};
use http::Method;
use http_body_util::Full;
use serde_json::Value;

use crate::start::{gateway, gateway_alone};

/// The head of a request with a key, to be written by hand.
fn head(gateway: &Gateway, line: &str, key: &str, more: &str) -> Vec<u8> {
    let host = gateway.address;
    format!("{line} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\n{more}\r\n").into_bytes()
}

async fn by_hand(gateway: &Gateway, konnect: &Konnect, bytes: &[u8]) -> dcr_tests::Reply {
    let answer = raw::exchange(&gateway.address.to_string(), bytes).await;
    konnect.check(answer.expect("an answer"))
}

#[tokio::test]
async fn an_unknown_path_is_404_and_an_unknown_method_405() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    for path in [
        "/c/",
        "/c/nothing",
        "/c/secrets/",
        "/c/secrets/s/more",
        "/c//secrets",
        "/a/b/c/d/e",
    ] {
        let refusal = konnect.call(Method::POST, path, None).await.refused(404);
        assert_eq!(refusal.error, "no_such_path", "{path}");
    }
    for (path, method, allowed) in [
        ("/", Method::GET, "POST"),
        ("/", Method::DELETE, "POST"),
        ("/c", Method::GET, "DELETE"),
        ("/c", Method::PUT, "DELETE"),
        ("/c/new-secret", Method::GET, "POST"),
        ("/c/event-hook", Method::PUT, "POST"),
        ("/c/secrets", Method::DELETE, "GET, POST"),
        ("/c/secrets/s", Method::GET, "DELETE"),
    ] {
        let reply = konnect.call(method.clone(), path, None).await;
        assert_eq!(
            reply.answer.header("allow"),
            Some(allowed),
            "{method} {path}"
        );
        assert_eq!(reply.refused(405).error, "method_not_allowed");
    }
}

#[tokio::test]
async fn the_key_is_judged_before_the_body_is_read() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let announced = "content-type: application/json\r\ncontent-length: 999999999\r\n";
    // No body ever comes. Whoever waited for it could not answer.
    let stranger = head(&gateway, "POST /one/", "key_of_nobody_at_all", announced);
    let refusal = by_hand(&gateway, &konnect, &stranger).await.refused(401);
    assert_eq!(refusal.error, "unauthorized");
    let known = head(&gateway, "POST /one/", gateway.key("one"), announced);
    let refusal = by_hand(&gateway, &konnect, &known).await.refused(413);
    assert_eq!(refusal.error, "body_too_large");
}

#[tokio::test]
async fn a_body_may_have_64_kib_and_no_byte_more() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let padded = |length: usize| {
        let body = application("a").to_string();
        let spaces = " ".repeat(length - body.len());
        body + &spaces
    };
    for (length, status) in [(64 * 1024, 503), (64 * 1024 + 1, 413)] {
        let request = konnect
            .request(Method::POST, "/")
            .body(Full::from(padded(length)))
            .unwrap();
        let _ = konnect.send(request).await.refused(status);
    }
    // The same without an announced length.
    let mut chunked = head(
        &gateway,
        "POST /one/",
        gateway.key("one"),
        "transfer-encoding: chunked\r\n",
    );
    let body = padded(64 * 1024 + 1);
    chunked.extend_from_slice(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
    let _ = by_hand(&gateway, &konnect, &chunked).await.refused(413);
}

#[tokio::test]
async fn what_is_no_http_does_no_harm() {
    let gateway = gateway_alone().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x-a: b\r\n".repeat(5_000));
    for bytes in [
        b"\0\0\0\0\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /one/ HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /one/ HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"GET /one/a b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /one/\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /one/ HTTP/1.1\r\nhost: x\r\nx-a: \0\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        // The HTTP library answers these by itself, without a body, or hangs up.
        if let Ok(answer) = raw::exchange(&gateway.address.to_string(), bytes).await {
            assert!(answer.status.is_client_error(), "{}", answer.status);
        }
    }
    let _ = gateway
        .konnect("one")
        .create(&application("a"))
        .await
        .refused(503);
}

#[tokio::test]
async fn slow_heads_are_cut_and_slow_bodies_refused() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let began = std::time::Instant::now();
    let slow_head = async {
        let mut connection = Raw::connect(&gateway.address.to_string()).await;
        connection
            .write(b"POST /one/ HTTP/1.1\r\nhost: x\r\nx-a")
            .await
            .unwrap();
        connection.hung_up().await.unwrap();
        began.elapsed()
    };
    let slow_body = async {
        let key = gateway.key("one");
        let request = head(&gateway, "POST /one/", key, "content-length: 10\r\n");
        let refusal = by_hand(&gateway, &konnect, &request).await.refused(400);
        assert_eq!(refusal.error, "body_incomplete");
        began.elapsed()
    };
    let (slow_head, slow_body) = tokio::join!(slow_head, slow_body);
    // 5 s, and the half second in which a connection may end by itself.
    assert!(slow_head < Duration::from_secs(8), "{slow_head:?}");
    assert!(slow_body < Duration::from_secs(9), "{slow_body:?}");
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for body in [
        b"".as_slice(),
        b"null",
        b"[]",
        b"\"text\"",
        b"{",
        b"{\"client_name\":}",
        b"\xff\xfe",
        b"{\"client_name\":\"\xff\"}",
        b"{} {}",
        deep.as_bytes(),
    ] {
        let request = konnect
            .request(Method::POST, "/")
            .header("content-type", "application/json");
        let request = request.body(Full::from(body.to_vec())).unwrap();
        let refusal = konnect.send(request).await.refused(400);
        assert_eq!(refusal.error, "invalid_request");
    }
    let _ = konnect.create(&Value::from(1)).await.refused(400);
}

/// The lines of a head that has what every head must have.
const CLEAR: &[&str] = &["host: x"];

#[tokio::test]
async fn a_head_that_two_readers_could_read_differently_is_refused_and_hung_up_on() {
    let gateway = gateway_alone().await;
    let konnect = gateway.konnect("one");
    let key = format!("x-api-key: {}", gateway.key("one"));
    let json = "content-type: application/json";
    let (length, chunked) = ("content-length: 5", "transfer-encoding: chunked");
    let chunk = "5\r\n{\"a\":\r\n0\r\n\r\n";
    let ask = |lines: &[&str], body: &str| {
        let lines = [lines, &[&*key]].concat().join("\r\n");
        format!("POST /one/ HTTP/1.1\r\n{lines}\r\n\r\n{body}")
    };
    let with = |lines: &[&str], body: &str| ask(&[CLEAR, lines].concat(), body);
    for ambiguous in [
        with(&[length, chunked], chunk),
        with(&[chunked, length], chunk),
        with(&["transfer-encoding: gzip", chunked], chunk),
        with(&[json, json, length], "{\"a\":"),
        with(&["authorization: a", "authorization: b"], ""),
        with(&["host: x"], ""),
        with(&["host: y"], ""),
        ask(&[], ""),
    ] {
        let mut connection = Raw::connect(&gateway.address.to_string()).await;
        connection.write(ambiguous.as_bytes()).await.unwrap();
        let reply = konnect.check(connection.answer().await.unwrap());
        let refusal = reply.refused(400);
        assert_eq!(refusal.error, "ambiguous_request", "{ambiguous}");
        connection.hung_up().await.unwrap();
    }
    // Each of them is right alone: the body is what is wrong with it.
    for clear in [
        with(&[length, json], "{\"a\":"),
        with(&[chunked, json], chunk),
        with(&[length, "authorization: a"], "{\"a\":"),
    ] {
        let refusal = by_hand(&gateway, &konnect, clear.as_bytes()).await;
        assert_eq!(refusal.refused(400).error, "invalid_request", "{clear}");
    }
}

#[tokio::test]
async fn a_connector_gets_no_header_of_konnects() {
    let connector = Listening::open().await;
    let gateway = gateway(&[Provider::new("one", connector.address)]).await;
    let request = gateway.konnect("one").request(Method::GET, "/c/secrets");
    let request = request
        .header("x-planted", "planted")
        .header("authorization", "Bearer planted")
        .header("cookie", "planted=1")
        .header("forwarded", "for=planted")
        .header("x-request-id", "planted")
        .header("baggage", "planted=1")
        .header("traceparent", "planted")
        .header("grpc-timeout", "1H")
        .body(Full::default())
        .unwrap();
    let _ = gateway.konnect("one").send(request).await;
    let heads = connector.heads();
    assert!(
        heads.contains("/dcr.connector.v1.ConnectorService/ListClientSecrets"),
        "{heads}"
    );
    assert!(heads.contains("grpc-timeout"), "{heads}");
    for text in [
        "planted",
        "1H",
        gateway.key("one"),
        "x-api-key",
        "cookie",
        "authorization",
    ] {
        assert!(!heads.contains(text), "{text} is in {heads}");
    }
}
