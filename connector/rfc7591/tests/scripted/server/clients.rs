//! The registration endpoint (RFC 7591 section 3) and the client configuration endpoint (RFC 7592 section 2).

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, Method, StatusCode};
use dcr_tests::bridge::random;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::manners::{Get, Manners, PutSecret, Registration};
use super::{Said, Server, rules, tokens};

/// What only the server says, and no update may.
const OF_THE_SERVER: [&str; 4] = [
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
];

/// A client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) secret: String,
    /// The one before, where it lives on.
    pub(super) old_secret: Option<String>,
    pub(crate) token: String,
    pub(crate) metadata: Map<String, Value>,
    issued_at: i64,
}

#[derive(Debug, Default)]
pub(super) struct Clients {
    pub(super) by_id: BTreeMap<String, Client>,
    /// Access tokens that register or manage, with their scope.
    pub(super) access_tokens: BTreeMap<String, BTreeSet<String>>,
    pub(super) complaints: Vec<String>,
    /// All secrets and tokens that were given out.
    pub(super) planted: Vec<(&'static str, String)>,
}

/// By what right a registration is managed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    ItsToken,
    Dcrm,
}

impl Clients {
    pub(super) fn register(
        &mut self,
        manners: &Manners,
        public: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Said {
        let token = tokens::bearer(headers);
        let is_allowed = match manners.registration {
            Registration::InitialAccessToken => token == Some(Server::initial_access_token()),
            Registration::ScopeOnce => {
                let scopes = token.and_then(|token| self.access_tokens.remove(token));
                scopes.is_some_and(|scopes| scopes.contains("dcr"))
            }
            Registration::Open => token.is_none(),
        };
        if !is_allowed {
            return (StatusCode::UNAUTHORIZED, None);
        }
        let asked = match rules::object(headers, body) {
            Ok(asked) => asked,
            Err(why) => return self.refused("invalid_client_metadata", &why),
        };
        let of_the_server = OF_THE_SERVER.iter().chain(&["client_id", "client_secret"]);
        if let Some(member) = of_the_server.into_iter().find(|m| asked.contains_key(**m)) {
            let why = format!("{member} is not for a client to say");
            return self.refused("invalid_client_metadata", &why);
        }
        let metadata = match metadata_of(manners, asked) {
            Ok(metadata) => metadata,
            Err((code, why)) => return self.refused(code, &why),
        };
        let id = format!("c-{}", random());
        let client = Client {
            secret: random(),
            old_secret: None,
            token: random(),
            metadata,
            issued_at: Timestamp::now().as_second(),
        };
        self.planted.extend(client.planted());
        let mut said = client.information(manners, public, &id, manners.is_managed);
        if manners.gives_no_secret {
            leave_out(&mut said, &["client_secret", "client_secret_expires_at"]);
        }
        self.by_id.insert(id, client);
        let status = if manners.says_200 {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        (status, Some(said))
    }

    pub(super) fn manage(
        &mut self,
        manners: &Manners,
        public: &str,
        method: &Method,
        id: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Said {
        let token = tokens::bearer(headers).unwrap_or_default();
        let known = self.by_id.get(id);
        let right = if known.is_some_and(|client| manners.is_managed && client.token == token) {
            Right::ItsToken
        } else if manners.dcrm
            && known.is_some()
            && self
                .access_tokens
                .get(token)
                .is_some_and(|scopes| scopes.contains("dcrm"))
        {
            Right::Dcrm
        } else {
            // RFC 7592 section 2.1 has the same for a client that is not there.
            return (StatusCode::UNAUTHORIZED, None);
        };
        match *method {
            Method::GET => self.get(manners, public, id, right),
            Method::PUT => self.put(manners, public, id, right, headers, body),
            Method::DELETE if manners.can_delete => {
                self.by_id.remove(id);
                let status = if manners.says_200 {
                    StatusCode::OK
                } else {
                    StatusCode::NO_CONTENT
                };
                (status, None)
            }
            _ => (StatusCode::METHOD_NOT_ALLOWED, None),
        }
    }

    fn get(&mut self, manners: &Manners, public: &str, id: &str, right: Right) -> Said {
        if manners.get == Get::Unsupported {
            return (StatusCode::METHOD_NOT_ALLOWED, None);
        }
        let Some(client) = self.by_id.get_mut(id) else {
            return (StatusCode::UNAUTHORIZED, None);
        };
        let rotates = right == Right::ItsToken || manners.dcrm_rotates;
        if rotates && matches!(manners.get, Get::NewToken | Get::NewTokenAndSecret) {
            client.token = random();
        }
        if rotates && manners.get == Get::NewTokenAndSecret {
            client.new_secret(manners);
        }
        self.planted.extend(client.planted());
        let mut said = client.information(manners, public, id, right == Right::ItsToken);
        if manners.lists_auth_method {
            let method = said["token_endpoint_auth_method"].take();
            said["token_endpoint_auth_method"] = json!([method]);
        }
        leave_out(&mut said, manners.get_leaves_out);
        (StatusCode::OK, Some(said))
    }

    fn put(
        &mut self,
        manners: &Manners,
        public: &str,
        id: &str,
        right: Right,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Said {
        let mut asked = match rules::object(headers, body) {
            Ok(asked) => asked,
            Err(why) => return self.refused("invalid_client_metadata", &why),
        };
        if manners.put_secret == PutSecret::Unsupported {
            return (StatusCode::METHOD_NOT_ALLOWED, None);
        }
        if manners.repeats_what_it_refuses {
            let why = String::from_utf8_lossy(body).replace('"', "'");
            let said = error("invalid_client_metadata", &why);
            return (StatusCode::BAD_REQUEST, Some(said));
        }
        if let Some(member) = OF_THE_SERVER.iter().find(|m| asked.contains_key(**m)) {
            let why = format!("{member} is not for an update to say");
            return self.refused("invalid_client_metadata", &why);
        }
        if asked.remove("client_id") != Some(json!(id)) {
            return self.refused(
                "invalid_client_metadata",
                "client_id is missing or another's",
            );
        }
        let (current, had) = match self.by_id.get(id) {
            Some(client) => (client.secret.clone(), client.metadata.clone()),
            None => return (StatusCode::UNAUTHORIZED, None),
        };
        let sent = asked.remove("client_secret");
        if sent.as_ref().is_some_and(|sent| *sent != json!(current)) {
            return self.refused(
                "invalid_client_metadata",
                "client_secret is not the current one",
            );
        }
        for member in manners.own_members.keys() {
            // It replaces: what is not sent back is gone, and that is never what was wanted here.
            if asked.get(member) != had.get(member) {
                let why = format!("{member} was not sent back as it was");
                return self.refused("invalid_client_metadata", &why);
            }
        }
        let new_secret = match (manners.put_secret, sent.is_some(), right) {
            (_, _, Right::Dcrm) if !manners.dcrm_rotates => false,
            (PutSecret::MustBeSent, false, _) => {
                let why = "client_secret has to be sent";
                return (
                    StatusCode::BAD_REQUEST,
                    Some(error("invalid_client_metadata", why)),
                );
            }
            (PutSecret::New, _, _) | (PutSecret::KeptIfSent, false, _) => true,
            _ => false,
        };
        let metadata = match metadata_of(manners, asked) {
            Ok(metadata) => metadata,
            Err((code, why)) => return self.refused(code, &why),
        };
        let Some(client) = self.by_id.get_mut(id) else {
            return (StatusCode::UNAUTHORIZED, None);
        };
        client.metadata = metadata;
        if manners.put_drops_redirect_uris {
            client
                .metadata
                .insert("redirect_uris".to_owned(), json!([]));
        }
        if new_secret {
            client.new_secret(manners);
        }
        if manners.put_replaces_token && right == Right::ItsToken {
            client.token = random();
        }
        self.planted.extend(client.planted());
        let mut said = client.information(manners, public, id, right == Right::ItsToken);
        leave_out(&mut said, manners.put_leaves_out);
        (StatusCode::OK, Some(said))
    }

    fn refused(&mut self, code: &str, why: &str) -> Said {
        self.complaints.push(format!("{code}: {why}"));
        (StatusCode::BAD_REQUEST, Some(error(code, why)))
    }
}

fn leave_out(said: &mut Value, members: &[&str]) {
    let said = said.as_object_mut().expect("an object");
    said.retain(|name, _| !members.contains(&name.as_str()));
}

impl Client {
    fn new_secret(&mut self, manners: &Manners) {
        let old = std::mem::replace(&mut self.secret, random());
        self.old_secret = manners.old_secret_lives_on.then_some(old);
    }

    fn planted(&self) -> [(&'static str, String); 2] {
        [
            ("a registration token", self.token.clone()),
            ("a client's secret", self.secret.clone()),
        ]
    }

    fn information(&self, manners: &Manners, public: &str, id: &str, with_token: bool) -> Value {
        let expires_at = match manners.secret_lives {
            0 => 0,
            seconds => self.issued_at + seconds,
        };
        let mut said = self.metadata.clone();
        said.insert("client_id".to_owned(), json!(id));
        said.insert("client_secret".to_owned(), json!(self.secret));
        said.insert("client_secret_expires_at".to_owned(), json!(expires_at));
        said.insert("client_id_issued_at".to_owned(), json!(self.issued_at));
        if with_token {
            let slash = if manners.doubles_slashes { "/" } else { "" };
            let path = manners.registration_path;
            let uri = format!("{public}{slash}{path}/{id}");
            let uri = manners.claims_uri.clone().unwrap_or(uri);
            said.insert("registration_client_uri".to_owned(), json!(uri));
            said.insert("registration_access_token".to_owned(), json!(self.token));
            if manners.dcrm {
                // Curity's own.
                let name = "registration_access_token_expires_in";
                said.insert(name.to_owned(), json!(31_536_000));
            }
        }
        Value::Object(said)
    }
}

/// What a client becomes that is described so.
fn metadata_of(
    manners: &Manners,
    asked: Map<String, Value>,
) -> Result<Map<String, Value>, (&'static str, String)> {
    let template = manners.template.as_ref();
    let template = template.filter(|(id, _)| asked.get("software_id") == Some(&json!(id)));
    let mut metadata = match template {
        Some((_, metadata)) => metadata.clone(),
        None if manners.non_templatised => rules::metadata(manners, asked)?,
        None => return Err(("invalid_client_metadata", "no such template".to_owned())),
    };
    metadata.extend(manners.own_members.clone());
    Ok(metadata)
}

pub(super) fn error(code: &str, why: &str) -> Value {
    json!({"error": code, "error_description": why})
}
