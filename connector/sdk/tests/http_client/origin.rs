//! What leaves, and whereto.

use dcr_connector::fault::Outcome;
use dcr_connector::http::{Effect, Method, StatusCode};

use crate::common::{
    TOKEN, all_ok, ample, answer, authorized, bore, bore_one, bytes, callers, client, client_of,
    done, granted,
};
use crate::server::{Reply, Server};

#[tokio::test]
async fn segments_and_queries_are_encoded_on_the_wire() {
    let idp = Server::start(|_| answer(200, "{}")).await;
    let client = client_of(&format!("{}/auth/", idp.url()));
    for (segment, encoded) in [
        ("plain-1._~", "plain-1._~"),
        ("a/b", "a%2Fb"),
        ("a\\b", "a%5Cb"),
        ("../up", "..%2Fup"),
        ("%2e%2e", "%252e%252e"),
        ("...", "..."),
        ("a?b#c", "a%3Fb%23c"),
        ("a;b=c&d", "a%3Bb%3Dc%26d"),
        ("http://elsewhere", "http%3A%2F%2Felsewhere"),
        ("ä \0", "%C3%A4%20%00"),
        ("a\r\nx-injected: 1", "a%0D%0Ax-injected%3A%201"),
    ] {
        let call = client.get(&["clients", segment, "secret"]);
        let call = call.query("q", segment).query("n", &1);
        call.send(ample()).await.unwrap();
        let asked = idp.lines().pop().unwrap();
        let (path, query) = asked.split_once('?').unwrap();
        assert_eq!(path, format!("GET /auth/clients/{encoded}/secret"));
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let pair = |name: &'static str, value: &'static str| (name.into(), value.into());
        assert_eq!(query, [pair("q", segment), pair("n", "1")]);
    }
}

#[tokio::test]
async fn a_segment_that_no_url_can_carry_is_not_sent() {
    let idp = Server::start_unasked().await;
    let client = client(&idp);
    for segment in ["", ".", ".."] {
        let fault = client.delete(&["clients", segment]).send(ample()).await;
        assert_eq!(fault.unwrap_err().kind().name(), "internal");
    }
    assert_eq!(idp.connections(), 0);
}

#[tokio::test]
async fn a_call_carries_these_headers_and_no_others() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "GET /thing" | "POST /thing" => {
            Reply::Answer(bytes(200, "set-cookie: session=planted\r\n", "{}"))
        }
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    all_ok(done(callers(&client, 1)).await);
    let change = client.post(&["thing"]).json(&[1]).send(ample()).await;
    assert_eq!(change.unwrap().status(), StatusCode::OK);
    let read = &idp.asked("GET /thing")[0];
    assert_eq!(
        read.header_names(),
        ["accept", "authorization", "host", "user-agent"]
    );
    assert_eq!(read.header("accept"), Some("application/json"));
    let changed = &idp.asked("POST /thing")[0];
    assert_eq!(
        changed.header_names(),
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent"
        ]
    );
    assert_eq!(changed.header("content-type"), Some("application/json"));
    assert_eq!(changed.body, "[1]");
}

#[tokio::test]
async fn the_token_goes_to_the_configured_origin_alone() {
    let elsewhere = Server::start_unasked().await;
    let location = format!("location: {}/thing\r\n", elsewhere.url());
    let idp = Server::start(move |asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "GET /thing" if asked.nth == 1 => Reply::Answer(bytes(307, &location, "")),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let answer = client.get(&["thing"]).send(ample()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(bore_one(&idp.asked("GET /thing")[0]), 1);
    let there = answer.header("location").unwrap();
    let fault = client.base().same_origin(there).unwrap_err();
    assert_eq!(fault.kind().name(), "internal");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn an_anonymous_call_carries_no_token_and_fetches_none() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "GET /thing" => answer(200, "{}"),
        "GET /public" => answer(401, ""),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let anonymous = || client.get(&["public"]).send_anonymously(ample());
    let before = anonymous().await.unwrap();
    assert_eq!(before.status(), StatusCode::UNAUTHORIZED);
    all_ok(done(callers(&client, 1)).await);
    anonymous().await.unwrap();
    for asked in idp.asked("GET /public") {
        assert_eq!(asked.header("authorization"), None);
    }
    assert_eq!(idp.asked(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_url_that_was_answered_is_asked_as_it_is_and_only_at_this_origin() {
    let elsewhere = Server::start_unasked().await;
    let idp = Server::start(|asked| match asked.line.as_str() {
        "GET //reg//a%20b?client_id=a" => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    let token = "planted-token".to_owned().into();
    let there = format!("{}//reg//a%20b?client_id=a", idp.url());
    let call = client.at(Effect::Reads, Method::GET, &there);
    call.send_with(&token, ample()).await.unwrap();
    assert_eq!(
        idp.asked("GET //reg//a%20b?client_id=a")[0].bearer(),
        Some("planted-token")
    );
    let call = client.at(Effect::Reads, Method::GET, &elsewhere.url());
    let fault = call.send_with(&token, ample()).await.unwrap_err();
    assert_eq!(fault.kind().name(), "internal");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_token_of_the_call_goes_instead_of_the_clients_own_and_is_not_renewed() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "GET /thing" => answer(401, ""),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    let send = |token: &str| {
        let token = token.to_owned().into();
        let call = client.get(&["thing"]);
        async move { call.send_with(&token, ample()).await }
    };
    let answer = send("planted-other").await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(idp.asked("GET /thing")[0].bearer(), Some("planted-other"));
    for unsendable in ["", "planted\r\nx: y"] {
        let fault = send(unsendable).await.unwrap_err();
        assert_eq!(fault.done(), Outcome::NotApplied);
        assert!(!fault.to_string().contains("planted"));
    }
    assert_eq!(idp.lines().len(), 1);
}

#[tokio::test]
async fn a_call_with_a_new_token_shares_it_with_no_other() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "POST /thing" if asked.nth < 3 => answer(200, "{}"),
        "POST /thing" => answer(401, ""),
        "GET /thing" => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let (client, _secret) = authorized(&idp);
    for _ in 0..3 {
        let call = client.post(&["thing"]);
        call.send_with_new_token(ample()).await.unwrap();
    }
    // Nor with one that comes after it.
    for _ in 0..2 {
        client.get(&["thing"]).send(ample()).await.unwrap();
    }
    assert_eq!(bore(&idp.asked("POST /thing")), [1, 2, 3]);
    assert_eq!(bore(&idp.asked("GET /thing")), [4, 4]);
    assert_eq!(idp.asked(TOKEN).len(), 4);
}
