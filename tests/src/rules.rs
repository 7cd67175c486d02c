//! What holds for every answer to Konnect, whatever was asked.

use http::StatusCode;

use crate::http::Answer;
use crate::schema::ErrorBody;

/// The only headers that leave the bridge. `connection` and `allow` come with a last answer and a 405.
const HEADERS: [&str; 8] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "x-request-id",
];
/// The statuses that the bridge answers with.
const STATUSES: [u16; 14] = [
    200, 201, 204, 400, 401, 404, 405, 409, 413, 429, 500, 502, 503, 504,
];
/// What would tell Konnect about the machines behind the bridge.
const MACHINES: [&str; 8] = [
    "://",
    "127.0.0.1",
    "[::1]",
    "localhost",
    "0.0.0.0",
    "tonic",
    "hyper",
    "transport error",
];

/// Everything that is wrong with an answer. `confidential` may not be in it at all.
pub(crate) fn broken(answer: &Answer, confidential: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let status = answer.status;
    if !STATUSES.contains(&status.as_u16()) {
        wrong.push(format!("status {status} is not one of the bridge's"));
    }
    if answer.header("cache-control") != Some("no-store") {
        wrong.push("Cache-Control is not no-store".to_owned());
    }
    for name in answer
        .headers
        .keys()
        .filter(|n| !HEADERS.contains(&n.as_str()))
    {
        wrong.push(format!("header {name} is not one of the bridge's"));
    }
    let content_type = answer.header("content-type");
    match (answer.body.is_empty(), content_type) {
        (true, None) | (false, Some("application/json")) => {}
        (empty, found) => wrong.push(format!("content type {found:?}, body empty: {empty}")),
    }
    if status == StatusCode::NO_CONTENT && !answer.body.is_empty() {
        wrong.push("a 204 has a body".to_owned());
    }
    let text = answer.text();
    let reference = answer.header("x-request-id");
    if reference.is_none() {
        wrong.push("not one X-Request-Id".to_owned());
    }
    for secret in confidential.iter().filter(|s| text.contains(s.as_str())) {
        wrong.push(format!(
            "the body holds a planted text of {} bytes",
            secret.len()
        ));
    }
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if confidential.iter().any(|s| value.contains(s.as_str())) {
            wrong.push(format!("header {name} holds a planted text"));
        }
    }
    if status.is_client_error() || status.is_server_error() {
        wrong.extend(broken_error(answer, &text));
    }
    let wait = answer.header("retry-after").map(str::parse::<u64>);
    match wait {
        Some(Ok(1..=60)) => {}
        Some(_) => wrong.push("Retry-After is not 1 to 60 seconds".to_owned()),
        None if status == StatusCode::SERVICE_UNAVAILABLE
            || status == StatusCode::TOO_MANY_REQUESTS =>
        {
            wrong.push(format!("{status} without one Retry-After"));
        }
        None => {}
    }
    wrong
}

fn broken_error(answer: &Answer, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Err(e) => wrong.push(format!(
            "the body of an error does not fit the schema ({e}): {text}"
        )),
        Ok(body) => {
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            if body.error.is_empty() || !body.error.chars().all(legal) {
                wrong.push(format!("error {:?} is no word for programs", body.error));
            }
            let reference = reference(&body.error_description);
            if reference.is_none() || reference != answer.header("x-request-id") {
                wrong.push(format!(
                    "not the call's reference in {:?}",
                    body.error_description
                ));
            }
            if body.error_description.contains(char::is_control) {
                wrong.push(format!(
                    "control characters in {:?}",
                    body.error_description
                ));
            }
        }
    }
    for machine in MACHINES.iter().filter(|machine| text.contains(*machine)) {
        wrong.push(format!("an error names {machine:?}: {text}"));
    }
    wrong
}

/// The name of the call in the logs, which every description ends with.
pub(crate) fn reference(description: &str) -> Option<&str> {
    let (_, id) = description.rsplit_once("Reference: ")?;
    let id = id.trim_end_matches('.');
    (id.len() >= 8 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str =
        r#"{"error":"no_such_client","error_description":"Gone. Reference: 01890a5dac96774b"}"#;
    const STORE: (&str, &str) = ("cache-control", "no-store");
    const ID: (&str, &str) = ("x-request-id", "01890a5dac96774b");
    const JSON: (&str, &str) = ("content-type", "application/json");
    const GOOD: [(&str, &str); 3] = [STORE, ID, JSON];

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let parsed = |(name, value): &(&'static str, &'static str)| {
            (
                name.parse::<http::HeaderName>().unwrap(),
                http::HeaderValue::from_static(value),
            )
        };
        let mut map = http::HeaderMap::new();
        for (name, value) in headers.iter().map(parsed) {
            map.append(name, value);
        }
        let status = StatusCode::from_u16(status).unwrap();
        Answer {
            status,
            headers: map,
            body: body.as_bytes().into(),
        }
    }

    #[test]
    fn what_is_right_breaks_no_rule() {
        for right in [
            answer(201, &GOOD, "{}"),
            answer(204, &[STORE, ID], ""),
            answer(404, &GOOD, ERROR),
            answer(503, &[STORE, ID, JSON, ("retry-after", "5")], ERROR),
        ] {
            assert_eq!(
                broken(&right, &["hunter2".to_owned()]),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn each_rule_can_be_broken() {
        let with = |description: &str| -> &'static str {
            let text = format!(r#"{{"error":"x","error_description":{description}}}"#);
            Box::leak(text.into_boxed_str())
        };
        let leaky = with(r#""http://idp/ said no. Reference: 01890a5dac96774b""#);
        let nameless = with(r#""No.""#);
        let other = with(r#""No. Reference: 01890a5dac96774c""#);
        let list = with(r#"["No. Reference: 01890a5dac96774b"]"#);
        let more = with(r#""No. Reference: 01890a5dac96774b","status":1"#);
        for (wrong, why) in [
            (answer(302, &GOOD, "{}"), "status"),
            (answer(201, &[ID, JSON], "{}"), "no-store"),
            (answer(201, &[STORE, STORE, ID, JSON], "{}"), "no-store"),
            (answer(201, &[STORE, JSON], "{}"), "X-Request-Id"),
            (
                answer(201, &[STORE, ID, JSON, ("server", "x")], "{}"),
                "header server",
            ),
            (answer(201, &[STORE, ID], "{}"), "content type"),
            (
                answer(201, &[STORE, ID, ("content-type", "text/plain")], "{}"),
                "content type",
            ),
            (
                answer(201, &GOOD, r#"{"client_secret":"hunter2"}"#),
                "planted",
            ),
            (
                answer(201, &[STORE, ID, JSON, ("allow", "hunter2")], "{}"),
                "planted",
            ),
            (answer(404, &[STORE, ID], ""), "schema"),
            (answer(404, &GOOD, nameless), "not the call's reference"),
            (answer(404, &GOOD, other), "not the call's reference"),
            (answer(404, &GOOD, list), "schema"),
            (answer(404, &GOOD, more), "schema"),
            (answer(404, &GOOD, leaky), "names"),
            (answer(503, &GOOD, ERROR), "Retry-After"),
            (
                answer(503, &[STORE, ID, JSON, ("retry-after", "61")], ERROR),
                "Retry-After",
            ),
        ] {
            let found = broken(&wrong, &["hunter2".to_owned()]).join("; ");
            assert!(found.contains(why), "{why:?} was not found in: {found}");
        }
    }
}
