//! The HTTP client against a scripted IdP on loopback: tokens, deadlines, lost answers, limits.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use dcr_connector::fault::{Fault, Outcome, Reason};
use dcr_connector::http::{BaseUrl, Client, ClientCredentials, StatusCode};
use dcr_connector::model::Deadline;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const SECRET: &str = "planted-connector-secret";

/// What the IdP was asked, and how it is to answer.
#[derive(Default)]
struct Idp {
    /// Tokens given so far; only the last one is good.
    tokens: AtomicUsize,
    /// Calls with a good token.
    served: AtomicUsize,
    /// Calls with another.
    refused: AtomicUsize,
    /// Whether no token is good.
    refuses_all: bool,
    /// How long a token lives, in seconds.
    life: u64,
    secrets: Mutex<Vec<String>>,
    go: Notify,
}

async fn token(State(idp): State<Arc<Idp>>, body: String) -> Response {
    let secret = body.split("client_secret=").nth(1).unwrap().to_owned();
    idp.secrets.lock().unwrap().push(secret.clone());
    if secret == "wrong" {
        let error = json!({"error": "invalid_client", "error_description": secret});
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let number = idp.tokens.fetch_add(1, SeqCst) + 1;
    Json(json!({"access_token": format!("planted-token-{number}"), "expires_in": idp.life}))
        .into_response()
}

async fn guarded(State(idp): State<Arc<Idp>>, headers: HeaderMap) -> Response {
    let good = format!("Bearer planted-token-{}", idp.tokens.load(SeqCst));
    if idp.refuses_all
        || headers
            .get(header::AUTHORIZATION)
            .is_none_or(|h| *h != good)
    {
        idp.refused.fetch_add(1, SeqCst);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    idp.served.fetch_add(1, SeqCst);
    Json(json!({})).into_response()
}

/// A running IdP. Its tasks end with it.
struct Running {
    idp: Arc<Idp>,
    address: SocketAddr,
    _server: JoinSet<()>,
}

impl Running {
    async fn start(idp: Idp) -> Self {
        let idp = Arc::new(idp);
        let router = Router::new()
            .route("/token", post(token))
            .route("/guarded", any(guarded))
            .route(
                "/elsewhere",
                get(|| async { Redirect::temporary("/guarded") }),
            )
            .route("/large/{size}", get(large))
            .route(
                "/headers",
                get(|request: Request| async move {
                    let encoding = request.headers().get(header::ACCEPT_ENCODING);
                    Json(json!({"accepts_encodings": encoding.is_some()}))
                }),
            )
            .route(
                "/slow",
                any(|State(idp): State<Arc<Idp>>| async move {
                    idp.go.notified().await;
                    Json(json!({"late": true}))
                }),
            )
            .with_state(Arc::clone(&idp));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            idp,
            address,
            _server: server,
        }
    }
}

async fn large(axum::extract::Path(size): axum::extract::Path<usize>) -> Response {
    // Chunked, so that the size shows only while reading.
    let text = format!("\"{}\"", "x".repeat(size - 2));
    let half = Bytes::from(text).split_off(0);
    let chunks = [
        Ok::<_, std::io::Error>(half.slice(..size / 2)),
        Ok(half.slice(size / 2..)),
    ];
    Body::from_stream(tokio_stream::iter(chunks)).into_response()
}

fn client(address: SocketAddr) -> Client {
    Client::new(
        BaseUrl::parse(&format!("http://{address}"), false).unwrap(),
        None,
    )
    .unwrap()
}

fn secret_file(secret: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    file
}

fn authorized(address: SocketAddr, secret: &NamedTempFile) -> Client {
    client(address).authorized_by(ClientCredentials {
        token_endpoint: vec!["token".to_owned()],
        client_id: "connector".to_owned(),
        secret_file: secret.path().to_owned(),
        scope: None,
        audience: None,
    })
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

fn told(fault: &Fault) -> (&'static str, Outcome, Reason) {
    (fault.kind().name(), fault.done(), fault.why())
}

async fn get_guarded(client: &Client) -> Result<StatusCode, Fault> {
    client
        .get(&["guarded"])
        .send(soon())
        .await
        .map(|answer| answer.status())
}

/// A peer that reads one request and then hangs up, having answered this; tells how many requests came.
async fn hangs_up(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let mut peer = JoinSet::new();
    peer.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                counted.fetch_add(1, SeqCst);
                let _ = stream.write_all(answer).await;
            }
        }
    });
    (address, count, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_is_fetched_for_all_who_ask_at_once() {
    let server = Running::start(Idp {
        life: 300,
        ..Idp::default()
    })
    .await;
    let secret = secret_file(SECRET);
    let client = Arc::new(authorized(server.address, &secret));
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let client = Arc::clone(&client);
        callers.spawn(async move { get_guarded(&client).await.unwrap() });
    }
    assert!(
        callers
            .join_all()
            .await
            .iter()
            .all(|status| *status == StatusCode::OK)
    );
    assert_eq!(server.idp.tokens.load(SeqCst), 1);
    assert_eq!(server.idp.served.load(SeqCst), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_replaced_once_for_all_and_the_secret_is_read_anew() {
    let server = Running::start(Idp {
        life: 300,
        ..Idp::default()
    })
    .await;
    let mut secret = secret_file(SECRET);
    let client = Arc::new(authorized(server.address, &secret));
    assert_eq!(get_guarded(&client).await.unwrap(), StatusCode::OK);
    // The IdP forgets the token, and the secret is rotated.
    server.idp.tokens.store(100, SeqCst);
    secret.as_file_mut().set_len(0).unwrap();
    std::fs::write(secret.path(), "rotated-secret").unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let client = Arc::clone(&client);
        callers.spawn(async move { get_guarded(&client).await.unwrap() });
    }
    assert!(
        callers
            .join_all()
            .await
            .iter()
            .all(|status| *status == StatusCode::OK)
    );
    assert_eq!(server.idp.tokens.load(SeqCst), 101, "one new token for all");
    assert_eq!(
        *server.idp.secrets.lock().unwrap(),
        [SECRET, "rotated-secret"]
    );
}

#[tokio::test]
async fn a_second_401_is_the_answer_and_no_loop() {
    let server = Running::start(Idp {
        life: 300,
        refuses_all: true,
        ..Idp::default()
    })
    .await;
    let secret = secret_file(SECRET);
    let client = authorized(server.address, &secret);
    assert_eq!(
        get_guarded(&client).await.unwrap(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(server.idp.refused.load(SeqCst), 2);
    assert_eq!(server.idp.tokens.load(SeqCst), 2);
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_not_used() {
    let server = Running::start(Idp {
        life: 1,
        ..Idp::default()
    })
    .await;
    let secret = secret_file(SECRET);
    let client = authorized(server.address, &secret);
    for number in 1..=3 {
        assert_eq!(get_guarded(&client).await.unwrap(), StatusCode::OK);
        assert_eq!(server.idp.tokens.load(SeqCst), number);
    }
}

#[tokio::test]
async fn a_refused_credential_is_told_as_ours_and_not_repeated() {
    let server = Running::start(Idp {
        life: 300,
        ..Idp::default()
    })
    .await;
    let refused = ("refused", Outcome::NotApplied, Reason::IdpCredentialRefused);
    let wrong = secret_file("wrong");
    let fault = authorized(server.address, &wrong)
        .post(&["guarded"])
        .send(soon())
        .await;
    let fault = fault.unwrap_err();
    assert_eq!(told(&fault), refused);
    assert!(!fault.message().contains("wrong"), "{fault}");
    let empty = secret_file("");
    let fault = get_guarded(&authorized(server.address, &empty))
        .await
        .unwrap_err();
    assert_eq!(told(&fault), refused);
    assert!(
        fault.message().contains(empty.path().to_str().unwrap()),
        "{fault}"
    );
    assert_eq!(
        server.idp.served.load(SeqCst) + server.idp.refused.load(SeqCst),
        0
    );
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_never_sent_again() {
    for answer in [
        b"".as_slice(),
        b"HTTP/1.1 201 Created\r\ncontent-length: 50\r\n\r\n{\"client_id\":",
        b"HTTP/1.1 201 Created\r\ncontent-le",
    ] {
        let (address, count, _peer) = hangs_up(answer).await;
        let client = client(address);
        let fault = client
            .post(&["c"])
            .json(&json!({}))
            .send(soon())
            .await
            .unwrap_err();
        assert_eq!(
            (fault.kind().name(), fault.done()),
            ("timed_out", Outcome::Unknown)
        );
        assert_eq!(count.load(SeqCst), 1, "a change was sent again");
        let fault = client.get(&["c"]).send(soon()).await.unwrap_err();
        assert_eq!(fault.done(), Outcome::NotApplied, "a read changes nothing");
    }
}

#[tokio::test]
async fn nobody_at_home_means_that_nothing_was_done_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fault = client(address).post(&["c"]).send(soon()).await.unwrap_err();
    assert_eq!(
        told(&fault),
        ("unavailable", Outcome::NotApplied, Reason::Unreachable)
    );
    assert!(fault.to_string().contains("Connection refused"), "{fault}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Running::start(Idp::default()).await;
    let answer = client(server.address)
        .get(&["elsewhere"])
        .send(soon())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(server.idp.refused.load(SeqCst), 0, "the target was asked");
    assert_eq!(answer.fault().kind().name(), "internal");
}

#[tokio::test]
async fn an_answer_may_have_one_mebibyte_and_no_byte_more() {
    const MEBIBYTE: usize = 1024 * 1024;
    let server = Running::start(Idp::default()).await;
    let client = client(server.address);
    let exact = client
        .get(&["large", &MEBIBYTE.to_string()])
        .send(soon())
        .await
        .unwrap();
    assert_eq!(exact.json::<String>().unwrap().len(), MEBIBYTE - 2);
    let larger = client
        .get(&["large", &(MEBIBYTE + 1).to_string()])
        .send(soon())
        .await;
    assert_eq!(larger.unwrap_err().why(), Reason::IdpAnswerUnusable);
}

#[tokio::test]
async fn compressed_answers_are_not_asked_for() {
    let server = Running::start(Idp::default()).await;
    let answer = client(server.address)
        .get(&["headers"])
        .send(soon())
        .await
        .unwrap();
    let answer: serde_json::Value = answer.json().unwrap();
    assert_eq!(answer, json!({"accepts_encodings": false}));
}

#[tokio::test]
async fn a_read_ends_at_its_deadline_and_a_change_is_read_beyond_it() {
    let server = Running::start(Idp::default()).await;
    let client = client(server.address);
    let short = || Deadline::after(Duration::from_millis(100));
    let fault = client.get(&["slow"]).send(short()).await.unwrap_err();
    assert_eq!(
        (fault.kind().name(), fault.done()),
        ("timed_out", Outcome::NotApplied)
    );

    let deadline = short();
    let change = client.post(&["slow"]).send(deadline);
    let later = async {
        tokio::time::sleep_until(deadline.instant()).await;
        server.idp.go.notify_waiters();
        server.idp.go.notify_one();
    };
    let (answer, ()) = tokio::join!(change, later);
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn with_no_time_left_nothing_is_sent_and_a_create_needs_more() {
    let (address, count, _peer) = hangs_up(b"").await;
    let none = Deadline::after(Duration::ZERO);
    let little = Deadline::after(Duration::from_secs(2));
    let client = client(address);
    for sent in [
        client.post(&["c"]).send(none).await,
        client.create(&["c"]).send(little).await,
    ] {
        let fault = sent.unwrap_err();
        let expected = ("unavailable", Outcome::NotApplied, Reason::TimedOut);
        assert_eq!(told(&fault), expected);
    }
    assert_eq!(count.load(SeqCst), 0);
}

#[tokio::test]
async fn nothing_that_is_printed_for_debugging_holds_a_secret() {
    let server = Running::start(Idp {
        life: 300,
        ..Idp::default()
    })
    .await;
    let secret = secret_file(SECRET);
    let client = authorized(server.address, &secret);
    let answer = client.get(&["guarded"]).send(soon()).await.unwrap();
    let token = client
        .post(&["token"])
        .form(vec![("client_secret", SECRET.to_owned())]);
    let shown = format!("{token:?}");
    let token = token.send_anonymously(soon()).await.unwrap();
    let shown = format!("{shown}{client:?}{answer:?}{token:?}{:?}", token.fault());
    assert!(!shown.contains("planted"), "{shown}");
}
