//! Changes of a client that is there: each is one PUT of all that the server gave (RFC 7592 section 2.2), while no other
//! call works on the client, and its answer is written before anybody is told of it.

use dcr_connector::Registrations;
use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::http::{Answer, Method, StatusCode};
use dcr_connector::model::Deadline;
use dcr_connector::store::{self, Held, Row, TIME_TO_CALL, TIME_TO_WRITE};
use secrecy::{ExposeSecret, SecretString};

use crate::Rfc7591;
use crate::api::{Place, Server};
use crate::behaviour::{PutSecret, Sends};
use crate::config::UnauthorizedMeans;
use crate::create::refused;
use crate::kept::Kept;
use crate::metadata::Information;

/// What is to become of a client.
pub(crate) struct Change<'a> {
    pub(crate) secret: Secret,
    /// Changes what the server has; `false` when it need not be changed.
    pub(crate) edit: &'a mut (dyn FnMut(&mut Kept) -> bool + Send),
    /// What is written before the server is asked.
    pub(crate) before: Option<&'a Registrations>,
    /// What is written with its answer.
    pub(crate) after: Option<&'a Registrations>,
}

/// What is to become of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    Stays,
    IsReplaced,
}

/// What a PUT is made of.
struct Current {
    kept: Kept,
    /// Where the server shows it.
    secret: Option<SecretString>,
}

/// What came of a PUT.
struct Put {
    kept: Kept,
    /// The server's answer; `None` when it was not asked.
    information: Option<Information>,
    /// The secret before, where the server shows it.
    secret: Option<SecretString>,
}

impl Rfc7591 {
    /// Changes a client; the server's answer, or `None` when there was nothing to change.
    ///
    /// # Errors
    /// `Unsupported` before anything is done, `Refused` when the server does not accept the token, `Invalid` for what it
    /// does not take, and what a call can meet.
    pub(crate) async fn change(
        &self,
        deadline: Deadline,
        row: &Row,
        mut change: Change<'_>,
    ) -> Result<Option<Information>, Fault> {
        let sends = self.sends(change.secret)?;
        let server = self.api.found(deadline).await?;
        let mut held = self.store.hold(deadline, &row.client_id).await?;
        let deadline = deadline.at_most(TIME_TO_CALL);
        let was_doubtful = held.row().doubtful_since.is_some();
        let put = self.put(deadline, &server, &mut held, &mut change, sends);
        let put = match put.await {
            Ok(put) => put,
            Err(fault) => {
                let may_have_rotated =
                    fault.done() != Outcome::NotApplied && self.behaviour.put_replaces_token();
                if change.before.is_some() && fault.done() == Outcome::NotApplied {
                    take_back(&mut held, row).await;
                }
                if was_doubtful || may_have_rotated {
                    held.doubt(Deadline::after(TIME_TO_WRITE)).await;
                } else {
                    held.release(Deadline::after(TIME_TO_WRITE)).await;
                }
                return Err(fault);
            }
        };
        let token = put.information.as_ref();
        let written = store::Change {
            registration_token: token.and_then(|i| i.registration_access_token.clone()),
            client_uri: None,
            metadata: Some(put.kept.to_json()?),
            registrations: change.after.cloned(),
        };
        held.replace(Deadline::after(TIME_TO_WRITE), written)
            .await
            .map_err(|fault| fault.outcome(Outcome::Unknown))?;
        surprise(change.secret, &put)?;
        Ok(put.information)
    }

    /// How an update leaves the secret alone, or replaces it, as is wanted.
    ///
    /// # Errors
    /// `Unsupported` when none does.
    pub(crate) fn sends(&self, secret: Secret) -> Result<Sends, Fault> {
        if !self.is_managed() {
            return Err(Fault::unsupported(
                "This identity provider does not let the bridge change clients: its administrator has to.",
            ));
        }
        let behaviour = self.behaviour;
        match secret {
            Secret::IsReplaced if behaviour.can_rotate() => Ok(Sends::NoSecret),
            Secret::IsReplaced => Err(Fault::unsupported(
                "This identity provider makes no new secret for a client that is there: make a new application.",
            )),
            Secret::Stays => behaviour.update().ok_or_else(|| {
                let rotates = |sentence| {
                    Fault::unsupported(sentence).reason(Reason::UpdateRotatesSecret)
                };
                match behaviour.put_secret {
                    Some(PutSecret::New | PutSecret::KeptIfSent) => rotates(
                        "An update at this identity provider would replace the client's secret, so nothing was changed.",
                    ),
                    Some(PutSecret::Unsupported | PutSecret::Kept | PutSecret::MustBeSent) => {
                        Fault::unsupported("This identity provider does not let the bridge update clients.")
                    }
                    None => rotates(
                        "What an update does to the client's secret is not known: the connector's operator has to run \
                         check --probe.",
                    ),
                }
            }),
        }
    }

