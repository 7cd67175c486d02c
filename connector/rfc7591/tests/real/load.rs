//! Konnect at work while things are killed: lives of clients, and what was heard of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use dcr_tests::Konnect;
use dcr_tests::konnect::event;
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::world::ferry;

/// What was heard of a client since its 201.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Through which gateway.
    pub(crate) through: usize,
    /// The secret that was delivered last; `None` when an answer that may have held a newer one was lost.
    pub(crate) secret: Option<String>,
    /// Whether a call that changes it failed, so that it may have been on its way when something was killed.
    pub(crate) was_cut: bool,
    pub(crate) deletion: Deletion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    No,
    /// Asked for, and not heard of.
    Maybe,
    Done,
}

/// One gateway's worth of Konnect, and what it may ask of the server.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) through: usize,
    pub(crate) konnect: Konnect,
    pub(crate) updates: bool,
    pub(crate) rotates: bool,
}

impl Load {
    /// Leads clients through their lives until it is told to stop; every client that was delivered, by its id.
    pub(crate) async fn run(
        self,
        mut dice: fastrand::Rng,
        stop: &AtomicBool,
    ) -> BTreeMap<String, Heard> {
        let mut heard = BTreeMap::new();
        while !stop.load(Ordering::Relaxed) {
            let Some((StatusCode::CREATED, made)) =
                self.ask(Method::POST, "/", Some(&ferry())).await
            else {
                continue;
            };
            let id = text(&made, "client_id");
            let mut client = Heard {
                through: self.through,
                secret: Some(text(&made, "client_secret")),
                was_cut: false,
                deletion: Deletion::No,
            };
            for _ in 0..dice.u8(0..5) {
                if !stop.load(Ordering::Relaxed) {
                    self.work_on(&id, &mut client, &mut dice).await;
                }
            }
            if dice.bool() {
                let answer = self.ask(Method::DELETE, &format!("/{id}"), None).await;
                client.deletion = match answer {
                    Some((StatusCode::NO_CONTENT, _)) => Deletion::Done,
                    _ => Deletion::Maybe,
                };
            }
            heard.insert(id, client);
        }
        heard
    }

    async fn work_on(&self, id: &str, client: &mut Heard, dice: &mut fastrand::Rng) {
        let rotates = self.rotates && (!self.updates || dice.u8(0..4) == 0);
        if rotates {
            let answer = self
                .ask(Method::POST, &format!("/{id}/new-secret"), None)
                .await;
            client.secret = match answer {
                Some((StatusCode::OK, secret)) => Some(text(&secret, "client_secret")),
                other => {
                    client.cut_short(other);
                    None
                }
            };
        } else if self.updates {
            let update = event(
                "update_application",
                id,
                &json!({"application_name": format!("ferry {}", dice.u32(..))}),
            );
            let answer = self
                .ask(Method::POST, &format!("/{id}/event-hook"), Some(&update))
                .await;
            if !matches!(answer, Some((StatusCode::OK, _))) {
                client.cut_short(answer);
            }
        }
    }

    /// Asks once; `None` when there is no answer, which a bridge that is killed is excused for.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(StatusCode, Value)> {
        let request = self
            .konnect
            .request(method, path)
            .header("content-type", "application/json");
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request
            .body(Full::from(body))
            .expect("a request that HTTP can write");
        let reply = self.konnect.try_send(request).await.ok()?;
        let status = reply.answer.status;
        let body = reply.answer.body;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

impl Heard {
    /// A change that was not heard to have been made.
    fn cut_short(&mut self, answer: Option<(StatusCode, Value)>) {
        if let Some((status, body)) = answer {
            assert!(
                status.is_server_error(),
                "a delivered client met {status}: {body}"
            );
        }
        self.was_cut = true;
    }
}

fn text(body: &Value, name: &str) -> String {
    body[name]
        .as_str()
        .expect("the contract's member")
        .to_owned()
}
