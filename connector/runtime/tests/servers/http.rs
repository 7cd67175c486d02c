//! The HTTP server, by plain sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::peer::{LONG, PREFACE, Peer, closed_port, listener, mute_peers, soon, start};
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Extension, Router};
use dcr_runtime::Shutdown;
use dcr_runtime::http::{AmbiguousLength, HangUp, Limits, serve};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const SHORT: Duration = Duration::from_millis(100);

/// No limit that a test could meet unasked.
fn lax() -> Limits {
    Limits {
        header_read: LONG,
        idle: LONG,
        last_request: Duration::from_millis(500),
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
            .route(
                "/length",
                post(|length: Option<Extension<AmbiguousLength>>| async move {
                    if length.is_some() {
                        "ambiguous"
                    } else {
                        "clear"
                    }
                }),
            )
            .route("/last", get(|| async { (Extension(HangUp), "last") }))
            .route("/slow", get(slow));
        let task = {
            let shutdown = shutdown.clone();
            start(async move { serve(listener, router, limits, None, &shutdown).await })
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
async fn a_request_on_a_kept_connection_is_answered_at_the_end_and_told_that_it_is_the_last() {
    let server = Server::start(lax()).await;
    let mut peer = server.peer().await;
    assert!(!peer.get("/").await.contains("connection: close"));
    server.shutdown.stop();
    closed_port(server.address).await;
    let last = peer.get("/").await;
    assert!(last.contains("connection: close"), "{last}");
    assert!(last.ends_with("here"), "{last}");
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

#[tokio::test]
async fn a_peer_that_says_nothing_makes_room_for_its_own_next_connection() {
    let server = Server::start(Limits {
        headless_per_peer: 2,
        ..lax()
    })
    .await;
    let mut asked = server.peer().await;
    assert!(asked.get("/").await.ends_with("here"));
    let mut oldest = server.peer().await;
    oldest.send(b"GET / HTTP/1.1\r\nHost: h").await;
    let [mut second, _third] = mute_peers(server.address).await;
    oldest.closed().await;
    assert!(second.is_left_alone_for(SHORT).await);
    assert!(asked.get("/").await.ends_with("here"));
    // What has sent its head takes no place.
    assert!(second.get("/").await.ends_with("here"));
    let mut fourth = server.peer().await;
    assert!(fourth.is_left_alone_for(SHORT).await);
    fourth.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert!(fourth.answer().await.ends_with("here"));
}

#[tokio::test]
async fn a_burst_of_connections_that_ask_at_once_crowds_nobody_out() {
    let server = Server::start(Limits {
        headless_per_peer: 1,
        ..lax()
    })
    .await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(server.peer().await);
    }
    for peer in &mut peers {
        assert!(peer.get("/").await.ends_with("here"));
    }
}

#[tokio::test]
async fn a_length_told_in_two_ways_is_noticed() {
    use tokio::io::AsyncWriteExt as _;
    let server = Server::start(lax()).await;
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (five, chunk) = ("abcde", "5\r\nabcde\r\n0\r\n\r\n");
    let ask = |lines: &[&str], body: &str| {
        let lines = lines.concat();
        format!("POST /length HTTP/1.1\r\nHost: here\r\n{lines}\r\n{body}")
    };
    for both in [
        ask(&[length, chunked], chunk),
        ask(&[chunked, length], chunk),
        ask(&["CONTENT-LENGTH:5\r\n", "X-A: b\r\n", chunked], chunk),
    ] {
        let mut peer = server.peer().await;
        // Also when it is not the connection's first request.
        for clear in [ask(&[length], five), ask(&[chunked], chunk)] {
            peer.send(clear.as_bytes()).await;
            assert!(peer.answer().await.ends_with("clear"), "{clear}");
        }
        // And when the head arrives in pieces.
        for piece in both.as_bytes().chunks(7) {
            peer.0.write_all(piece).await.unwrap();
            peer.0.flush().await.unwrap();
        }
        assert!(peer.answer().await.ends_with("ambiguous"), "{both}");
        peer.closed().await;
    }
}

#[tokio::test]
async fn a_connection_can_be_hung_up_after_an_answer() {
    let server = Server::start(lax()).await;
    let mut peer = server.peer().await;
    assert!(peer.get("/").await.ends_with("here"));
    let last = peer.get("/last").await;
    assert!(last.contains("connection: close\r\n") && last.ends_with("last"));
    peer.closed().await;
    // HTTP/2: GET /last, by indices of HPACK's static table but for the path and the authority.
    let mut peer = server.peer().await;
    let headers = b"\x82\x86\x04\x05/last\x41\x04here";
    let frame = [&[0, 0, 15, 1, 5, 0, 0, 0, 1], headers.as_slice()].concat();
    peer.send(&[PREFACE, &frame].concat()).await;
    peer.closed().await;
}
