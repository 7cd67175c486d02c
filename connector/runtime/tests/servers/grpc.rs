//! The gRPC server, by a gRPC client and by plain sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::peer::{LONG, PREFACE, Peer, SOON, closed_port, listener, mute_peers, soon, start};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use dcr_runtime::http::Limits;
use dcr_runtime::{Shutdown, grpc};
use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const NAME: &str = "tests.v1.Nothing";

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    begun: Arc<Notify>,
    release: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let (listener, address) = listener().await;
        let shutdown = Shutdown::new();
        let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
            move || async move {
                begun.notify_one();
                release.notified().await;
                "slow"
            }
        };
        let routes = Routes::from(Router::new().route("/slow", get(slow)).route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        ));
        let task = {
            let shutdown = shutdown.clone();
            start(async move { grpc::serve(listener, routes, NAME, limits, None, &shutdown).await })
        };
        Self {
            address,
            shutdown,
            begun,
            release,
            task,
        }
    }

    async fn ends(self) {
        soon("the server's end", self.task).await.unwrap();
    }

    fn uri(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    async fn health(&self) -> HealthClient<Channel> {
        let endpoint = Endpoint::from(self.uri(""));
        HealthClient::new(soon("a channel", endpoint.connect()).await.unwrap())
    }
}

fn lax() -> Limits {
    Limits {
        header_read: LONG,
        idle: LONG,
        max_age: None,
        drain: LONG,
        ..grpc::limits()
    }
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn http2() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

async fn text(client: &Client<HttpConnector, Body>, uri: Uri) -> String {
    let answer = soon("an answer", client.get(uri)).await.unwrap();
    let body = Body::new(answer.into_body());
    let bytes = axum::body::to_bytes(body, 1024).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn health_tells_that_the_service_serves() {
    let server = Server::start(lax()).await;
    let mut health = server.health().await;
    for name in ["", NAME] {
        let answer = health.check(of(name)).await.unwrap();
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "{name:?}"
        );
    }
    let unknown = health.check(of("tests.v1.Unknown")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn health_tells_that_the_service_stops() {
    let server = Server::start(lax()).await;
    let mut health = server.health().await;
    for name in ["", NAME] {
        let mut news = health.watch(of(name)).await.unwrap().into_inner();
        let first = soon("the first status", news.message())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        if name == NAME {
            server.shutdown.stop();
            let next = soon("the next status", news.message())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(next.status(), ServingStatus::NotServing);
        }
    }
    server.ends().await;
}

#[tokio::test]
async fn peers_that_say_nothing_do_not_hold_up_the_drain() {
    let server = Server::start(lax()).await;
    let _mute = mute_peers(server.address).await;
    let mut health = server.health().await;
    health.check(of("")).await.unwrap();
    server.shutdown.stop();
    server.ends().await;
}

#[tokio::test]
async fn a_peer_that_never_calls_is_cut() {
    let limits = Limits {
        header_read: Duration::from_millis(100),
        ..lax()
    };
    let server = Server::start(limits).await;
    for mut peer in mute_peers(server.address).await {
        peer.closed().await;
    }
}

#[tokio::test]
async fn a_call_in_flight_at_the_end_is_answered() {
    let server = Server::start(lax()).await;
    let client = http2();
    let uri = server.uri("/slow");
    let call = start(async move { text(&client, uri).await });
    soon("the call's begin", server.begun.notified()).await;
    server.shutdown.stop();
    closed_port(server.address).await;
    server.release.notify_one();
    assert_eq!(soon("the answer", call).await.unwrap(), "slow");
    server.ends().await;
}

#[tokio::test]
async fn a_connection_is_replaced_at_its_age_without_a_failed_call() {
    let limits = Limits {
        max_age: Some(Duration::from_millis(50)),
        ..lax()
    };
    let server = Server::start(limits).await;
    let client = http2();
    let mut peers = BTreeSet::new();
    soon("five connections", async {
        while peers.len() < 5 {
            peers.insert(text(&client, server.uri("/peer")).await);
        }
    })
    .await;
}

#[tokio::test]
async fn http_1_is_not_spoken() {
    let server = Server::start(lax()).await;
    let mut peer = Peer::connect(server.address).await;
    peer.ask("GET", "/peer").await;
    peer.closed().await;
}

/// A HEADERS frame of stream 1 that ends it: `GET /peer`, as HPACK (RFC 7541) writes it without Huffman.
fn get_peer() -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, 5];
    block.extend(b"/peer");
    block.extend([0x01, 4]);
    block.extend(b"here");
    let mut frame = vec![
        0,
        0,
        u8::try_from(block.len()).unwrap(),
        0x01,
        0x05,
        0,
        0,
        0,
        1,
    ];
    frame.extend(block);
    frame
}

#[tokio::test]
async fn a_call_that_is_on_its_way_when_its_connection_is_replaced_is_answered() {
    const GOAWAY: u8 = 0x07;
    const HEADERS: u8 = 0x01;
    let limits = Limits {
        max_age: Some(Duration::from_millis(50)),
        ping_timeout: SOON,
        ..lax()
    };
    let server = Server::start(limits).await;
    let mut peer = Peer::connect(server.address).await;
    peer.send(PREFACE).await;
    soon("GOAWAY", peer.frame(GOAWAY)).await;
    // It is read by a peer that is far away, and knows nothing yet; the time is what this is about.
    tokio::time::sleep(Duration::from_secs(1)).await;
    peer.send(&get_peer()).await;
    soon("an answer", peer.frame(HEADERS)).await;
}
