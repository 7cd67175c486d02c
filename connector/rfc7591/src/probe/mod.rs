//! Learning what a server does, from a client that is made for that and removed again.

mod client;

use std::time::Duration;

use dcr_connector::fault::Fault;
use dcr_connector::http::{Answer, Method, StatusCode};
use dcr_connector::model::{Deadline, Finding, Severity};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;

use self::client::Client;
use crate::Rfc7591;
use crate::api::Server;
use crate::behaviour::{Behaviour, Get, PutSecret, PutToken};
use crate::metadata::{Information, Metadata, is_same};

/// What administrators of the server see, should one stay behind.
const NAME: &str = "dcr-bridge check --probe, may be deleted";
/// For one call.
const PATIENCE: Duration = Duration::from_secs(10);

/// Learns, and says how it fits what is configured.
pub(crate) async fn probe(idp: &Rfc7591, deadline: Deadline) -> Vec<Finding> {
    if !idp.is_managed() {
        let sentence = "Nothing was probed: a client made for that could not be removed again (idp.management).";
        return vec![Finding::new(Severity::Warning, "NOT_PROBED", sentence)];
    }
    let server = match idp.api.found(deadline).await {
        Ok(server) => server,
        Err(fault) => return vec![failed("NOT_PROBED", "Nothing was probed", &fault)],
    };
    let mut probe = Probe {
        idp,
        server: &server,
        deadline,
        findings: Vec::new(),
    };
    let mut methods = idp.mapping.auth_methods.iter().copied();
    if let Some(mut client) = probe.register(methods.next()).await {
        let learned = probe.learn(&mut client).await;
        probe.compare(learned);
    }
    // Of a template's instances no more is to be learned.
    if idp.mapping.template.is_none() {
        for method in methods {
            if let Some(client) = probe.register(Some(method)).await {
                probe.delete(&client).await;
            }
        }
    }
    probe.findings
}

struct Probe<'a> {
    idp: &'a Rfc7591,
    server: &'a Server,
    deadline: Deadline,
    findings: Vec<Finding>,
}

/// What an answer is worth.
enum Read {
    Information(Box<Information>),
    /// The server has no such call.
    Unsupported,
    /// It has, and does not take this one.
    Refused,
    /// Nothing is to be learned of it.
    Nothing,
}

/// What a PUT did.
enum Put {
    Kept,
    New,
    Refused,
    Unsupported,
    /// Nobody can tell.
    Unknown,
}

/// The statuses that say that there is no such call. All others may be a matter of the moment, or of rights.
const UNSUPPORTED: [StatusCode; 3] = [
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::NOT_IMPLEMENTED,
];
/// Those by which servers refuse a PUT for what it says.
const REFUSED: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::UNPROCESSABLE_ENTITY,
];

