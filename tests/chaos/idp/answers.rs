//! From a request to its answer, through what goes wrong on the way.

mod tokens;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dcr_tests::http::Answer;
use dcr_tests::mishap::{Body, half, respond};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::journal::{Call, Client, Event, Secret};
use crate::mishaps::{Mishap, draw, usual};
use crate::requests::{Asked, understood};
use crate::table::{Refusal, Table};

pub(crate) struct Idp {
    table: Mutex<Table>,
    /// The file of the admin API's credentials, which are whatever it holds now.
    credentials: PathBuf,
    /// Whose an access token is, and the secret that it was got with.
    tokens: Mutex<HashMap<String, (String, String)>>,
    seed: u64,
    mishaps: u32,
    /// How many requests are not done with, whether or not their caller still waits.
    pending: AtomicUsize,
}

impl Idp {
    pub(crate) fn open(
        journal: &Path,
        credentials: PathBuf,
        seed: u64,
        mishaps: u32,
    ) -> io::Result<Self> {
        Ok(Self {
            table: Mutex::new(Table::open(journal)?),
            credentials,
            tokens: Mutex::default(),
            seed,
            mishaps,
            pending: AtomicUsize::new(0),
        })
    }

    /// Answers a request, or cuts its connection.
    #[expect(
        clippy::disallowed_methods,
        reason = "what was asked for is done also when the caller has gone"
    )]
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let path = head.uri.path().to_owned();
        match (&head.method, path.as_str()) {
            (&Method::GET, "/pending") => {
                let pending = self.pending.load(Ordering::SeqCst);
                return Ok(respond(json_answer(200, &json!({ "pending": pending }))));
            }
            (&Method::POST, "/token") => {
                return self.token(&head.headers, &body).await;
            }
            _ => {}
        }
        let read = |idp: &Self| {
            let by = idp.admin(&head.headers)?;
            let (asked, id) = understood(&head.method, &head.uri, &head.headers, &body)?;
            Ok((by, asked, id))
        };
        let (by, asked, id) = match read(&self) {
            Ok(read) => read,
            Err(refusal) => return Ok(respond(refused(refusal))),
        };
        self.pending.fetch_add(1, Ordering::SeqCst);
        let task = tokio::spawn(async move {
            let done = Arc::clone(&self).spoiled(&by, asked, &id).await;
            self.pending.fetch_sub(1, Ordering::SeqCst);
            done
        });
        task.await?
    }

    async fn spoiled(
        self: Arc<Self>,
        by: &str,
        asked: Asked,
        id: &str,
    ) -> io::Result<Response<Body>> {
        let call = asked.call();
        let (usual, mishap) = {
            let mut table = self.table();
            let name = match &asked {
                Asked::Create(new) => {
                    table.is_named(id, &new.name);
                    new.name.clone()
                }
                Asked::List(_) => by.to_owned(),
                _ => table.name(id),
            };
            let nth = table.count(&name, call);
            let name_and_nth = format!("{name}/{nth}");
            let mishap = draw(self.seed, self.mishaps, call, &name_and_nth);
            let arrived = Event::Arrived {
                call,
                client_id: id.to_owned(),
                name,
                mishap: mishap.as_ref().map(|mishap| format!("{mishap:?}")),
            };
            table.note(by, arrived);
            (usual(self.seed, call, &name_and_nth), mishap)
        };
        let cut = || Err(io::ErrorKind::ConnectionAborted.into());
        match mishap {
            None => {
                sleep(usual).await;
                Ok(respond(self.done(by, asked, id)))
            }
            Some(Mishap::Slow(time)) => {
                sleep(time).await;
                Ok(respond(self.done(by, asked, id)))
            }
            Some(Mishap::CutThenCommit(time)) => {
                self.late(time, by, asked, id);
                cut()
            }
            Some(Mishap::Hang) => {
                let _ = self.do_it(by, asked, id);
                self.pending.fetch_sub(1, Ordering::SeqCst);
                // Longer than anybody waits.
                sleep(Duration::from_secs(90)).await;
                self.pending.fetch_add(1, Ordering::SeqCst);
                cut()
            }
            Some(Mishap::CutBefore) => cut(),
            Some(Mishap::CutAfter) => {
                let _ = self.do_it(by, asked, id);
                cut()
            }
            Some(Mishap::HalfAnAnswer) => Ok(half(&self.do_it(by, asked, id))),
            Some(Mishap::Throttled(retry_after)) => {
                let mut answer = refused((429, "slow_down"));
                if let Some(text) = retry_after {
                    let value = HeaderValue::from_static(text);
                    answer.headers.insert("retry-after", value);
                }
                self.answered(by, call, id, &answer);
                Ok(respond(answer))
            }
            Some(Mishap::FailedAfter) => {
                let _ = self.do_it(by, asked, id);
                let answer = refused((500, "server_error"));
                self.answered(by, call, id, &answer);
                Ok(respond(answer))
            }
            Some(Mishap::UnavailableBefore) => {
                let answer = refused((503, "temporarily_unavailable"));
                self.answered(by, call, id, &answer);
                Ok(respond(answer))
            }
            Some(Mishap::Squatted) => {
                if let Asked::Create(new) = &asked {
                    self.table().squat(new);
                }
                cut()
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what was asked for is done also when the caller has gone"
    )]
    fn late(self: &Arc<Self>, time: Duration, by: &str, asked: Asked, id: &str) {
        let (idp, by, id) = (Arc::clone(self), by.to_owned(), id.to_owned());
        self.pending.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            sleep(time).await;
            let _ = idp.do_it(&by, asked, &id);
            idp.pending.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Does what was asked for, notes the answer and gives it.
    fn done(&self, by: &str, asked: Asked, id: &str) -> Answer {
        let call = asked.call();
        let answer = self.do_it(by, asked, id);
        self.answered(by, call, id, &answer);
        answer
    }

    fn answered(&self, by: &str, call: Call, id: &str, answer: &Answer) {
        let answered = Event::Answered {
            call,
            client_id: id.to_owned(),
            status: answer.status.as_u16(),
        };
        self.table().note(by, answered);
    }

    fn do_it(&self, by: &str, asked: Asked, id: &str) -> Answer {
        let mut table = self.table();
        let done = match asked {
            Asked::Get => table.get(id).map(|client| (200, shown(client))),
            Asked::Secrets => table.get(id).map(|client| {
                let known =
                    |s: &Secret| json!({ "secret_id": s.secret_id, "created_at": s.created_at, "label": s.label });
                let secrets: Vec<_> = client.secrets.iter().map(known).collect();
                (200, json!({ "secrets": secrets }))
            }),
            Asked::Create(new) => table.create(by, new).map(|client| {
                let mut created = shown(&client);
                for (name, value) in secret(&client.secrets[0]) {
                    created[name] = value;
                }
                (201, created)
            }),
            Asked::Patch(patch) => table
                .update(by, id, patch)
                .map(|client| (200, shown(&client))),
            Asked::Delete => table.delete(by, id).map(|()| (204, Value::Null)),
            Asked::Rotate => table
                .rotate(by, id)
                .map(|new| (200, Value::Object(secret(&new)))),
            Asked::Add(new) => table
                .add(by, id, new)
                .map(|new| (201, Value::Object(secret(&new)))),
            Asked::Remove(which) => table.remove(by, id, &which).map(|()| (204, Value::Null)),
            Asked::List(filter) => {
                let (clients, next) = table.list(&filter);
                let clients: Vec<_> = clients.into_iter().map(shown).collect();
                Ok((200, json!({ "clients": clients, "next": next })))
            }
        };
        match done {
            Ok((status, Value::Null)) => Answer {
                status: status_of(status),
                headers: HeaderMap::new(),
                body: Bytes::new(),
            },
            Ok((status, body)) => json_answer(status, &body),
            Err(refusal) => refused(refusal),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(client: &Client) -> Value {
    let mut shown = json!(client);
    if let Some(members) = shown.as_object_mut() {
        members.remove("secrets");
        members.retain(|_, value| !value.is_null());
    }
    shown
}

fn secret(secret: &Secret) -> serde_json::Map<String, Value> {
    match json!(secret) {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    }
}

fn refused((status, error): Refusal) -> Answer {
    json_answer(status, &json!({ "error": error }))
}

fn json_answer(status: u16, body: &Value) -> Answer {
    let json = HeaderValue::from_static("application/json");
    Answer {
        status: status_of(status),
        headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, json)]),
        body: body.to_string().into(),
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status of HTTP")
}