    async fn put(
        &self,
        deadline: Deadline,
        server: &Server,
        held: &mut Held,
        change: &mut Change<'_>,
        sends: Sends,
    ) -> Result<Put, Fault> {
        let Current { mut kept, secret } = self.current(deadline, server, held.row()).await?;
        let is_needed = (change.edit)(&mut kept);
        let stored = Kept::from_json(&held.row().metadata)?;
        if change.before.is_some() || stored.is_deleting {
            // What is granted must be known, to be taken away again; and a client that is changed is not being deleted.
            let noted = Kept {
                own_scopes: kept.own_scopes.clone(),
                is_deleting: false,
                ..stored
            };
            let noted = store::Change {
                registrations: change.before.cloned(),
                metadata: Some(noted.to_json()?),
                ..store::Change::default()
            };
            held.replace_and_hold(deadline, noted)
                .await
                .map_err(|fault| fault.outcome(Outcome::NotApplied))?;
        }
        if !is_needed {
            return Ok(Put {
                kept,
                information: None,
                secret,
            });
        }
        let row = held.row();
        let sent = match (sends, &secret) {
            (Sends::NoSecret, _) => None,
            (Sends::CurrentSecret, Some(secret)) => Some(secret),
            (Sends::CurrentSecret, None) => {
                return Err(Fault::unsupported(
                    "This identity provider wants a client's secret with every update, and does not show it.",
                ));
            }
        };
        let body = self
            .mapping
            .update(&row.client_id, sent, kept.metadata.clone());
        let answer = self
            .api
            .manage(deadline, server, Method::PUT, place(row)?, Some(&body))
            .await?;
        let information: Information = match answer.status() {
            StatusCode::OK => answer.json()?,
            StatusCode::BAD_REQUEST => return Err(refused(&answer)),
            _ => return Err(self.fault(row, &answer)),
        };
        Ok(Put {
            kept: kept.after(&information),
            information: Some(information),
            secret,
        })
    }

    /// What the server has of the client: asked for where that changes nothing, else as it last said.
    async fn current(
        &self,
        deadline: Deadline,
        server: &Server,
        row: &Row,
    ) -> Result<Current, Fault> {
        let kept = Kept::from_json(&row.metadata)?;
        if !self.behaviour.can_read() {
            return Ok(Current { kept, secret: None });
        }
        let answer = self
            .api
            .manage(deadline, server, Method::GET, place(row)?, None)
            .await?;
        if answer.status() != StatusCode::OK {
            return Err(self.fault(row, &answer));
        }
        let information: Information = answer.json()?;
        Ok(Current {
            kept: kept.after(&information),
            secret: information.client_secret,
        })
    }

    /// The fault that an answer about a client of ours means.
    pub(crate) fn fault(&self, row: &Row, answer: &Answer) -> Fault {
        match answer.status() {
            _ if self.is_gone(row, answer) => Fault::no_such_client(),
            StatusCode::UNAUTHORIZED => {
                let why = if row.doubtful_since.is_some() {
                    "an earlier call may have replaced its registration access token, and the answer was lost"
                } else {
                    "its registration access token has ended, or it was deleted there"
                };
                let message = format!(
                    "the server does not let the bridge manage client {} any more: {why}; the connector's README tells \
                     what to do",
                    row.client_id
                );
                Fault::new(FaultKind::Refused, message).saying(
                    "The identity provider does not let the bridge manage this client any more; the connector's operator \
                     has to look at it.",
                )
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                tracing::warn!("{}; idp.behaviour says otherwise", answer.fault().message());
                Fault::unsupported("This identity provider does not offer that for its clients.")
            }
            _ => answer.fault(),
        }
    }

    /// Whether an answer says that the client is not there any more. A token that may have been replaced proves nothing.
    pub(crate) fn is_gone(&self, row: &Row, answer: &Answer) -> bool {
        match answer.status() {
            StatusCode::NOT_FOUND => true,
            StatusCode::UNAUTHORIZED => {
                self.unauthorized_means == UnauthorizedMeans::Gone && row.doubtful_since.is_none()
            }
            _ => false,
        }
    }
}

/// Forgets what was noted for a change that the server has refused.
async fn take_back(held: &mut Held, before: &Row) {
    let change = store::Change {
        registrations: Some(before.registrations.clone()),
        ..store::Change::default()
    };
    let deadline = Deadline::after(TIME_TO_WRITE);
    if let Err(fault) = held.replace_and_hold(deadline, change).await {
        tracing::warn!("a registration that the server refused stays noted: {fault}");
    }
}

/// Where a client's registration is.
///
/// # Errors
/// `Unsupported` for a client that came with no such place.
pub(crate) fn place(row: &Row) -> Result<Place<'_>, Fault> {
    let uri = row.client_uri.as_deref().ok_or_else(|| {
        Fault::unsupported(
            "The identity provider gave the bridge nothing to manage this client by: its administrator has to change it.",
        )
    })?;
    Ok(Place {
        uri,
        token: row.registration_token.as_ref(),
    })
}

/// What the server did to the secret, seen where it shows secrets, held against what was wanted.
///
/// # Errors
/// `Internal` when that is not what the configuration says it does.
fn surprise(wanted: Secret, put: &Put) -> Result<(), Fault> {
    let told = |what: &str| {
        let message = format!("{what}: run `check --probe` and correct idp.behaviour.put_secret");
        Fault::internal(message).reason(Reason::IdpAnswerUnusable)
    };
    let after = put.information.as_ref();
    let after = after.and_then(|information| information.client_secret.as_ref());
    let is_same = put.secret.as_ref().zip(after).map(|(a, b)| {
        #[expect(clippy::disallowed_methods, reason = "they are compared")]
        let is_same = a.expose_secret() == b.expose_secret();
        is_same
    });
    match (wanted, is_same) {
        (Secret::Stays, Some(false)) => Err(told(
            "the server replaced a client's secret with an update, so the secret that was delivered no longer works",
        )
        .outcome(Outcome::Applied)),
        (Secret::IsReplaced, Some(true)) => {
            Err(told("the server left a client's secret as it was").outcome(Outcome::NotApplied))
        }
        _ => Ok(()),
    }
}
