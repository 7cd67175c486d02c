//! One client's life as Konnect lives it, and what Konnect knows at its end.

mod sending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dcr_tests::konnect::{application, event, merge, verify};
use serde_json::{Value, json};

use crate::foreign::Kind;
use crate::known::{Known, Life, Secret};
use crate::line::Line;
use crate::plan::{KonnectHop, Send, Step, Story, Trespass, Trespassing};
use crate::world::World;

pub(crate) use sending::Sent;
use sending::{Request, Told};

/// All that came of a story.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) name: String,
    pub(crate) alone: bool,
    pub(crate) known: Option<Known>,
    pub(crate) sent: Vec<Sent>,
    /// What was answered and may not be.
    pub(crate) wrong: Vec<String>,
}

pub(crate) struct Teller<'a> {
    world: &'a World,
    line: &'a Line,
    count: &'a AtomicUsize,
    provider: usize,
    sent: std::sync::Mutex<Vec<Sent>>,
    wrong: std::sync::Mutex<Vec<String>>,
}

/// Lives a story, until `count` reaches `most`.
pub(crate) async fn tell(
    world: &World,
    line: &Line,
    (count, most): (&AtomicUsize, usize),
    story: Story,
) -> Ending {
    let teller = Teller {
        world,
        line,
        count,
        provider: usize::from(story.alone),
        sent: std::sync::Mutex::default(),
        wrong: std::sync::Mutex::default(),
    };
    let body = if story.verify {
        let mut body = verify();
        merge(&mut body, &json!({ "client_name": story.name }));
        body
    } else {
        application(&story.name)
    };
    let created = teller
        .send("create", "POST", "/", Some(&body), story.create)
        .await;
    let mut known = None;
    if let Told::Done(client) = created {
        let id = client.get("client_id").and_then(Value::as_str);
        let mut new = Known::new(id.unwrap_or_default());
        new.got(&client);
        for (number, (step, first, second)) in story.steps.iter().enumerate() {
            // So that the last lives do not go on for a minute.
            if count.load(Ordering::SeqCst) >= most {
                break;
            }
            let sends = [*first, *second];
            if let Err(what) = teller.step(&mut new, &story, number, *step, sends).await {
                teller.is_wrong(format!("{} {step:?}: {what}", story.name));
            }
        }
        known = Some(new);
    }
    Ending {
        name: story.name,
        alone: story.alone,
        known,
        sent: teller.sent.into_inner().unwrap_or_default(),
        wrong: teller.wrong.into_inner().unwrap_or_default(),
    }
}

/// Rotates once more, when nothing goes wrong; the new secret.
pub(crate) async fn rotate_again(world: &World, alone: bool, id: &str) -> Option<String> {
    let teller = Teller {
        world,
        line: &Line::new(Arc::clone(&world.certificates)),
        count: &AtomicUsize::new(0),
        provider: usize::from(alone),
        sent: std::sync::Mutex::default(),
        wrong: std::sync::Mutex::default(),
    };
    let send = Send {
        pause: Duration::ZERO,
        gateway: 0,
        hop: KonnectHop::Whole,
    };
    let path = format!("/{id}/new-secret");
    match teller.send("rotate", "POST", &path, None, send).await {
        Told::Done(answer) => Some(answer.get("client_secret")?.as_str()?.to_owned()),
        Told::NotDone | Told::Open => None,
    }
}

