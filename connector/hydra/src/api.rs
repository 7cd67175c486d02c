//! Hydra's admin API: its JSON and paths.

use std::fmt;
use std::time::Duration;

use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason, Violation};
use dcr_connector::http::{Answer, BaseUrl, Client as Http, Request, StatusCode, in_clear};
use dcr_connector::model::{Deadline, Field, Malformed};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::sleep;

const CLIENTS: &[&str] = &["admin", "clients"];
/// Before a call is sent again that met another one in Hydra's database; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(640);

/// One Hydra.
pub(crate) struct Api {
    http: Http,
    /// For what stands before the admin API; Hydra itself asks for none.
    token: Option<SecretString>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.http.base())
    }
}

/// A client as Hydra shows it; the members that the connector needs. Only the answer to a create holds the secret.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "named as in Hydra's JSON")]
pub struct Client {
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretString>,
    /// Joined by spaces.
    #[serde(default)]
    pub(crate) scope: String,
    /// Null when there is none, as every list.
    pub(crate) audience: Option<Vec<String>>,
    /// Empty unless somebody has set it.
    #[serde(default)]
    pub(crate) owner: String,
    /// Whatever an administrator put there, which need not be an object, beside what is ours.
    #[serde(default)]
    pub(crate) metadata: Value,
    pub(crate) created_at: Option<Timestamp>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What a new client is asked for with. Hydra makes the secret.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NewClient<'a> {
    pub(crate) client_id: String,
    pub(crate) client_name: &'a str,
    pub(crate) owner: String,
    pub(crate) redirect_uris: Vec<&'a str>,
    pub(crate) grant_types: Vec<&'static str>,
    pub(crate) response_types: Vec<&'static str>,
    /// Hydra's own default when it is empty.
    pub(crate) scope: String,
    pub(crate) token_endpoint_auth_method: &'static str,
    pub(crate) metadata: Map<String, Value>,
}

/// One operation of a JSON Patch (RFC 6902).
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Change {
    /// Sets a member, whether it is there or not.
    Add { path: String, value: Value },
    /// Removes a member, which must be there.
    Remove { path: String },
}

/// One page of clients, with the token of the next.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) clients: Vec<Client>,
    pub(crate) next: Option<String>,
}

impl Api {
    pub(crate) fn new(http: Http, token: Option<SecretString>) -> Self {
        Self { http, token }
    }

    pub(crate) fn base(&self) -> &BaseUrl {
        self.http.base()
    }

    pub(crate) async fn create(
        &self,
        deadline: Deadline,
        client: &NewClient<'_>,
    ) -> Result<Client, Fault> {
        let request = || self.http.create(CLIENTS).json(client);
        let answer = self.send(request, deadline).await?;
        if answer.status() == StatusCode::CONFLICT {
            // The id is derived from the operation's, which therefore was here before.
            return Err(answer.fault().reason(Reason::OperationRepeated));
        }
        understood(&answer)?;
        answer.expect(&[StatusCode::CREATED])?.json()
    }

    pub(crate) async fn get(&self, deadline: Deadline, id: &str) -> Result<Option<Client>, Fault> {
        let answer = self.send(|| self.http.get(&path(id)), deadline).await?;
        if is_absent(&answer) {
            return Ok(None);
        }
        answer.expect(&[StatusCode::OK])?.json().map(Some)
    }

    /// Changes members; nothing else of the client, and not its secret.
    pub(crate) async fn patch(
        &self,
        deadline: Deadline,
        id: &str,
        changes: &[Change],
    ) -> Result<(), Fault> {
        let request = || self.http.patch(&path(id)).json(&changes);
        let answer = self.send(request, deadline).await?;
        understood(&answer)?;
        of_client(&answer)
    }

