//! A connector reached over gRPC, against peers that break off in every way.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod peer;

use std::time::Duration;

use dcr_contract::model::{
    Call, Caller, ClientId, Deadline, Deletion, Installation, OperationId, ProviderId, Reference,
};
use dcr_contract::{Connector, ConnectorAddress, Fault, FaultKind, Outcome, Reason, Remote};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::peer::{Act, CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, Peer, REFUSED_STREAM};

fn remote(address: std::net::SocketAddr) -> Remote {
    let address = ConnectorAddress::parse(&format!("http://{address}")).unwrap();
    Remote::new(&address, None).unwrap()
}

/// One call with a new operation id.
async fn delete(remote: &Remote, within: Duration) -> Result<Deletion, Fault> {
    let call = Call {
        caller: Caller {
            installation: Installation::parse("test").unwrap(),
            provider_id: ProviderId::parse("p").unwrap(),
        },
        deadline: Deadline::after(within),
        reference: Reference::generate(),
    };
    let id = ClientId::parse("c").unwrap();
    remote
        .delete_client(&call, OperationId::generate(), &id)
        .await
}

const AMPLE: Duration = Duration::from_secs(8);

#[track_caller]
fn assert_not_reached(fault: &Fault) {
    assert!(
        matches!(fault.kind(), FaultKind::Unavailable { .. }),
        "{fault}"
    );
    assert_eq!(
        (fault.done(), fault.why()),
        (Outcome::NotApplied, Reason::Unreachable)
    );
}

#[tokio::test]
async fn what_the_peer_did_not_begin_is_sent_once_more() {
    for act in [
        Act::Reset(REFUSED_STREAM),
        Act::GoAwayBelow(NO_ERROR),
        Act::GoAwayBelow(ENHANCE_YOUR_CALM),
    ] {
        let peer = Peer::new(&[act, Act::Answer]).await;
        let remote = remote(peer.address);
        let deletion = delete(&remote, AMPLE).await;
        assert_eq!(deletion.unwrap(), Deletion::Deleted, "{act:?}");
        assert_eq!(
            (peer.requests(), remote.state().retried_calls),
            (2, 1),
            "{act:?}"
        );
        assert_eq!(peer.connections(), 2, "{act:?}: not another channel");
    }
}

#[tokio::test]
async fn what_the_peer_never_begins_is_given_up_after_the_second_time() {
    let peer = Peer::new(&[Act::Reset(REFUSED_STREAM)]).await;
    let remote = remote(peer.address);
    assert_not_reached(&delete(&remote, AMPLE).await.unwrap_err());
    assert_eq!(peer.requests(), 2);
}

#[tokio::test]
async fn a_call_outlives_the_end_of_the_connections_of_all_channels() {
    let end = Act::GoAwayBelow(NO_ERROR);
    let peer = Peer::new(&[end, end, end, end, Act::Answer]).await;
    let remote = remote(peer.address);
    let deletion = delete(&remote, AMPLE).await;
    assert_eq!(deletion.unwrap(), Deletion::Deleted);
    assert_eq!((peer.requests(), peer.connections()), (5, 5));
    assert_eq!(remote.state().retried_calls, 4);

    peer.act(&[end]);
    assert_not_reached(&delete(&remote, AMPLE).await.unwrap_err());
    assert_eq!(peer.requests(), 10, "it is given up");
}

#[tokio::test]
async fn what_the_peer_may_have_begun_is_never_sent_again() {
    for act in [
        Act::Reset(CANCEL),
        Act::Reset(NO_ERROR),
        Act::GoAwayAboveThenClose,
        Act::Close,
        Act::ProxyStatus,
    ] {
        let peer = Peer::new(&[act, Act::Answer]).await;
        let remote = remote(peer.address);
        let fault = delete(&remote, AMPLE).await.unwrap_err();
        assert_eq!(
            (fault.kind(), fault.done()),
            (&FaultKind::TimedOut, Outcome::Unknown),
            "{act:?}"
        );
        assert_eq!(
            (peer.requests(), remote.state().retried_calls),
            (1, 0),
            "{act:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_waits_on_a_connection_that_ends_is_sent_on_another() {
    // One call at a time: what else is on the connection waits, and the end of the connection finds it waiting.
    let peer = Peer::with_streams(&[Act::Answer], 1).await;
    let remote = remote(peer.address);
    while peer.connections() < 4 {
        delete(&remote, AMPLE).await.unwrap();
    }
    peer.act(&[Act::Close, Act::Close, Act::Close, Act::Close, Act::Answer]);
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let remote = remote.clone();
        calls.spawn(async move { delete(&remote, AMPLE).await });
    }
    let ends = calls.join_all().await;
    let done = ends.iter().filter(|end| end.is_ok()).count();
    assert!(!peer.saw_one_twice());
    assert!(remote.state().retried_calls > 0);
    // On each connection one call was begun, and all others waited.
    assert_eq!(done, 28, "{ends:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_told_as_such_and_tried_twice() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let remote = remote(socket.local_addr().unwrap());
    let fault = delete(&remote, AMPLE).await.unwrap_err();
    assert_not_reached(&fault);
    assert!(fault.to_string().contains("Connection refused"), "{fault}");
    assert_eq!(remote.state().retried_calls, 1);
}

/// Nobody accepts, and the queue of those who want in is full: further ones are not even refused.
async fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queue.push(waiting);
    }
    (full, queue)
}

