//! The HTTP server, by plain sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::peer::{LONG, Peer, closed_port, listener, mute_peers, soon, start};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use dcr_runtime::Shutdown;
use dcr_runtime::http::{Limits, serve};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const SHORT: Duration = Duration::from_millis(100);

/// No limit that a test could meet unasked.
fn lax() -> Limits {
    Limits {
        header_read: LONG,
        idle: LONG,
        drain: LONG,
        ping_interval: LONG,
        ping_timeout: LONG,
        ..Limits::default()
    }
}

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    /// A call of `/slow` has begun.
    begun: Arc<Notify>,
    /// It may end.
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
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route(
                "/peer",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
            )
            .route("/slow", get(slow));
        let task = {
            let shutdown = shutdown.clone();
            start(async move { serve(listener, router, limits, &shutdown).await })
        };
        Self {
            address,
            shutdown,
            begun,
            release,
            task,
        }
    }

    async fn peer(&self) -> Peer {
        Peer::connect(self.address).await
    }

    async fn ends(self) {
        soon("the server's end", self.task).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_that_dribbles_in_is_cut_after_the_header_timeout() {
    let server = Server::start(Limits {
        header_read: SHORT,
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    let since = Instant::now();
    peer.send(b"GET / HTTP/1.1\r\nX-Long: ").await;
    let (mut read, mut write) = peer.0.split();
    let dribble = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if tokio::io::AsyncWriteExt::write_all(&mut write, b"a")
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        }
    };
    let end = async { tokio::io::copy(&mut read, &mut tokio::io::sink()).await };
    soon("the connection's end", async {
        tokio::select! {
            () = dribble => {}
            _ended = end => {}
        }
    })
    .await;
    assert!(since.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_peer_that_never_asks_is_cut_after_the_header_timeout() {
    let server = Server::start(Limits {
        header_read: SHORT,
        ..lax()
    })
    .await;
    for mut peer in mute_peers(server.address).await {
        peer.closed().await;
    }
}

#[tokio::test]
async fn a_connection_that_has_asked_may_be_idle_for_longer_than_the_header_timeout() {
    let server = Server::start(Limits {
        header_read: SHORT,
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    assert!(peer.get("/").await.ends_with("here"));
    assert!(peer.is_left_alone_for(SHORT * 8).await);
    assert!(peer.get("/").await.ends_with("here"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let server = Server::start(Limits {
        idle: SHORT,
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    assert!(peer.get("/").await.ends_with("here"));
    peer.closed().await;
}

#[tokio::test]
async fn a_slow_handler_is_not_idleness() {
    let server = Server::start(Limits {
        header_read: SHORT,
        idle: SHORT,
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    peer.ask("GET", "/slow").await;
    assert!(peer.is_left_alone_for(SHORT * 8).await);
    server.release.notify_one();
    assert!(peer.answer().await.ends_with("slow"));
}

#[tokio::test]
async fn peers_that_say_nothing_do_not_hold_up_the_drain() {
    let server = Server::start(lax()).await;
    let _mute = mute_peers(server.address).await;
    let mut idle = server.peer().await;
    assert!(idle.get("/").await.ends_with("here"));
    server.shutdown.stop();
    server.ends().await;
}

#[tokio::test]
async fn a_request_in_flight_at_the_end_is_answered() {
    let server = Server::start(lax()).await;
    let mut peer = server.peer().await;
    peer.ask("GET", "/slow").await;
    soon("the call's begin", server.begun.notified()).await;
    server.shutdown.stop();
    closed_port(server.address).await;
    // Longer than a connection without a request in flight is given.
    assert!(peer.is_left_alone_for(Duration::from_secs(1)).await);
    server.release.notify_one();
    assert!(peer.answer().await.ends_with("slow"));
    server.ends().await;
}

#[tokio::test]
async fn a_request_that_outlives_the_drain_is_cut() {
    let server = Server::start(Limits {
        drain: SHORT,
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    peer.ask("GET", "/slow").await;
    soon("the call's begin", server.begun.notified()).await;
    server.shutdown.stop();
    assert_eq!(peer.answer().await, "");
    server.ends().await;
}

#[tokio::test]
async fn peers_beyond_the_cap_wait_for_a_slot() {
    let server = Server::start(Limits {
        connections: 1,
        ..lax()
    })
    .await;
    let mut first = server.peer().await;
    assert!(first.get("/").await.ends_with("here"));
    let mut second = server.peer().await;
    second.ask("GET", "/").await;
    assert!(second.is_left_alone_for(SHORT * 3).await);
    assert!(first.get("/").await.ends_with("here"));
    drop(first);
    assert!(second.answer().await.ends_with("here"));
}

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let server = Server::start(lax()).await;
    let mut peer = server.peer().await;
    let own = peer.0.local_addr().unwrap().to_string();
    assert!(peer.get("/peer").await.ends_with(&own));
}

#[tokio::test]
async fn an_aged_connection_answers_what_is_in_flight_and_closes() {
    let server = Server::start(Limits {
        max_age: Some(SHORT),
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    peer.ask("GET", "/slow").await;
    assert!(peer.is_left_alone_for(SHORT * 8).await);
    server.release.notify_one();
    assert!(peer.answer().await.ends_with("slow"));
    peer.closed().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(Limits {
        head_bytes: 8192,
        ..lax()
    })
    .await;
    let mut peer = server.peer().await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: here\r\nX-Long: {}\r\n\r\n",
        "a".repeat(9000)
    );
    peer.send(head.as_bytes()).await;
    assert!(peer.answer().await.starts_with("HTTP/1.1 431 "));
}
