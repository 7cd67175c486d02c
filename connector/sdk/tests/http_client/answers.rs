//! Answers that are not taken as they come: redirects, compressed, large and unreadable ones.

use dcr_connector::fault::{Fault, Outcome, Reason};
use dcr_connector::http::{Answer, StatusCode};

use crate::common::{ample, answer, bytes, client, told};
use crate::server::{Reply, Server};

const MEBIBYTE: usize = 1024 * 1024;

/// `{"a":1}` by gzip.
const GZIPPED: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 171, 86, 74, 84, 178, 50, 172, 5, 0, 130, 251, 6, 19, 7, 0,
    0, 0,
];

/// A JSON string of so many bytes.
fn text(size: usize) -> String {
    format!("\"{}\"", "planted".repeat(size)[..size - 2].to_owned())
}

/// The same in chunks, so that its size shows only while it is read.
fn chunked(body: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 So\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(100_000) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

/// What a read and a change get from a server that always answers so.
async fn read_and_changed(answer: Vec<u8>) -> [Result<Answer, Fault>; 2] {
    let idp = Server::start(move |asked| match asked.line.as_str() {
        "GET /thing" | "POST /thing" if asked.nth == 1 => Reply::Answer(answer.clone()),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    let read = client.get(&["thing"]).send(ample()).await;
    let changed = client.post(&["thing"]).send(ample()).await;
    assert_eq!(idp.lines(), ["GET /thing", "POST /thing"]);
    [read, changed]
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere_and_is_a_fault() {
    let elsewhere = Server::start_unasked().await;
    for target in [format!("{}/elsewhere", elsewhere.url()), "/here".to_owned()] {
        for status in [301, 302, 303, 307, 308] {
            let redirect = bytes(status, &format!("location: {target}\r\n"), "");
            let [read, changed] = read_and_changed(redirect).await;
            for (answer, outcome) in [(read, Outcome::NotApplied), (changed, Outcome::Unknown)] {
                let fault = answer.unwrap().expect(&[StatusCode::OK]).unwrap_err();
                let expected = ("internal", outcome, Reason::IdpAnswerUnusable);
                assert_eq!(told(&fault), expected, "{status}");
            }
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_compressed_body_stays_compressed() {
    let labelled = |body: &[u8]| bytes(200, "content-encoding: gzip\r\n", body);
    for answer in read_and_changed(labelled(GZIPPED)).await {
        let unreadable = answer.unwrap().json::<serde_json::Value>();
        assert!(unreadable.is_err(), "{unreadable:?}");
    }
    for answer in read_and_changed(labelled(b"\"plain\"")).await {
        assert_eq!(answer.unwrap().json::<String>().unwrap(), "plain");
    }
}

#[tokio::test]
async fn an_answer_of_one_mebibyte_is_read() {
    let body = text(MEBIBYTE);
    for whole in [bytes(200, "", &body), chunked(&body)] {
        for answer in read_and_changed(whole).await {
            let answer = answer.unwrap();
            assert!(answer.json::<String>().unwrap() == body[1..MEBIBYTE - 1]);
        }
    }
}

#[tokio::test]
async fn an_answer_of_one_byte_more_is_refused_and_not_repeated() {
    let body = text(MEBIBYTE + 1);
    for larger in [bytes(200, "", &body), chunked(&body)] {
        let [read, changed] = read_and_changed(larger).await;
        for (answer, outcome) in [(read, Outcome::NotApplied), (changed, Outcome::Unknown)] {
            let fault = answer.unwrap_err();
            let expected = ("timed_out", outcome, Reason::IdpAnswerUnusable);
            assert_eq!(told(&fault), expected);
            assert!(!fault.to_string().contains("planted"), "{fault}");
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    // Announced as 100 MiB, of which no more than a little above the limit ever comes.
    let mut endless = b"HTTP/1.1 200 So\r\ncontent-length: 104857600\r\n\r\n".to_vec();
    endless.extend(text(MEBIBYTE + 1).bytes());
    for answer in read_and_changed(endless).await {
        assert_eq!(answer.unwrap_err().why(), Reason::IdpAnswerUnusable);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_json_leaves_a_change_unknown() {
    for body in ["", "{\"a\":", "<html>planted</html>", "[]"] {
        let [read, changed] = read_and_changed(bytes(200, "", body)).await;
        let unreadable = |answer: Result<Answer, Fault>| answer.unwrap().json::<u8>().unwrap_err();
        let unusable = ("internal", Outcome::NotApplied, Reason::IdpAnswerUnusable);
        assert_eq!(told(&unreadable(read)), unusable);
        let unclear = ("timed_out", Outcome::Unknown, Reason::IdpAnswerUnclear);
        assert_eq!(told(&unreadable(changed)), unclear);
    }
}

#[tokio::test]
async fn an_answer_is_whole_with_its_last_announced_byte() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "GET /thing" => answer(200, "\"first\""),
        "DELETE /thing" => Reply::Answer(b"HTTP/1.1 204 So\r\n\r\n".to_vec()),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    let read = client.get(&["thing"]).send(ample()).await.unwrap();
    assert_eq!(read.json::<String>().unwrap(), "first");
    let gone = client.delete(&["thing"]).send(ample()).await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(idp.connections(), 1, "the connection is used on");
}
