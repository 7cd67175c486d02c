//! Nothing that is printed holds a secret: neither `Debug` nor the message of a fault.

use std::fmt::Debug;

use dcr_connector::fault::Fault;
use dcr_connector::http::StatusCode;
use serde_json::json;

use crate::common::{
    SECRET, TOKEN, ample, answer, authorized, bore_one, bytes, client, credentials, granted,
};
use crate::server::{Reply, Server};

/// What an IdP sends that holds a secret.
const BODY: &str = r#"{"client_secret":"planted-client-secret","secret":"planted"}"#;

#[track_caller]
fn holds_no_secret(shown: &impl Debug) {
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(!text.contains("planted"), "{text}");
    }
}

#[track_caller]
fn tells_no_secret(fault: &Fault) {
    holds_no_secret(fault);
    assert!(!fault.to_string().contains("planted"), "{fault}");
    let sentence = fault.sentence().map(ToString::to_string);
    assert!(!sentence.unwrap_or_default().contains("planted"));
}

#[tokio::test]
async fn what_sends_and_what_came_are_silent() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "POST /thing?token=planted" => Reply::Answer(bytes(
            201,
            "set-cookie: planted\r\nlocation: /planted\r\n",
            BODY,
        )),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, secret) = authorized(&idp);
    let create = || {
        let body = json!({"client_secret": "planted-new-secret"});
        client
            .create(&["thing"])
            .query("token", "planted")
            .json(&body)
    };
    holds_no_secret(&create());
    let form = vec![("client_secret", SECRET.to_owned())];
    holds_no_secret(&client.post(&["thing"]).form(form));
    let made = create().send(ample()).await.unwrap();
    holds_no_secret(&made);
    holds_no_secret(&credentials(&secret));
    // With a token at hand.
    holds_no_secret(&client);
    let asked = &idp.asked("POST /thing?token=planted")[0];
    assert_eq!(bore_one(asked), 1);
}

#[tokio::test]
async fn no_fault_of_a_call_tells_what_was_sent_or_came() {
    let half = format!("HTTP/1.1 201 So\r\ncontent-length: 900\r\nx: planted\r\n\r\n{BODY}");
    let no_http = "planted planted\r\nplanted\r\n\r\n";
    for lost in [&half, no_http, "HTTP/1.1 planted\r\n\r\n"] {
        let lost = lost.as_bytes().to_vec();
        let idp = Server::start(move |_| Reply::Cut(lost.clone())).await;
        let call = client(&idp);
        let call = call.post(&["thing"]).query("token", "planted");
        let call = call.json(&json!({"secret": "planted"}));
        tells_no_secret(&call.send(ample()).await.unwrap_err());
    }
    for status in [200, 302, 400, 401, 403, 404, 409, 418, 429, 500, 503] {
        let headers = "location: /planted\r\nset-cookie: planted\r\n";
        let idp = Server::start(move |_| Reply::Answer(bytes(status, headers, BODY))).await;
        let client = client(&idp);
        let answer = client.post(&["thing"]).query("token", "planted");
        let answer = answer.send(ample()).await.unwrap();
        tells_no_secret(&answer.fault());
        tells_no_secret(&answer.json::<Vec<u8>>().unwrap_err());
        tells_no_secret(&answer.expect(&[StatusCode::CREATED]).unwrap_err());
    }
}

#[tokio::test]
async fn no_fault_of_the_token_endpoint_tells_the_secret_or_a_token() {
    let described = r#"{"error":"server_error","error_description":"planted-secret is wrong"}"#;
    let message = r#"{"message":"planted-secret"}"#;
    let granted = r#"{"access_token":"planted-token","expires_in":"soon"}"#;
    let cut = r#"{"access_token":"planted-token","#;
    let bodies = [described, message, granted, cut, "planted-secret"];
    for status in [200, 201, 302, 400, 401, 403, 404, 429, 500, 503] {
        let idp = Server::start(move |asked| answer(status, bodies[asked.nth - 1])).await;
        let (client, _secret) = authorized(&idp);
        for _ in bodies {
            tells_no_secret(&client.post(&["thing"]).send(ample()).await.unwrap_err());
        }
        assert_eq!(idp.lines(), [TOKEN; 5], "each body was given");
    }
}
