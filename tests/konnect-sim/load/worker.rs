//! One connection: the clients that it made, and what it does with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dcr_tests::konnect::{application, event};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::mix::{Kind, Mix};
use super::pace::Pace;
use super::tally::{Sort, Tally};
use crate::bridge::{Bridge, Exchange};
use crate::call::Call;
use crate::names::Names;

/// How long a connection that failed stays away, so that a bridge that is gone is not called in a loop.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    bridge: Bridge,
    mix: Mix,
    tally: Arc<Tally>,
    pace: Arc<Pace>,
    names: Arc<Names>,
    clients: Vec<String>,
    stop: CancellationToken,
    end: Instant,
}

impl Worker {
    pub(super) fn new(
        bridge: Bridge,
        mix: Mix,
        tally: Arc<Tally>,
        pace: Arc<Pace>,
        names: Arc<Names>,
    ) -> Self {
        Self {
            bridge,
            mix,
            tally,
            pace,
            names,
            clients: Vec::new(),
            stop: CancellationToken::new(),
            end: Instant::now(),
        }
    }

    /// Goes on until it is stopped, or the end has come.
    pub(super) async fn run(mut self, stop: CancellationToken, end: Instant) {
        self.stop = stop;
        self.end = end;
        while !self.is_over() {
            let kind = self.mix.choose();
            match self.one() {
                // Everything but a create needs a client.
                Some(client) if kind != Kind::Create => self.change(kind, &client).await,
                _ => self.create().await,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.end
    }

    fn one(&self) -> Option<String> {
        let place = fastrand::usize(..self.clients.len().max(1));
        self.clients.get(place).cloned()
    }

    async fn create(&mut self) {
        let body = application(&self.names.next());
        let created = self.time(Sort::Create, &Call::create(&body), 201).await;
        if let Some(created) = created {
            self.clients.extend(created.text("client_id"));
        }
    }

    async fn change(&mut self, kind: Kind, client: &str) {
        match kind {
            Kind::Create => {}
            Kind::Delete => {
                self.clients.retain(|known| known != client);
                self.time(Sort::Delete, &Call::delete(client), 204).await;
            }
            Kind::Rotate => {
                self.time(Sort::Rotate, &Call::rotate(client), 200).await;
            }
            Kind::List => {
                self.time(Sort::List, &Call::list(client), 200).await;
            }
            Kind::Update => {
                let members = json!({"redirect_uris": ["https://ferry.example/other"]});
                let event = self.event("update_application", client, &members);
                self.time(Sort::Update, &Call::hook(client, &event), 200)
                    .await;
            }
            Kind::Register => {
                let entity = json!({"api_product_version_id": Uuid::new_v4().to_string()});
                for (sort, name) in [
                    (Sort::Register, "add_registration"),
                    (Sort::Deregister, "remove_registration"),
                ] {
                    let event = self.event(name, client, &entity);
                    self.time(sort, &Call::hook(client, &event), 200).await;
                }
            }
            Kind::Secret => {
                let added = self.time(Sort::Add, &Call::add(client), 201).await;
                if let Some(id) = added.and_then(|added| added.text("secret_id")) {
                    self.time(Sort::Remove, &Call::remove(client, &id), 204)
                        .await;
                }
            }
        }
    }

    /// An event that leaves the client's name as one by which it is found.
    fn event(&self, event_type: &str, client: &str, members: &Value) -> Value {
        let mut event = event(event_type, client, members);
        if let Some(name) = event.get_mut("application_name") {
            *name = self.names.next().into();
        }
        event
    }

    /// Makes a call and counts it. The answer, if it is a success.
    async fn time(&self, sort: Sort, call: &Call, wanted: u16) -> Option<Exchange> {
        self.pace.turn().await;
        let answered = self.bridge.once(call).await;
        match answered {
            Ok(exchange) if exchange.status().as_u16() == wanted => {
                self.tally.succeeded(sort, exchange.took);
                Some(exchange)
            }
            Ok(exchange) => {
                let error = format!("answered {}", exchange.status().as_u16());
                self.tally.failed(sort, &error, &exchange.complaint());
                None
            }
            Err(e) => {
                self.tally.failed(sort, "no answer", &e);
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }
}
