//! Access tokens: for whom there is one, and whose one is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::PoisonError;

use dcr_tests::http::Answer;
use dcr_tests::mishap::{Body, half, respond};
use http::{HeaderMap, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Idp, json_answer, refused};
use crate::journal::{Call, Event, SECRET};
use crate::mishaps::{TokenMishap, draw_of_token};
use crate::requests::{Result, is_of_type};

/// How long an access token lives (seconds): short, so that many are asked for, and long enough to be renewed (at four
/// fifths of it) before it is not used any more (a second before its end).
const LIFE: u32 = 6;

impl Idp {
    /// Gives a token, or makes a mishap of it when a connector asks.
    pub(super) async fn token(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> io::Result<Response<Body>> {
        let (id, answer) = match self.grant(headers, body) {
            Ok(granted) => granted,
            Err(refusal) => return Ok(respond(refused(refusal))),
        };
        let Some(connector) = id else {
            return Ok(respond(answer));
        };
        let mishap = {
            let mut table = self.table();
            let nth = table.count(&connector, Call::Token);
            let mishap = draw_of_token(self.seed, self.mishaps, &format!("{connector}/{nth}"));
            let arrived = Event::Arrived {
                call: Call::Token,
                client_id: connector.clone(),
                name: connector.clone(),
                mishap: mishap.map(|mishap| format!("{mishap:?}")),
            };
            table.note(&connector, arrived);
            mishap
        };
        // A good credential is refused by a mishap alone.
        if answer.status == StatusCode::UNAUTHORIZED {
            self.answered(&connector, Call::Token, &connector, &answer);
        }
        match mishap {
            None => {}
            Some(TokenMishap::Late(time)) => sleep(time).await,
            Some(TokenMishap::Failed) => return Ok(respond(refused((500, "server_error")))),
            Some(TokenMishap::Refused) => return Ok(respond(refused((401, "invalid_client")))),
            Some(TokenMishap::HalfAnAnswer) => return Ok(half(&answer)),
        }
        Ok(respond(answer))
    }

    /// RFC 6749 section 4.4, with the credentials in the body; and for which connector, if it is for one.
    fn grant(&self, headers: &HeaderMap, body: &[u8]) -> Result<(Option<String>, Answer)> {
        is_of_type(headers, "application/x-www-form-urlencoded")?;
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text)
                .decode_utf8()
                .ok()
                .map(Cow::into_owned)
        };
        let text = std::str::from_utf8(body).map_err(|_| (400, "invalid_request"))?;
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((decode(name)?, decode(value)?))
        };
        let form: HashMap<_, _> = text.split('&').filter_map(pair).collect();
        let value = |name| form.get(name).map(String::as_str).unwrap_or_default();
        if value("grant_type") != "client_credentials" {
            return Err((400, "unsupported_grant_type"));
        }
        let (id, secret) = (value("client_id"), value("client_secret"));
        let is_admin = self.is_admin(id, secret);
        let opens = || {
            let table = self.table();
            let client = table.get(id);
            client.is_ok_and(|c| c.secrets.iter().any(|s| s.client_secret == secret))
        };
        let connector = id.starts_with("connector-").then(|| id.to_owned());
        if !is_admin && (value("scope") == "admin" || !opens()) {
            return Ok((connector, refused((401, "invalid_client"))));
        }
        let token = format!("{}{}", SECRET, Uuid::new_v4().as_simple());
        if is_admin {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.insert(token.clone(), (id.to_owned(), secret.to_owned()));
        }
        let grant = json!({ "access_token": token, "token_type": "Bearer", "expires_in": LIFE });
        Ok((connector, json_answer(200, &grant)))
    }

    /// Whose access token it is (RFC 6750).
    pub(super) fn admin(&self, headers: &HeaderMap) -> Result<String> {
        let mut all = headers.get_all("authorization").iter();
        let one = all.next().and_then(|value| value.to_str().ok());
        let token = one.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.filter(|_| all.next().is_none());
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let by = token.and_then(|token| tokens.get(token));
        // With a secret end its tokens.
        let by = by.filter(|(id, secret)| self.is_admin(id, secret));
        by.map(|(id, _)| id.clone()).ok_or((401, "invalid_token"))
    }

    fn is_admin(&self, id: &str, secret: &str) -> bool {
        let known = std::fs::read_to_string(&self.credentials).unwrap_or_default();
        known.lines().any(|line| line == format!("{id} {secret}"))
    }
}
