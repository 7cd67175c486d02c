//! Answers that are lost, and servers that are not there: what was sent is never sent again.

use std::sync::Arc;

use dcr_connector::fault::{Outcome, Reason};
use dcr_connector::http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;

use crate::common::{
    ample, answer, authorized, bytes, client, client_of, credentials, granted, secret_file, told,
};
use crate::server::{Gate, Reply, Server};

const UNKNOWN: (&str, Outcome, Reason) = ("timed_out", Outcome::Unknown, Reason::TimedOut);
const NOTHING_DONE: (&str, Outcome, Reason) = ("timed_out", Outcome::NotApplied, Reason::TimedOut);
const UNREACHED: (&str, Outcome, Reason) =
    ("unavailable", Outcome::NotApplied, Reason::Unreachable);

/// Whole requests, and then nothing, or less than an answer.
const LOST: [&[u8]; 6] = [
    b"",
    b"HTTP/1.1 201 Created\r\ncontent-le",
    b"HTTP/1.1 201 Created\r\ncontent-length: 50\r\n\r\n",
    b"HTTP/1.1 201 Created\r\ncontent-length: 50\r\n\r\n{\"client_id\":",
    b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{}  \r\n",
    b"no HTTP\r\n\r\n",
];

#[tokio::test]
async fn a_change_whose_answer_is_lost_was_sent_once_and_is_unknown() {
    for lost in LOST {
        let idp = Server::start(move |asked| match asked.nth {
            1 => Reply::Cut(lost.to_vec()),
            _ => Reply::Unexpected,
        })
        .await;
        let client = client(&idp);
        let create = client.create(&["thing"]).json(&json!({"name": "a"}));
        let fault = create.send(ample()).await.unwrap_err();
        assert_eq!(told(&fault), UNKNOWN, "{lost:?}");
        for change in [
            client.post(&["thing"]).query("again", "1"),
            client.put(&["thing"]),
            client.patch(&["thing"]),
            client.delete(&["thing"]),
        ] {
            let fault = change.send(ample()).await.unwrap_err();
            assert_eq!(told(&fault), UNKNOWN, "{lost:?}");
        }
        assert_eq!(idp.lines().len(), 5);
    }
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_was_sent_once_and_has_changed_nothing() {
    for lost in LOST {
        let idp = Server::start(move |asked| match asked.nth {
            1 => Reply::Cut(lost.to_vec()),
            _ => Reply::Unexpected,
        })
        .await;
        let fault = client(&idp).get(&["thing"]).send(ample()).await;
        assert_eq!(told(&fault.unwrap_err()), NOTHING_DONE, "{lost:?}");
        assert_eq!(idp.lines(), ["GET /thing"]);
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_not_sent_with_a_new_token_either() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "POST /token" => granted(asked),
        "POST /thing" if asked.nth == 1 => Reply::Cut(b"HTTP/1.1 401 No\r\nconte".to_vec()),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
    assert_eq!(told(&fault), UNKNOWN);
    assert_eq!(idp.lines(), ["POST /token", "POST /thing"]);
}

#[tokio::test]
async fn a_change_that_is_cut_on_a_used_connection_is_not_sent_on_another() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "GET /thing" => answer(200, "{}"),
        "POST /thing" if asked.nth == 1 => Reply::Cut(Vec::new()),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    client.get(&["thing"]).send(ample()).await.unwrap();
    let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
    assert_eq!(told(&fault), UNKNOWN);
    assert_eq!(idp.lines(), ["GET /thing", "POST /thing"]);
    assert_eq!(idp.connections(), 1, "it went by the connection of before");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_not_used_again() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "GET /thing" => Reply::Cut(bytes(200, "", "{}")),
        "POST /thing" if asked.nth == 1 => answer(201, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    client.get(&["thing"]).send(ample()).await.unwrap();
    idp.ended(1).await;
    let made = client.post(&["thing"]).send(ample()).await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    assert_eq!(idp.asked("POST /thing")[0].connection, 2);
    assert_eq!(idp.late(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_meets_a_closing_connection_arrives_at_most_once() {
    const ROUNDS: usize = 200;
    let gates: Arc<[Gate]> = (0..ROUNDS).map(|_| Gate::default()).collect();
    let closing = Arc::clone(&gates);
    let idp = Server::start(move |asked| match asked.line.as_str() {
        "GET /thing" => Reply::CutLater(bytes(200, "", "{}"), closing[asked.nth - 1].clone()),
        line if line.starts_with("POST /things/") && asked.nth == 1 => answer(201, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    for (round, gate) in gates.iter().enumerate() {
        client.get(&["thing"]).send(ample()).await.unwrap();
        // The server closes that connection: the change meets it before, while or after that shows.
        gate.open();
        let thing = round.to_string();
        let sent = client.post(&["things", &thing]).send(ample()).await;
        idp.ended(round + 1).await;
        let line = format!("POST /things/{round}");
        let in_time = idp.asked(&line).len();
        let late = idp.late().matches(&format!("{line} HTTP")).count();
        match sent {
            Ok(_) => assert_eq!((in_time, late), (1, 0)),
            Err(fault) => {
                assert_eq!(told(&fault), UNKNOWN);
                assert!(in_time == 0 && late <= 1, "{in_time} and {late} came");
            }
        }
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let secret = secret_file("planted");
    for client in [
        client_of(&url),
        client_of(&url).authorized_by(credentials(&secret)),
    ] {
        for call in [client.get(&["thing"]), client.create(&["thing"])] {
            let fault = call.send(ample()).await.unwrap_err();
            assert_eq!(told(&fault), UNREACHED);
            assert!(fault.to_string().contains("Connection refused"), "{fault}");
        }
    }
}