impl Teller<'_> {
    async fn step(
        &self,
        known: &mut Known,
        story: &Story,
        number: usize,
        step: Step,
        [first, second]: [Send; 2],
    ) -> Result<(), String> {
        let id = known.id.clone();
        match step {
            Step::Rotate => {
                let path = format!("/{id}/new-secret");
                match self.send("rotate", "POST", &path, None, first).await {
                    Told::Done(answer) => {
                        known.rotated();
                        known.got(&answer);
                    }
                    Told::NotDone => {}
                    Told::Open => known.maybe_rotated(),
                }
            }
            Step::Add => {
                let path = format!("/{id}/secrets");
                if let Told::Done(answer) = self.send("add", "POST", &path, None, first).await {
                    known.got(&answer);
                }
            }
            Step::Remove => {
                let living = |s: &&mut Secret| s.life == Life::Lives && s.id.is_some();
                let Some(secret) = known.secrets.iter_mut().find(living) else {
                    return Ok(());
                };
                let path = format!("/{id}/secrets/{}", secret.id.as_deref().unwrap_or_default());
                match self.send("remove", "DELETE", &path, None, first).await {
                    Told::Done(_) => secret.life = Life::Dead,
                    Told::NotDone => {}
                    Told::Open => secret.life = Life::Open,
                }
            }
            Step::Update => {
                let description = format!("described at step {number}");
                let members =
                    json!({ "application_description": description, "application_name": null });
                match self.hook("update_application", &id, members, first).await {
                    Told::Done(_) if known.descriptions.len() == 1 => {
                        known.descriptions = vec![description];
                    }
                    // One that was lost may still come.
                    Told::Done(_) | Told::Open => known.descriptions.push(description),
                    Told::NotDone => {}
                }
            }
            Step::Register(audience) => {
                self.register(known, &format!("entity-{number}"), audience, first)
                    .await;
            }
            Step::Unregister => {
                let entity = known
                    .registered
                    .as_ref()
                    .and_then(BTreeMap::first_key_value);
                let Some((entity, audience)) = entity.map(|(entity, a)| (entity.clone(), *a))
                else {
                    return Ok(());
                };
                let audience = format!("https://{audience}.example");
                let members = json!({ "api_id": entity, "audience": audience });
                let told = self.hook("remove_registration", &id, members, first).await;
                known.registered = match (told, known.registered.take()) {
                    (Told::Done(_), Some(mut all)) => {
                        all.remove(&entity);
                        Some(all)
                    }
                    (Told::NotDone, all) => all,
                    _ => None,
                };
            }
            Step::RegisterTwo => self.register_two(known, first, second).await,
            Step::List => {
                let path = format!("/{id}/secrets");
                if let Told::Done(answer) = self.send("list", "GET", &path, None, first).await {
                    Self::listed(known, &answer)?;
                }
            }
            Step::Trespass(trespass) => {
                let foreign = trespass.kind.map(|kind| kind.id(story, number));
                let id = foreign.as_deref().unwrap_or(&known.id);
                self.trespass(trespass, id, first).await?;
            }
            Step::Delete => match self
                .send("delete", "DELETE", &format!("/{id}"), None, first)
                .await
            {
                Told::Done(_) => known.delete = Life::Dead,
                Told::NotDone => {}
                Told::Open => known.delete = Life::Open,
            },
        }
        Ok(())
    }

    fn listed(known: &Known, answer: &Value) -> Result<(), String> {
        let listed = answer.get("secrets").and_then(Value::as_array);
        let listed = listed.ok_or("a list without secrets")?;
        for secret in &known.secrets {
            let Some(id) = &secret.id else { continue };
            let there = listed.iter().any(|entry| entry["secret_id"] == json!(id));
            if there && secret.life == Life::Dead || !there && secret.life == Life::Lives {
                return Err(format!("{:?} and listed: {there}", secret.life));
            }
        }
        Ok(())
    }

    /// Names a client that is not the provider's: it is not there, whatever is asked.
    async fn trespass(&self, trespass: Trespass, id: &str, send: Send) -> Result<(), String> {
        let (method, path) = match trespass.call {
            Trespassing::Delete => ("DELETE", format!("/{id}")),
            Trespassing::Rotate => ("POST", format!("/{id}/new-secret")),
            Trespassing::Add => ("POST", format!("/{id}/secrets")),
            Trespassing::List => ("GET", format!("/{id}/secrets")),
        };
        let provider = match trespass.kind {
            Some(_) => self.provider,
            None => 1 - self.provider,
        };
        let request = Request {
            provider,
            what: "trespass",
            method,
            path: &path,
            body: None,
        };
        self.send_to(request, send).await;
        let left = trespass.kind.is_some_and(Kind::is_left_in_place);
        let status = match trespass.call {
            Trespassing::Delete if left => 204,
            _ => 404,
        };
        let all = self.sent.lock().ok();
        let heard = all.and_then(|all| all.last().and_then(|last| last.status));
        match heard {
            // Nobody has looked.
            None | Some(0 | 429 | 502 | 503 | 504) => Ok(()),
            Some(heard) if heard == status => Ok(()),
            // It came twice to a connector, and this is what the second was told.
            Some(409) if matches!(trespass.call, Trespassing::Rotate | Trespassing::Add) => Ok(()),
            Some(heard) => Err(format!("{method} {path} answered {heard}, not {status}")),
        }
    }

    async fn register(&self, known: &mut Known, entity: &str, audience: &'static str, send: Send) {
        let told = self.registered(&known.id, entity, audience, send).await;
        known.registered = match (told, known.registered.take()) {
            (Told::Done(_), Some(mut all)) => {
                all.insert(entity.to_owned(), audience);
                Some(all)
            }
            (Told::NotDone, all) => all,
            _ => None,
        };
    }

    async fn register_two(&self, known: &mut Known, first: Send, second: Send) {
        // Each replica alone keeps two audiences apart; two replicas need not.
        let other = if self.provider == 1 { "b" } else { "a" };
        // At the same time, not only in the same second.
        let pause = first.pause;
        let through = |gateway, send| Send {
            pause,
            gateway,
            ..send
        };
        let (one, two) = tokio::join!(
            self.registered(&known.id, "entity-one", "a", through(0, first)),
            self.registered(&known.id, "entity-two", other, through(1, second)),
        );
        let mut all = BTreeMap::new();
        for (entity, audience, told) in [("entity-one", "a", one), ("entity-two", other, two)] {
            match told {
                Told::Done(_) => all.insert(entity.to_owned(), audience),
                Told::NotDone => None,
                Told::Open => return known.registered = None,
            };
        }
        known.registered = Some(all);
    }

    async fn registered(&self, id: &str, entity: &str, audience: &str, send: Send) -> Told {
        let audience = format!("https://{audience}.example");
        let members = json!({ "api_id": entity, "audience": audience });
        self.hook("add_registration", id, members, send).await
    }

    async fn hook(&self, what: &'static str, id: &str, members: Value, send: Send) -> Told {
        let mut body = event(what, id, &json!({}));
        merge(&mut body, &members);
        let path = format!("/{id}/event-hook");
        self.send(what, "POST", &path, Some(&body), send).await
    }

    fn is_wrong(&self, what: String) {
        if let Ok(mut all) = self.wrong.lock() {
            all.push(what);
        }
    }
}
