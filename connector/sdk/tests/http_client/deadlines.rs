//! How long is waited: reads end at the deadline, changes are read beyond it, and what has no time does not leave.

use std::sync::Arc;
use std::time::Duration;

use dcr_connector::fault::{Outcome, Reason};
use dcr_connector::model::Deadline;

use crate::common::{
    all_ok, ample, answer, authorized, client, done, granted, pass, short, soon, start, told,
};
use crate::server::{Gate, Reply, Server};

const TOO_LATE: (&str, Outcome, Reason) = ("unavailable", Outcome::NotApplied, Reason::TimedOut);

/// A server that answers nothing until the gate is opened.
async fn silent() -> (Server, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.nth {
        1 => held.hold(answer(200, "{}")),
        _ => Reply::Unexpected,
    })
    .await;
    (idp, gate)
}

#[tokio::test]
async fn a_read_ends_at_its_deadline() {
    let (idp, _gate) = silent().await;
    let client = client(&idp);
    let read = client.get(&["thing"]).send(short());
    let fault = soon("the deadline", read).await.unwrap_err();
    let expected = ("timed_out", Outcome::NotApplied, Reason::TimedOut);
    assert_eq!(told(&fault), expected);
}

#[tokio::test]
async fn a_read_whose_answer_stops_in_its_middle_ends_at_its_deadline() {
    let half = b"HTTP/1.1 200 So\r\ncontent-length: 50\r\n\r\n{";
    let idp = Server::start(|_| Reply::Answer(half.to_vec())).await;
    let client = client(&idp);
    let read = client.get(&["thing"]).send(short());
    let fault = soon("the deadline", read).await.unwrap_err();
    let expected = ("timed_out", Outcome::NotApplied, Reason::TimedOut);
    assert_eq!(told(&fault), expected);
}

#[tokio::test]
async fn a_read_takes_no_longer_than_one_attempt_whatever_its_deadline() {
    let (idp, gate) = silent().await;
    let read = start(&Arc::new(client(&idp)), |client| async move {
        client.get(&["thing"]).send(ample()).await
    });
    gate.reached_by(1).await;
    pass(Duration::from_millis(6100)).await;
    let fault = done(read).await.remove(0).unwrap_err();
    let expected = ("timed_out", Outcome::NotApplied, Reason::TimedOut);
    assert_eq!(told(&fault), expected);
}

#[tokio::test]
async fn the_answer_to_a_change_is_read_beyond_the_deadline() {
    for beyond in [2, 27] {
        let (idp, gate) = silent().await;
        let change = start(&Arc::new(client(&idp)), |client| async move {
            client.post(&["thing"]).send(short()).await
        });
        gate.reached_by(1).await;
        pass(Duration::from_secs(beyond)).await;
        gate.open();
        all_ok(done(change).await);
        assert_eq!(idp.lines(), ["POST /thing"]);
    }
}

#[tokio::test]
async fn a_change_that_is_not_answered_in_thirty_seconds_more_is_unknown() {
    let (idp, gate) = silent().await;
    let change = start(&Arc::new(client(&idp)), |client| async move {
        client.post(&["thing"]).send(short()).await
    });
    gate.reached_by(1).await;
    pass(Duration::from_secs(31)).await;
    let fault = done(change).await.remove(0).unwrap_err();
    let expected = ("timed_out", Outcome::Unknown, Reason::TimedOut);
    assert_eq!(told(&fault), expected);
    assert_eq!(idp.lines(), ["POST /thing"]);
}

#[tokio::test]
async fn with_no_time_left_nothing_is_sent() {
    let idp = Server::start_unasked().await;
    let client = client(&idp);
    let none = Deadline::after(Duration::ZERO);
    for call in [
        client.get(&["thing"]),
        client.post(&["thing"]),
        client.put(&["thing"]),
        client.patch(&["thing"]),
        client.delete(&["thing"]),
        client.create(&["thing"]),
    ] {
        let fault = call.send(none).await.unwrap_err();
        assert_eq!(told(&fault), TOO_LATE);
    }
    assert_eq!(idp.connections(), 0);
}

#[tokio::test]
async fn a_create_does_not_leave_with_less_than_three_seconds() {
    let idp = Server::start_unasked().await;
    let client = client(&idp);
    let little = Deadline::after(Duration::from_secs(3));
    let fault = client.create(&["thing"]).send(little).await.unwrap_err();
    assert_eq!(told(&fault), TOO_LATE);
    assert_eq!(idp.connections(), 0);
}

#[tokio::test]
async fn a_create_whose_token_took_the_time_does_not_leave() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        "POST /token" => held.hold(granted(asked)),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let deadline = Deadline::after(Duration::from_secs(6));
    let create = start(&client, |client| async move {
        client.create(&["thing"]).send(deadline).await
    });
    gate.reached_by(1).await;
    pass(Duration::from_millis(3100)).await;
    gate.open();
    let fault = done(create).await.remove(0).unwrap_err();
    assert_eq!(told(&fault), TOO_LATE);
    assert_eq!(idp.lines(), ["POST /token"]);
}

#[tokio::test]
async fn a_401_that_comes_after_the_deadline_of_a_change_is_not_met_with_another_try() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match (asked.line.as_str(), asked.nth) {
        ("POST /token", 1) => granted(asked),
        ("POST /thing", 1) => held.hold(answer(401, "")),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let change = start(&client, |client| async move {
        let deadline = Deadline::after(Duration::from_secs(8));
        client.post(&["thing"]).send(deadline).await
    });
    gate.reached_by(1).await;
    pass(Duration::from_secs(9)).await;
    gate.open();
    let fault = done(change).await.remove(0).unwrap_err();
    assert_eq!(told(&fault), TOO_LATE);
}
