//! What a caller over HTTP/2 has the room to take, and what it never took.

use std::net::SocketAddr;

use dcr_runtime::http::{Limits, serve};
use h2::client::{Builder, SendRequest};
use http::{Response, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;

/// The bytes of the answer to a create.
const LENGTH: u32 = 47;

impl Bridge {
    /// Serves the router on a socket until the bridge stops.
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (router, shutdown) = (self.router.clone(), self.shutdown.clone());
        self.shutdown.tracker().spawn(async move {
            serve(listener, router, Limits::default(), None, &shutdown).await;
        });
        address
    }
}

/// A caller that has room for so many bytes of each answer, and whose connection ends with the set.
async fn caller(to: SocketAddr, room: u32, connections: &mut JoinSet<()>) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(to).await.unwrap();
    let mut builder = Builder::new();
    builder.initial_window_size(room);
    let (caller, connection) = builder.handshake(stream).await.unwrap();
    connections.spawn(async move {
        let _ended = connection.await;
    });
    caller.ready().await.unwrap()
}

/// The head of the answer to a create; its body has as much room as the caller gave.
async fn create(caller: &mut SendRequest<Bytes>) -> Response<h2::RecvStream> {
    let request = Request::post("http://bridge.example/a")
        .version(Version::HTTP_2)
        .header(HEADER, KEY);
    let (answer, mut body) = caller
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let json = Bytes::from_static(br#"{"client_name":"x"}"#);
    body.send_data(json, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    answer
}

#[tokio::test]
async fn an_answer_that_there_was_no_room_for_is_undone() {
    let mut bridge = Bridge::start().await;
    let address = bridge.listen().await;
    for room in [0, 1, LENGTH - 1] {
        let mut connections = JoinSet::new();
        let mut caller = caller(address, room, &mut connections).await;
        let answer = create(&mut caller).await;
        let operation = bridge.next_create().await;
        // Resets the stream.
        drop(answer);
        assert_eq!(
            bridge.next().await,
            Seen::Abort(operation, AbortTarget::Create),
            "room for {room}"
        );
    }
    assert_eq!(bridge.rest().await, []);
}

#[tokio::test]
async fn an_answer_that_there_was_room_for_stays() {
    let mut bridge = Bridge::start().await;
    let address = bridge.listen().await;
    let mut connections = JoinSet::new();
    let mut caller = caller(address, LENGTH, &mut connections).await;
    let (head, mut body) = create(&mut caller).await.into_parts();
    assert_eq!(head.headers[header::CONTENT_LENGTH], "47");
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        whole.extend(piece.unwrap());
    }
    assert_eq!(whole.len(), 47);
    drop((caller, body));
    connections.shutdown().await;
    assert!(matches!(bridge.next().await, Seen::Create(_)));
    assert_eq!(bridge.rest().await, []);
}
