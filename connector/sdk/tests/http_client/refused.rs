//! A 401 to a token: met once, by a new one.

use dcr_connector::fault::{Outcome, Reason};
use dcr_connector::http::StatusCode;
use serde_json::json;

use crate::common::{
    TOKEN, all_ok, ample, answer, authorized, bore, bore_one, callers, done, get_thing, granted,
    start, told,
};
use crate::server::{Gate, Reply, Server};

const THING: &str = "GET /thing";
const CHANGE: &str = "POST /thing";

#[tokio::test]
async fn a_401_is_met_by_the_same_call_with_a_new_token() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        CHANGE if bore_one(asked) == 1 => answer(401, ""),
        CHANGE => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let body = json!({"name": "a thing"});
    let sent = client.post(&["thing"]).json(&body).send(ample()).await;
    assert_eq!(sent.unwrap().status(), StatusCode::OK);
    assert_eq!(idp.lines(), [TOKEN, CHANGE, TOKEN, CHANGE]);
    let asked = idp.asked(CHANGE);
    assert_eq!(bore(&asked), [1, 2]);
    for asked in asked {
        assert_eq!(asked.body, body.to_string());
    }
}

#[tokio::test]
async fn one_new_token_is_fetched_for_twenty_callers_who_got_a_401_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        THING if bore_one(asked) == 1 => held.hold(answer(401, "")),
        THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let callers = callers(&client, 20);
    gate.reached_by(20).await;
    gate.open();
    all_ok(done(callers).await);
    assert_eq!(idp.asked(TOKEN).len(), 2);
    let asked = idp.asked(THING);
    assert_eq!(bore(&asked)[..20], [1; 20]);
    assert_eq!(bore(&asked)[20..], [2; 20]);
}

#[tokio::test]
async fn a_late_401_to_a_token_that_was_replaced_takes_the_current_one() {
    let gate = Gate::default();
    let held = gate.clone();
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "GET /late" if asked.nth == 1 => held.hold(answer(401, "")),
        THING if asked.nth == 1 => answer(401, ""),
        "GET /late" | THING => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let late = start(&client, |client| async move {
        client.get(&["late"]).send(ample()).await
    });
    gate.reached_by(1).await;
    all_ok(done(start(&client, get_thing)).await);
    gate.open();
    all_ok(done(late).await);
    assert_eq!(idp.asked(TOKEN).len(), 2);
    assert_eq!(bore(&idp.asked("GET /late")), [1, 2]);
}

#[tokio::test]
async fn a_second_401_is_refused_and_not_tried_again() {
    let idp = Server::start(|asked| match (asked.line.as_str(), asked.nth) {
        (TOKEN, 1..=2) => granted(asked),
        (CHANGE, 1..=2) => answer(401, ""),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let refused = ("refused", Outcome::NotApplied, Reason::IdpCredentialRefused);
    let sent = client.post(&["thing"]).send(ample()).await.unwrap();
    let fault = sent.expect(&[StatusCode::OK]).unwrap_err();
    assert_eq!(told(&fault), refused);
    assert_eq!(idp.lines(), [TOKEN, CHANGE, TOKEN, CHANGE]);
}

#[tokio::test]
async fn a_401_that_no_new_token_is_to_be_had_for_is_refused() {
    let idp = Server::start(|asked| match (asked.line.as_str(), asked.nth) {
        (TOKEN, 1) => granted(asked),
        (TOKEN, 2) | (CHANGE, 1) => answer(401, ""),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
    let refused = ("refused", Outcome::NotApplied, Reason::IdpCredentialRefused);
    assert_eq!(told(&fault), refused);
    assert_eq!(idp.lines(), [TOKEN, CHANGE, TOKEN]);
}
