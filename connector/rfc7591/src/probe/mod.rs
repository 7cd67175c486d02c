//! Learning what a server does, from a client that is made for that and removed again.

mod client;

use std::time::Duration;

use dcr_connector::fault::Fault;
use dcr_connector::http::{Answer, Method, StatusCode};
use dcr_connector::model::{Deadline, Finding, Severity};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::json;

use self::client::Client;
use crate::Rfc7591;
use crate::api::{Place, Server};
use crate::behaviour::{Behaviour, Get, PutSecret, PutToken};
use crate::metadata::{Information, Metadata};

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
    Information(Information),
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
}

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
        let (with, second) = if matches!(without, Put::Unsupported) {
            (Put::Unsupported, None)
        } else {
            let current = client.secret.clone();
            self.put(client, Some(&current)).await
        };
        learned.put_secret = Some(match (without, with) {
            (Put::Kept, _) => PutSecret::Kept,
            (Put::New, Put::Kept) => PutSecret::KeptIfSent,
            (Put::New, _) => PutSecret::New,
            (Put::Refused, Put::Kept) => PutSecret::MustBeSent,
            (Put::Refused | Put::Unsupported, _) => PutSecret::Unsupported,
        });
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
        let place = Place {
            uri: &client.uri,
            token: client.token.as_ref(),
        };
        let api = &self.idp.api;
        api.manage(self.soon(), self.server, method, place, body)
            .await
    }

    async fn get(&mut self, client: &mut Client) -> Option<Get> {
        let answer = self.manage(client, Method::GET, None).await;
        let information = match self.read("GET", answer) {
            Read::Information(information) => information,
            Read::Refused => return Some(Get::Unsupported),
            Read::Nothing => return None,
        };
        let (secret, token) = self.follow(client, &information).await;
        Some(match (token, secret) {
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
        let is_refused = answer.as_ref().is_ok_and(|answer| {
            matches!(
                answer.status(),
                StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY
            )
        });
        let with = if secret.is_some() { "with" } else { "without" };
        let what = format!("PUT {with} client_secret");
        match self.read(&what, answer) {
            Read::Information(information) => {
                let (is_new, token) = self.follow(client, &information).await;
                (if is_new { Put::New } else { Put::Kept }, Some(token))
            }
            _ if is_refused => (Put::Refused, None),
            _ => (Put::Unsupported, None),
        }
    }

    fn read(&mut self, what: &str, answer: Result<Answer, Fault>) -> Read {
        let read = answer.and_then(|answer| {
            if answer.status().is_client_error() || answer.status() == StatusCode::NOT_IMPLEMENTED {
                let sentence = format!("The server refuses a {what}: {}", answer.fault().message());
                return Ok(Err(sentence));
            }
            answer.expect(&[StatusCode::OK])?.json().map(Ok)
        });
        match read {
            Ok(Ok(information)) => Read::Information(information),
            Ok(Err(sentence)) => {
                self.found(Severity::Ok, "REFUSED", &sentence);
                Read::Refused
            }
            Err(fault) => {
                let what = format!("A {what} could not be tried");
                self.findings.push(failed("NOT_LEARNED", &what, &fault));
                Read::Nothing
            }
        }
    }

    /// Goes on with what an answer gave; whether the secret and the token are others.
    async fn follow(&self, client: &mut Client, information: &Information) -> (bool, PutToken) {
        let token = match &information.registration_access_token {
            Some(token) if client.token.as_ref().is_none_or(|old| !is_same(old, token)) => {
                client.token = Some(token.clone());
                PutToken::New
            }
            _ => PutToken::Kept,
        };
        client.metadata = information.metadata();
        let told = information.client_secret.as_ref();
        let told = told.filter(|secret| !is_same(secret, &client.secret));
        // A server may replace it and not tell, or tell another text for the same.
        let still_opens = self.opens(client, &client.secret).await;
        let is_new = !still_opens.unwrap_or(told.is_none());
        if let Some(secret) = told.filter(|_| is_new) {
            client.secret = secret.clone();
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

fn is_same(a: &SecretString, b: &SecretString) -> bool {
    #[expect(clippy::disallowed_methods, reason = "they are compared")]
    let is_same = a.expose_secret() == b.expose_secret();
    is_same
}

fn failed(code: &str, what: &str, fault: &Fault) -> Finding {
    Finding::new(Severity::Error, code, &format!("{what}: {fault}"))
}
