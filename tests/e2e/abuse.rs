//! Peers that mean harm, from another address than Konnect's: the gateway stays small and serves its other callers.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dcr_tests::Konnect;
use dcr_tests::konnect::application;
use dcr_tests::process::raise_open_files;
use dcr_tests::raw::Raw;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::start::{Bridge, bridge};

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// All places of the gateway, and twice as many peers that wait for one.
const CONNECTIONS: usize = 3 * 1024;
/// Konnect's host gives up after 10 s.
const IN_TIME: Duration = Duration::from_millis(9_500);
/// For all peers to connect once.
const PATIENCE: Duration = Duration::from_mins(1);
const MOST_MEMORY_KIB: u64 = 128 * 1024;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The most memory that the gateway has ever had.
fn most_memory_kib(bridge: &Bridge) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.gateway.process.id()));
    let status = status.expect("a running process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let figure = line.and_then(|line| line.trim().strip_suffix(" kB"));
    figure
        .and_then(|kib| kib.parse().ok())
        .expect("its peak is a figure")
}

fn stays_small(bridge: &Bridge) {
    let kib = most_memory_kib(bridge);
    assert!(kib < MOST_MEMORY_KIB, "the gateway has had {kib} KiB");
}

/// Whether a caller with a new connection is served, in time.
async fn serves(konnect: &Konnect) {
    let began = Instant::now();
    // A clone would share its connections.
    let caller = Konnect::new(konnect.base_url(), konnect.key().unwrap());
    caller.create(&application("ferry")).await.created();
    let took = began.elapsed();
    assert!(took < IN_TIME, "took {took:?}");
}

/// Sends a head that never ends, over and over again.
async fn slow_loris(gateway: SocketAddr, number: usize, connected: Arc<AtomicUsize>) {
    loop {
        let Ok(mut peer) = Raw::connect_from(STRANGER, gateway).await else {
            tokio::task::yield_now().await;
            continue;
        };
        connected.fetch_add(1, Ordering::Relaxed);
        // Some begin HTTP/2, and some say nothing at all.
        let said = match number % 4 {
            0 => peer.write(b"").await,
            1 => peer.write(PREFACE).await,
            _ => peer.write(b"POST /one/ HTTP/1.1\r\nhost: x\r\nx-a: ").await,
        };
        if said.is_ok() {
            let _ = peer.hung_up().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_loris_from_one_address_leaves_room_for_the_others() {
    raise_open_files();
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    // A caller who was there before keeps its connection.
    konnect.create(&application("ferry")).await.created();
    let connected = Arc::<AtomicUsize>::default();
    let mut peers = JoinSet::new();
    for number in 0..CONNECTIONS {
        peers.spawn(slow_loris(
            bridge.gateway.address,
            number,
            Arc::clone(&connected),
        ));
    }
    let all_connected = async {
        while connected.load(Ordering::Relaxed) < CONNECTIONS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_connected)
        .await
        .expect("the gateway takes or refuses each of them");
    for _ in 0..3 {
        serves(&konnect).await;
        konnect.create(&application("ferry")).await.created();
    }
    stays_small(&bridge);
    assert!(
        connected.load(Ordering::Relaxed) > CONNECTIONS,
        "they came back for more"
    );
}

/// What strangers and thieves send. Whether it is refused or hung up on is the gateway's affair.
fn floods(key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let head = |key: &str, more: &str| {
        format!("POST /one/ HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n{more}\r\n").into_bytes()
    };
    let three_mb = vec![b' '; 3 * 1024 * 1024];
    let length = format!("content-length: {}\r\n", three_mb.len());
    let chunked = "transfer-encoding: chunked\r\n";
    let in_chunks = [b"300000\r\n", three_mb.as_slice(), b"\r\n0\r\n\r\n"].concat();
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deeper = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let json = |body: &str| {
        let more = format!("content-length: {}\r\n", body.len());
        [head(key, &more), body.as_bytes().to_vec()].concat()
    };
    let many = "x-a: b\r\n".repeat(20_000);
    let long = format!("x-long: {}\r\n", "a".repeat(3 * 1024 * 1024));
    // A block of headers that never ends, in CONTINUATION frames of 16 KiB (RFC 9113 section 6.10).
    let frame = |kind: u8| {
        [
            &[0, 0x40, 0, kind, 0, 0, 0, 0, 1],
            [0; 16 * 1024].as_slice(),
        ]
        .concat()
    };
    let continued = [PREFACE, &frame(1), &frame(9).repeat(200)].concat();
    vec![
        (
            "a stranger's 3 MB",
            [head("key_of_nobody_at_all", &length), three_mb.clone()].concat(),
        ),
        (
            "a stranger's chunks",
            [head("key_of_nobody_at_all", chunked), in_chunks.clone()].concat(),
        ),
        ("3 MB", [head(key, &length), three_mb].concat()),
        ("3 MB in a chunk", [head(key, chunked), in_chunks].concat()),
        ("20,000 arrays in each other", json(&deep)),
        ("10,000 objects in each other", json(&deeper)),
        ("20,000 headers", head(key, &many)),
        ("a header of 3 MB", head(key, &long)),
        (
            "a path of 3 MB",
            format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(3 * 1024 * 1024)).into_bytes(),
        ),
        ("headers without end over HTTP/2", continued),
    ]
}

/// Sends bytes as far as they are taken, over and over again.
async fn flood(
    gateway: SocketAddr,
    what: &'static str,
    bytes: Arc<Vec<u8>>,
    sent: Arc<AtomicUsize>,
) {
    loop {
        let Ok(mut peer) = Raw::connect_from(STRANGER, gateway).await else {
            tokio::task::yield_now().await;
            continue;
        };
        // The rest of what is hung up on is lost, and so may be the answer.
        if peer.write(&bytes).await.is_ok()
            && let Ok(answer) = peer.answer().await
        {
            assert!(answer.status.is_client_error(), "{what}: {}", answer.status);
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

// The IdP is in this process: it must not wait for whoever writes.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_bodies_and_heads_leave_the_gateway_small_and_serving() {
    // At once, and in all.
    const PEERS: usize = 16;
    const EACH: usize = 64;
    raise_open_files();
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let mut peers = JoinSet::new();
    let mut all_sent = Vec::new();
    for (what, bytes) in floods(bridge.gateway.key("one")) {
        let (bytes, sent) = (Arc::new(bytes), Arc::<AtomicUsize>::default());
        for _ in 0..PEERS {
            let (bytes, sent) = (Arc::clone(&bytes), Arc::clone(&sent));
            peers.spawn(flood(bridge.gateway.address, what, bytes, sent));
        }
        all_sent.push(sent);
    }
    while all_sent
        .iter()
        .any(|sent| sent.load(Ordering::Relaxed) < EACH)
    {
        serves(&konnect).await;
        while let Some(ended) = peers.try_join_next() {
            ended.unwrap();
        }
    }
    peers.abort_all();
    while let Some(ended) = peers.join_next().await {
        assert!(!ended.is_err_and(|error| error.is_panic()));
    }
    stays_small(&bridge);
}