    /// Puts this secret in the place of all that the client has.
    pub(crate) async fn set_secret(
        &self,
        deadline: Deadline,
        id: &str,
        secret: &SecretString,
    ) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Add<'a> {
            op: &'static str,
            path: &'static str,
            #[serde(serialize_with = "in_clear")]
            value: &'a SecretString,
        }
        let change = [Add {
            op: "add",
            path: "/client_secret",
            value: secret,
        }];
        let request = || self.http.patch(&path(id)).json(&change);
        of_client(&self.send(request, deadline).await?)
    }

    pub(crate) async fn delete(&self, deadline: Deadline, id: &str) -> Result<(), Fault> {
        let answer = self.send(|| self.http.delete(&path(id)), deadline).await?;
        if is_absent(&answer) {
            return Ok(());
        }
        answer.expect(&[StatusCode::NO_CONTENT]).map(drop)
    }

    /// The clients of an owner, in the order of their ids.
    pub(crate) async fn list(
        &self,
        deadline: Deadline,
        owner: &str,
        size: usize,
        page: Option<&str>,
    ) -> Result<Clients, Fault> {
        let request = || {
            let request = self.http.get(CLIENTS);
            let request = request.query("owner", owner).query("page_size", &size);
            match page {
                Some(page) => request.query("page_token", page),
                None => request,
            }
        };
        let answer = self.send(request, deadline).await?;
        if answer.status() == StatusCode::BAD_REQUEST && page.is_some() {
            // All else of the request is the connector's own.
            let rule = Malformed::new("must be what the page before gave");
            return Err(Fault::invalid(vec![Violation::new(Field::Page, &rule)]));
        }
        let answer = answer.expect(&[StatusCode::OK])?;
        Ok(Clients {
            next: answer.header("link").and_then(next_page),
            clients: answer.json()?,
        })
    }

    /// Whether Hydra has its database.
    pub(crate) async fn ready(&self, deadline: Deadline) -> Result<Answer, Fault> {
        self.send(|| self.http.get(&["health", "ready"]), deadline)
            .await
    }

    /// Sends a call, again for as long as Hydra says that it has done nothing because another change was in its way.
    async fn send<'a>(
        &self,
        request: impl Fn() -> Request<'a>,
        deadline: Deadline,
    ) -> Result<Answer, Fault> {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = match &self.token {
                Some(token) => request().send_with(token, deadline).await?,
                None => request().send(deadline).await?,
            };
            if !is_contended(&answer) {
                return Ok(answer);
            }
            if pause > LAST_PAUSE || deadline.remaining() < pause * 2 {
                let message = answer.fault().message().to_owned();
                return Err(Fault::new(FaultKind::Unavailable { after: None }, message)
                    .reason(Reason::IdpUnavailable)
                    .outcome(Outcome::NotApplied));
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}

fn path(id: &str) -> [&str; 3] {
    ["admin", "clients", id]
}

/// Hydra answers so when its database has refused a transaction that met another one.
fn is_contended(answer: &Answer) -> bool {
    let said = "Unable to serialize access due to a concurrent update";
    answer.status() == StatusCode::BAD_REQUEST
        && answer
            .complaint()
            .is_some_and(|complaint| complaint.contains(said))
}

/// Hydra is stricter with redirect URIs than the contract, as with a broken escape (`%zz`).
///
/// # Errors
/// `Invalid` when it has refused one.
fn understood(answer: &Answer) -> Result<(), Fault> {
    let complaint = answer.complaint().unwrap_or_default();
    if answer.status() == StatusCode::BAD_REQUEST && complaint.starts_with("invalid_redirect_uri") {
        let rule = Malformed::new("must hold only URIs that Hydra can parse");
        let violation = Violation::new(Field::RedirectUris, &rule);
        return Err(Fault::invalid(vec![violation]));
    }
    Ok(())
}

/// Any proxy can answer 404, and so does the public port: only Hydra's own says that there is no such client.
fn is_absent(answer: &Answer) -> bool {
    answer.status() == StatusCode::NOT_FOUND
        && answer
            .complaint()
            .is_some_and(|complaint| complaint.contains("Unable to locate the resource"))
}

/// What became of a change of a client that was found before.
fn of_client(answer: &Answer) -> Result<(), Fault> {
    match answer.status() {
        StatusCode::OK => Ok(()),
        _ if is_absent(answer) => Err(Fault::no_such_client()),
        _ => Err(answer.fault()),
    }
}

/// The page token of the target with `rel="next"` (RFC 8288).
fn next_page(link: &str) -> Option<String> {
    let next = link
        .split(',')
        .find(|target| target.contains(r#"rel="next""#))?;
    let (_, rest) = next.split_once('<')?;
    let (target, _) = rest.split_once('>')?;
    let (_, query) = target.split_once('?')?;
    let mut members = url::form_urlencoded::parse(query.as_bytes());
    let (_, token) = members.find(|(name, value)| name == "page_token" && !value.is_empty())?;
    Some(token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_that_the_link_header_names() {
        let first = r#"</admin/clients?owner=o&page_size=2&page_token=eyJ0IjoxfQ>; rel="first""#;
        let next = r#"</admin/clients?page_size=2&page_token=eyJ0IjoyfQ%3D&owner=o>; rel="next""#;
        let both = format!("{first},{next}");
        assert_eq!(next_page(&both).as_deref(), Some("eyJ0IjoyfQ="));
        for without in [
            first,
            "",
            r#"<>; rel="next""#,
            r#"</a?page_token=>; rel="next""#,
        ] {
            assert_eq!(next_page(without), None, "{without}");
        }
    }
}
