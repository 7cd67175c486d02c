//! The connector's own credential at the token endpoint.

use std::fs;

use dcr_connector::fault::{Outcome, Reason};
use dcr_connector::http::{ClientAuthMethod, TokenEndpoint};
use tempfile::NamedTempFile;

use crate::common::{
    SECRET, TOKEN, ample, answer, client, credentials, granted, secret_file, told,
};
use crate::server::{Reply, Server};

const REFUSED: (&str, Outcome, Reason) =
    ("refused", Outcome::NotApplied, Reason::IdpCredentialRefused);

/// Gets no further than its token endpoint.
async fn endpoint(status: u16, body: &'static str) -> Server {
    Server::start(move |asked| match (asked.line.as_str(), asked.nth) {
        (TOKEN, 1) => answer(status, body),
        _ => Reply::Unexpected,
    })
    .await
}

#[tokio::test]
async fn a_token_is_asked_for_by_a_form_with_exactly_what_is_configured() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "POST /oauth2/v1/token" => granted(asked),
        "GET /thing" => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let awkward = "a&b=c+ d%20\"ä;";
    let file = secret_file(&format!("{awkward}\n"));
    let mut credentials = credentials(&file);
    let segments = ["oauth2", "v1", "token"].map(str::to_owned);
    credentials.token_endpoint = TokenEndpoint::Below(segments.to_vec());
    credentials.scope = Some("read write".to_owned());
    credentials.audience = Some("https://idp.example/api?x=1&y".to_owned());
    let client = client(&idp).authorized_by(credentials);
    client.get(&["thing"]).send(ample()).await.unwrap();
    let asked = &idp.asked("POST /oauth2/v1/token")[0];
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "connector"),
        ("client_secret", awkward),
        ("scope", "read write"),
        ("audience", "https://idp.example/api?x=1&y"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(asked.form(), expected);
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn a_secret_in_the_header_is_encoded_as_in_a_form_and_stands_nowhere_else() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        "POST //oauth/token" => granted(asked),
        "GET /thing" => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let file = secret_file("a b:%\u{e4}");
    let mut credentials = credentials(&file);
    credentials.token_endpoint = TokenEndpoint::At(format!("{}//oauth/token", idp.url()));
    credentials.client_id = "con:nector".to_owned();
    credentials.auth_method = ClientAuthMethod::ClientSecretBasic;
    let client = client(&idp).authorized_by(credentials);
    client.get(&["thing"]).send(ample()).await.unwrap();
    let asked = &idp.asked("POST //oauth/token")[0];
    let expected = ("grant_type".to_owned(), "client_credentials".to_owned());
    assert_eq!(asked.form(), [expected]);
    // con%3Anector:a+b%3A%25%C3%A4
    assert_eq!(
        asked.header("authorization"),
        Some("Basic Y29uJTNBbmVjdG9yOmErYiUzQSUyNSVDMyVBNA==")
    );
}

#[tokio::test]
async fn a_secret_of_another_client_is_tried_without_a_word_of_our_own() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN if asked.body.contains("client_secret=right") => answer(200, "{}"),
        TOKEN => answer(401, ""),
        _ => Reply::Unexpected,
    })
    .await;
    let client = client(&idp);
    let endpoint = TokenEndpoint::At(format!("{}/token", idp.url()));
    for (secret, status) in [("right", 200), ("wrong", 401)] {
        let answer = client
            .try_secret(
                ample(),
                &endpoint,
                ClientAuthMethod::ClientSecretPost,
                ("theirs", &secret.to_owned().into()),
                Some("a"),
            )
            .await;
        assert_eq!(answer.unwrap().status(), status);
    }
    assert!(idp.asked(TOKEN)[0].body.ends_with("&scope=a"));
}

