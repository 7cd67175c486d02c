//! One request of a story: how it is sent, and what its answer tells.

use std::sync::atomic::Ordering;

use dcr_tests::http::Answer;
use serde_json::Value;

use super::Teller;
use crate::journal::now;
use crate::line::Heard;
use crate::plan::{KonnectHop, Send};
use crate::world::PROVIDERS;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) what: &'static str,
    /// Below the provider's.
    pub(crate) path: String,
    pub(crate) gateway: usize,
    pub(crate) hop: KonnectHop,
    /// Microseconds since 1970.
    pub(crate) from: u64,
    /// When it had left, if it was answered.
    pub(crate) left: Option<u64>,
    pub(crate) to: u64,
    /// The status that Konnect heard; 0 when no gateway took the request.
    pub(crate) status: Option<u16>,
}

impl Sent {
    /// Whether Konnect was told that it was done.
    pub(crate) fn is_done(&self) -> bool {
        self.status
            .is_some_and(|status| (200..=299).contains(&status))
    }

    /// Whether Konnect was promised that nothing was done.
    pub(crate) fn is_refused(&self) -> bool {
        self.status.is_some_and(refuses)
    }

    /// What Konnect heard, for a table.
    pub(crate) fn heard(&self) -> String {
        match self.status {
            None => "not answered".to_owned(),
            Some(0) => "not reached".to_owned(),
            Some(status) => status.to_string(),
        }
    }
}

/// What Konnect may conclude from an answer.
#[derive(Debug)]
pub(crate) enum Told {
    Done(Value),
    NotDone,
    /// Nobody knows.
    Open,
}

impl Teller<'_> {
    pub(super) async fn send(
        &self,
        what: &'static str,
        method: &str,
        path: &str,
        body: Option<&Value>,
        send: Send,
    ) -> Told {
        let request = Request {
            provider: self.provider,
            what,
            method,
            path,
            body,
        };
        self.send_to(request, send).await
    }

    /// Sends a request, or the same twice: then nothing is known unless both were answered.
    pub(super) async fn send_to(&self, request: Request<'_>, send: Send) -> Told {
        let KonnectHop::Twice(after) = send.hop else {
            return self.once(request, send).await;
        };
        if request.creates() {
            return self.once(request, send).await;
        }
        let first = Send {
            hop: KonnectHop::Whole,
            ..send
        };
        let second = Send {
            pause: send.pause + after,
            ..first
        };
        let both = tokio::join!(self.once(request, first), self.once(request, second));
        self.befell(send.hop);
        match both {
            (Told::Open, _) | (_, Told::Open) => Told::Open,
            (Told::NotDone, told) | (told, _) => told,
        }
    }

    async fn once(
        &self,
        request: Request<'_>,
        Send {
            pause,
            gateway,
            hop,
        }: Send,
    ) -> Told {
        tokio::time::sleep(pause).await;
        self.count.fetch_add(1, Ordering::SeqCst);
        let address = self.world.gateways[gateway];
        let Request {
            provider,
            what,
            method,
            path,
            body,
        } = request;
        let body = body.map(Value::to_string).unwrap_or_default();
        let (id, key) = (PROVIDERS[provider], self.world.key(provider));
        let text = format!(
            "{method} /{id}{path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let from = now();
        let line = match what {
            "trespass" => self.line.of_trespassers(),
            _ => self.line.clone(),
        };
        let heard = line.exchange(address, text.as_bytes(), hop).await;
        let to = now();
        match heard {
            Heard::Unreached => {}
            // It was there before Konnect had gone.
            Heard::Answer(..) if !matches!(hop, KonnectHop::Twice(_)) => {}
            Heard::Answer(..) | Heard::Nothing => self.befell(hop),
        }
        let mut left_at = None;
        let (status, told) = match heard {
            Heard::Answer(answer, left) => {
                left_at = Some(left);
                if !(answer.status.is_success() && request.gives_a_secret()) {
                    self.world.keep_answer(&answer);
                }
                (Some(answer.status.as_u16()), told(&answer))
            }
            Heard::Nothing => (None, Told::Open),
            Heard::Unreached => (Some(0), Told::NotDone),
        };
        let sent = Sent {
            what,
            path: path.to_owned(),
            gateway,
            hop,
            from,
            left: left_at,
            to,
            status,
        };
        if let Ok(mut all) = self.sent.lock() {
            all.push(sent);
        }
        told
    }

    /// Counts what has befallen a request.
    fn befell(&self, hop: KonnectHop) {
        if let Some(what) = hop.mishap() {
            let what = format!("between Konnect and a gateway: {what}");
            self.world.befell.add(what);
        }
    }
}

/// What is asked, and at which provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) provider: usize,
    pub(super) what: &'static str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
}

impl Request<'_> {
    /// Whether it makes something anew each time that it arrives.
    fn creates(&self) -> bool {
        matches!(self.what, "create" | "add")
    }

    /// Whether its answer holds a secret when all goes well.
    fn gives_a_secret(&self) -> bool {
        self.creates() || self.what == "rotate"
    }
}

/// What an answer says about what was done.
fn told(answer: &Answer) -> Told {
    match answer.status.as_u16() {
        200..=299 => Told::Done(serde_json::from_slice(&answer.body).unwrap_or_default()),
        status if refuses(status) => Told::NotDone,
        _ => Told::Open,
    }
}

/// Whether an answer promises that nothing was done: 500 and 504 leave it open, and so does 409, where the bridge's own
/// request may have arrived twice. Every other refusal does, and 0 says that no gateway took the request.
fn refuses(status: u16) -> bool {
    !matches!(status, 200..=299 | 409 | 500 | 504)
}