impl Probe<'_> {
    fn found(&mut self, severity: Severity, code: &str, sentence: &str) {
        self.findings.push(Finding::new(severity, code, sentence));
    }

    fn soon(&self) -> Deadline {
        self.deadline.at_most(PATIENCE)
    }

    /// Tries all, and removes the client.
    async fn learn(&mut self, client: &mut Client) -> Behaviour {
        let mut learned = Behaviour {
            get: self.get(client).await,
            ..Behaviour::default()
        };
        let (without, first) = self.put(client, None).await;
        let (with, second) = if matches!(without, Put::Unsupported | Put::Unknown) {
            (Put::Unknown, None)
        } else {
            let current = client.secret.clone();
            self.put(client, Some(&current)).await
        };
        learned.put_secret = match (without, with) {
            (Put::Kept, _) => Some(PutSecret::Kept),
            (Put::Unsupported, _) => Some(PutSecret::Unsupported),
            (Put::Unknown, _) | (_, Put::Unknown) => None,
            (Put::New, Put::Kept) => Some(PutSecret::KeptIfSent),
            (Put::New, _) => Some(PutSecret::New),
            (Put::Refused, Put::Kept) => Some(PutSecret::MustBeSent),
            (Put::Refused, _) => Some(PutSecret::Unsupported),
        };
        learned.put_token = match (first, second) {
            (Some(PutToken::New), _) | (_, Some(PutToken::New)) => Some(PutToken::New),
            (first, second) => first.or(second),
        };
        learned.delete = self.delete(client).await;
        learned
    }

    async fn manage(
        &self,
        client: &Client,
        method: Method,
        body: Option<&Metadata>,
    ) -> Result<Answer, Fault> {
        let api = &self.idp.api;
        api.manage(self.soon(), self.server, method, client.place(), body)
            .await
    }

    async fn get(&mut self, client: &mut Client) -> Option<Get> {
        let answer = self.manage(client, Method::GET, None).await;
        let information = match self.read("GET", answer, &[]) {
            Read::Information(information) => information,
            Read::Unsupported => return Some(Get::Unsupported),
            Read::Refused | Read::Nothing => return None,
        };
        let (is_new, token) = self.follow("GET", client, &information).await;
        Some(match (token, is_new?) {
            (_, true) => Get::NewTokenAndSecret,
            (PutToken::New, false) => Get::NewToken,
            (PutToken::Kept, false) => Get::Nothing,
        })
    }

    async fn put(
        &mut self,
        client: &mut Client,
        secret: Option<&SecretString>,
    ) -> (Put, Option<PutToken>) {
        let mut metadata = client.metadata.clone();
        metadata.insert("client_name".to_owned(), json!(format!("{NAME} now")));
        let body = self.idp.mapping.update(&client.id, secret, metadata);
        let answer = self.manage(client, Method::PUT, Some(&body)).await;
        let with = if secret.is_some() { "with" } else { "without" };
        let what = format!("PUT {with} client_secret");
        match self.read(&what, answer, &REFUSED) {
            Read::Information(information) => {
                let (is_new, token) = self.follow(&what, client, &information).await;
                let put = match is_new {
                    Some(true) => Put::New,
                    Some(false) => Put::Kept,
                    None => Put::Unknown,
                };
                (put, Some(token))
            }
            Read::Unsupported => (Put::Unsupported, None),
            Read::Refused => (Put::Refused, None),
            Read::Nothing => (Put::Unknown, None),
        }
    }

    fn read(&mut self, what: &str, answer: Result<Answer, Fault>, refusals: &[StatusCode]) -> Read {
        let read = answer.and_then(|answer| {
            let status = answer.status();
            let refused = if UNSUPPORTED.contains(&status) {
                Read::Unsupported
            } else if refusals.contains(&status) {
                Read::Refused
            } else {
                let information = answer.expect(&[StatusCode::OK])?.json()?;
                return Ok((Read::Information(Box::new(information)), None));
            };
            Ok((refused, Some(answer.fault())))
        });
        match read {
            Ok((read, refusal)) => {
                if let Some(refusal) = refusal {
                    let sentence = format!("The server refuses a {what}: {}", refusal.message());
                    self.found(Severity::Ok, "REFUSED", &sentence);
                }
                read
            }
            Err(fault) => {
                let what = format!("A {what} could not be tried");
                self.findings.push(failed("NOT_LEARNED", &what, &fault));
                Read::Nothing
            }
        }
    }

    /// Goes on with what an answer gave; whether the secret and the token are others. `None` where nobody can tell of the
    /// secret.
    async fn follow(
        &mut self,
        what: &str,
        client: &mut Client,
        information: &Information,
    ) -> (Option<bool>, PutToken) {
        let token = match &information.registration_access_token {
            Some(token) if client.token.as_ref().is_none_or(|old| !is_same(old, token)) => {
                client.token = Some(token.clone());
                PutToken::New
            }
            _ => PutToken::Kept,
        };
        client.metadata = information.metadata();
        let told = information.client_secret.as_ref();
        let other = told.filter(|secret| !is_same(secret, &client.secret));
        // An old secret may live on for a while, so what is told is tried first.
        let is_new = match other {
            Some(other) if self.opens(client, other).await == Some(true) => Some(true),
            // Or it is another text for the same, or one that nobody can try.
            Some(_) => Some(self.opens(client, &client.secret).await != Some(true)),
            // A server may replace it and not tell.
            None => match self.opens(client, &client.secret).await {
                Some(opens) => Some(!opens),
                None => told.map(|_| false),
            },
        };
        if let Some(secret) = other.filter(|_| is_new == Some(true)) {
            client.secret = secret.clone();
        }
        if is_new.is_none() {
            let sentence = format!(
                "What a {what} does to the secret is not known: the answer tells none, and this client's secret opens no \
                 token. Find it out at the server before you set idp.behaviour."
            );
            self.found(Severity::Warning, "NOT_LEARNED", &sentence);
        }
        (is_new, token)
    }

    fn compare(&mut self, learned: Behaviour) {
        let configured = self.idp.behaviour;
        self.member("get", configured.get, learned.get);
        self.member("put_secret", configured.put_secret, learned.put_secret);
        self.member("put_token", configured.put_token, learned.put_token);
        self.member("delete", configured.delete, learned.delete);
    }

    fn member<T: Serialize + PartialEq>(
        &mut self,
        name: &str,
        configured: Option<T>,
        learned: Option<T>,
    ) {
        let Some(learned) = learned else {
            return;
        };
        let is = word(&learned);
        match configured {
            Some(configured) if configured == learned => {
                let sentence = format!("idp.behaviour.{name}: {is}, as configured.");
                self.found(Severity::Ok, "BEHAVIOUR", &sentence);
            }
            Some(configured) => {
                let sentence = format!(
                    "Set idp.behaviour.{name}: {is} (it is {}).",
                    word(&configured)
                );
                self.found(Severity::Error, "BEHAVIOUR_DIFFERS", &sentence);
            }
            None => {
                let sentence = format!("Set idp.behaviour.{name}: {is} (it is not set).");
                self.found(Severity::Warning, "BEHAVIOUR_LEARNED", &sentence);
            }
        }
    }
}

/// The word in the configuration.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn failed(code: &str, what: &str, fault: &Fault) -> Finding {
    Finding::new(Severity::Error, code, &format!("{what}: {fault}"))
}