#[tokio::test]
async fn a_credential_that_the_token_endpoint_refuses_is_refused_and_nothing_else_is_sent() {
    let refusal = r#"{"error":"invalid_client","error_description":"not planted-secret"}"#;
    for status in [400, 401, 403] {
        let idp = endpoint(status, refusal).await;
        let secret = secret_file(SECRET);
        let client = client(&idp).authorized_by(credentials(&secret));
        let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
        assert_eq!(told(&fault), REFUSED, "{status}");
        let message = format!("POST /token answered {status}: invalid_client");
        assert_eq!(fault.to_string(), message);
        assert_eq!(idp.lines(), [TOKEN]);
    }
}

#[tokio::test]
async fn a_token_endpoint_that_fails_has_changed_nothing_even_for_a_change() {
    for (status, kind, reason) in [
        (429, "throttled", Reason::IdpThrottled),
        (500, "unavailable", Reason::IdpUnavailable),
        (200, "internal", Reason::IdpAnswerUnusable),
        (302, "internal", Reason::IdpAnswerUnusable),
    ] {
        let idp = endpoint(status, "{}").await;
        let secret = secret_file(SECRET);
        let client = client(&idp).authorized_by(credentials(&secret));
        let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
        let expected = (kind, Outcome::NotApplied, reason);
        assert_eq!(told(&fault), expected, "{status}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_told_before_anything_else_is_sent() {
    for token in [
        "planted\\n",
        "planted\\r\\nx: y",
        "planted token",
        "pl\u{e4}nted",
    ] {
        let grant = format!(r#"{{"access_token":"{token}"}}"#);
        let idp = Server::start(move |asked| match asked.line.as_str() {
            TOKEN => answer(200, &grant),
            _ => Reply::Unexpected,
        })
        .await;
        let secret = secret_file(SECRET);
        let client = client(&idp).authorized_by(credentials(&secret));
        let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
        let expected = ("internal", Outcome::NotApplied, Reason::IdpAnswerUnusable);
        assert_eq!(told(&fault), expected, "{token}");
        assert!(!fault.to_string().contains("nted"), "{fault}");
    }
}

#[tokio::test]
async fn the_secret_is_read_anew_for_each_token() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        // No token works twice: each call needs a new one.
        "GET /thing" if asked.nth % 2 == 0 => answer(401, ""),
        "GET /thing" => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let secret = secret_file("planted-1");
    let client = client(&idp).authorized_by(credentials(&secret));
    for number in 1..=3 {
        fs::write(secret.path(), format!("planted-{number}")).unwrap();
        client.get(&["thing"]).send(ample()).await.unwrap();
    }
    let secrets: Vec<_> = idp
        .asked(TOKEN)
        .iter()
        .map(|a| a.form()[2].1.clone())
        .collect();
    assert_eq!(secrets, ["planted-1", "planted-2", "planted-3"]);
}

#[tokio::test]
async fn a_secret_file_that_cannot_be_used_is_refused_by_its_name_and_mended_without_a_restart() {
    let idp = Server::start(|asked| match asked.line.as_str() {
        TOKEN => granted(asked),
        "POST /thing" => answer(200, "{}"),
        _ => Reply::Unexpected,
    })
    .await;
    let not_text = secret_file("");
    fs::write(not_text.path(), b"planted-secret\xff").unwrap();
    let too_long = secret_file(&"planted".repeat(10_000));
    let missing = NamedTempFile::new().unwrap();
    fs::remove_file(missing.path()).unwrap();
    for (nth, file) in [
        secret_file(""),
        secret_file("\n"),
        not_text,
        too_long,
        missing,
    ]
    .iter()
    .enumerate()
    {
        let client = client(&idp).authorized_by(credentials(file));
        let fault = client.post(&["thing"]).send(ample()).await.unwrap_err();
        assert_eq!(told(&fault), REFUSED);
        let text = fault.to_string();
        assert!(text.contains(file.path().to_str().unwrap()), "{text}");
        assert!(!text.contains("planted"), "{text}");
        assert_eq!(idp.lines().len(), 2 * nth, "nothing was sent");
        fs::write(file.path(), SECRET).unwrap();
        client.post(&["thing"]).send(ample()).await.unwrap();
    }
}