#[tokio::test]
async fn calls_that_wait_for_a_connection_that_cannot_be_made_are_given_up_together() {
    let (full, _queue) = full().await;
    let remote = remote(full.local_addr().unwrap());
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let remote = remote.clone();
        calls.spawn(async move { delete(&remote, AMPLE).await });
    }
    for end in calls.join_all().await {
        assert_not_reached(&end.unwrap_err());
    }
}

#[tokio::test]
async fn a_call_whose_time_ends_before_there_is_a_connection_was_never_sent() {
    let (full, _queue) = full().await;
    let remote = remote(full.local_addr().unwrap());
    // Less than a connection may take.
    let fault = delete(&remote, Duration::from_millis(800)).await;
    assert_not_reached(&fault.unwrap_err());
}

#[tokio::test]
async fn a_call_whose_time_ends_before_its_connection_has_room_for_it_was_never_sent() {
    let peer = Peer::with_streams(&[Act::Answer], 1).await;
    let remote = remote(peer.address);
    while peer.connections() < 4 {
        delete(&remote, AMPLE).await.unwrap();
    }
    let before = peer.requests();
    peer.act(&[Act::Silence]);
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let remote = remote.clone();
        calls.spawn(async move { delete(&remote, Duration::from_millis(1500)).await });
    }
    let mut unknown = 0;
    for end in calls.join_all().await {
        let fault = end.unwrap_err();
        if fault.done() == Outcome::Unknown {
            unknown += 1;
        } else {
            assert_not_reached(&fault);
        }
    }
    // One on each connection, and on those that took their place.
    assert!((4..=16).contains(&unknown), "{unknown}");
    assert!(peer.requests() - before <= unknown, "one was sent");
}

#[tokio::test]
async fn a_peer_that_ends_every_connection_is_asked_what_it_is_only_once_in_a_while() {
    let peer = Peer::hanging_up().await;
    let remote = remote(peer.address);
    let mut keeping = JoinSet::new();
    keeping.spawn(remote.keep_described());
    delete(&remote, AMPLE).await.unwrap_err();
    tokio::time::pause();
    // Ample time for hundreds of connections, none of it by the clock.
    for _ in 0..50_000 {
        tokio::task::yield_now().await;
    }
    let before = peer.connections();
    assert!((2..=16).contains(&before), "{before}");
    // Nor is it forgotten.
    pass(61).await;
    assert!(peer.connections() > before);
    assert!(
        peer.connections() <= before + 61 * 8,
        "{}",
        peer.connections()
    );
}

#[tokio::test]
async fn a_connector_is_asked_what_it_is_once_a_minute() {
    let peer = Peer::new(&[Act::Answer]).await;
    let remote = remote(peer.address);
    while peer.connections() < 4 {
        delete(&remote, AMPLE).await.unwrap();
    }
    let calls = peer.requests();
    let mut keeping = JoinSet::new();
    keeping.spawn(remote.keep_described());
    // Each new connection is asked at once.
    while peer.requests() < calls + 4 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let before = peer.requests();
    pass(200).await;
    let asked = peer.requests() - before;
    // Once more where a connection was made anew meanwhile.
    assert!((3..=5).contains(&asked), "{asked} times in 200 seconds");
}

/// Lets seconds pass by the clock of the tests, and everybody do what there is to do.
async fn pass(seconds: u32) {
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
        // Sockets are looked at every now and then only.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_channel_on_which_nobody_answers_twice_is_replaced() {
    let peer = Peer::new(&[Act::Silence]).await;
    let remote = remote(peer.address);
    let within = Duration::from_millis(700);
    // Five calls cannot miss two in a row on one of four channels, unless they answer.
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let remote = remote.clone();
        calls.spawn(async move { delete(&remote, within).await });
    }
    for end in calls.join_all().await {
        let fault = end.unwrap_err();
        assert_eq!(
            (fault.kind(), fault.done()),
            (&FaultKind::TimedOut, Outcome::Unknown)
        );
    }
    let state = remote.state();
    assert!(state.replaced_channels >= 1, "{state:?}");
    assert_eq!(state.in_flight, [0; 4]);
    assert!(!peer.saw_one_twice());
}

#[tokio::test]
async fn calls_spread_evenly_over_all_channels() {
    const CALLS: usize = 400;
    let peer = Peer::with_streams(&[Act::Silence], 1_000).await;
    let remote = remote(peer.address);
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let remote = remote.clone();
        calls.spawn(async move { delete(&remote, Duration::from_mins(1)).await });
    }
    while peer.requests() < CALLS {
        tokio::task::yield_now().await;
    }
    let in_flight = remote.state().in_flight;
    assert_eq!(in_flight.iter().sum::<usize>(), CALLS);
    // By pure lot 2 of 100 runs would be so even.
    assert!(
        in_flight.iter().all(|calls| calls.abs_diff(100) <= 4),
        "{in_flight:?}"
    );
    assert_eq!(peer.connections(), 4);
    drop(calls);
    while remote.state().in_flight != [0; 4] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_replaced_after_its_time() {
    let peer = Peer::new(&[Act::Answer]).await;
    let remote = remote(peer.address);
    assert_eq!(remote.state().replaced_channels, 0);
    tokio::time::advance(Duration::from_secs(331)).await;
    for _ in 0..8 {
        // The clock is our own: the peer answers at once by any clock.
        let _any = delete(&remote, Duration::from_hours(1)).await;
    }
    assert!((1..=4).contains(&remote.state().replaced_channels));
}
