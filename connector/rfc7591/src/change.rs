//! Changes of a client that is there: each is one PUT of all that the server gave (RFC 7592 section 2.2), while no other
//! call works on the client, and its answer is written before anybody is told of it.

use dcr_connector::Registrations;
use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::http::{Answer, Method, StatusCode};
use dcr_connector::model::{Deadline, Registration};
use dcr_connector::store::{self, Held, Row, TIME_TO_CALL, TIME_TO_WRITE};
use secrecy::SecretString;

use crate::Rfc7591;
use crate::api::{Management, Place, Server};
use crate::behaviour::{PutSecret, Sends};
use crate::config::UnauthorizedMeans;
use crate::create::refused;
use crate::kept::Kept;
use crate::metadata::{Information, is_same};

/// What is to become of a client.
pub(crate) struct Change<'a> {
    pub(crate) secret: Secret,
    /// What becomes of one of its registrations.
    pub(crate) registration: Option<Registered<'a>>,
    /// Changes what the server has, for the registrations that there are to be; `false` when it need not be changed.
    pub(crate) edit: &'a mut Edit<'a>,
}

type Edit<'a> = dyn FnMut(&mut Kept, &Registrations) -> Result<bool, Fault> + Send + 'a;

/// What is to become of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    Stays,
    IsReplaced,
}

/// What becomes of a registration.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Registered<'a> {
    /// It is written before the server is asked, for what is granted must be known, to be taken away again.
    Begins(&'a Registration),
    /// It is written with the server's answer.
    Ends(&'a Registration),
}

impl Change<'_> {
    /// The registrations that there are to be.
    fn registrations(&self, before: &Registrations) -> Registrations {
        let mut after = before.clone();
        match self.registration {
            Some(Registered::Begins(registration)) => after.insert(registration.clone()),
            Some(Registered::Ends(registration)) => after.remove(&registration.entity),
            None => {}
        }
        after
    }
}

/// What a change came to.
pub(crate) struct Changed {
    pub(crate) kept: Kept,
    /// The server's answer; `None` when there was nothing to change.
    pub(crate) information: Option<Information>,
    /// Whether its registrations are others now.
    pub(crate) registrations: bool,
}

/// What a PUT is made of.
struct Current {
    kept: Kept,
    /// Where the server shows it.
    secret: Option<SecretString>,
    /// Whether the server was asked.
    is_answered: bool,
}

/// What came of a PUT.
struct Put {
    before: Kept,
    kept: Kept,
    /// The server's answer; `None` when it was not asked to change anything.
    information: Option<Information>,
    /// Whether the server was asked anything.
    is_answered: bool,
}

impl Rfc7591 {
    /// Changes a client. All that is changed is what there is once nobody else works on the client: other replicas may
    /// have changed it since it was found.
    ///
    /// # Errors
    /// `Unsupported` before anything is done, `Refused` when the server does not accept the token, `Invalid` for what it
    /// does not take, and what a call can meet.
    pub(crate) async fn change(
        &self,
        deadline: Deadline,
        row: &Row,
        mut change: Change<'_>,
    ) -> Result<Changed, Fault> {
        let sends = self.sends(change.secret)?;
        let server = self.api.found(deadline).await?;
        let mut held = self.store.hold(deadline, &row.client_id).await?;
        let deadline = deadline.at_most(TIME_TO_CALL);
        let before = held.row().registrations.clone();
        let after = change.registrations(&before);
        let put = self.put(deadline, &server, &mut held, &mut change, &after, sends);
        let put = match put.await {
            Ok(put) => put,
            Err(fault) => {
                self.not_changed(held, &before, &fault).await;
                return Err(fault);
            }
        };
        let token = put.information.as_ref();
        let token = token.and_then(|i| i.registration_access_token.clone());
        let written = store::Change {
            registration_token: token,
            client_uri: None,
            metadata: Some(put.kept.to_json()?),
            registrations: Some(after.clone()),
        };
        let deadline = Deadline::after(TIME_TO_WRITE);
        let written = if put.is_answered {
            held.replace(deadline, written).await
        } else {
            // What no answer has proved stays in doubt.
            let written = held.replace_and_hold(deadline, written).await;
            held.release(deadline).await;
            written
        };
        written.map_err(|fault| fault.outcome(Outcome::Unknown))?;
        surprise(change.secret, &put)?;
        Ok(Changed {
            kept: put.kept,
            information: put.information,
            registrations: after != before,
        })
    }

    /// Ends the hold on a client that was not changed, or of which nobody knows.
    async fn not_changed(&self, mut held: Held, before: &Registrations, fault: &Fault) {
        let deadline = Deadline::after(TIME_TO_WRITE);
        if fault.done() != Outcome::NotApplied && self.behaviour.put_replaces_token() {
            return held.doubt(deadline).await;
        }
        if fault.done() == Outcome::NotApplied && held.row().registrations != *before {
            let change = store::Change {
                registrations: Some(before.clone()),
                ..store::Change::default()
            };
            if let Err(fault) = held.replace_and_hold(deadline, change).await {
                tracing::warn!("a registration that the server refused stays noted: {fault}");
            }
        }
        held.release(deadline).await;
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
        after: &Registrations,
        sends: Sends,
    ) -> Result<Put, Fault> {
        let Current {
            kept: before,
            secret,
            is_answered,
        } = self.current(deadline, server, held).await?;
        let mut kept = before.clone();
        let is_needed = (change.edit)(&mut kept, after)?;
        if !is_needed {
            kept.is_deleting = false;
            return Ok(Put {
                before,
                kept,
                information: None,
                is_answered,
            });
        }
        let begins = matches!(change.registration, Some(Registered::Begins(_)));
        self.note(deadline, held, begins.then_some(after), &kept)
            .await?;
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
        let information = match answer.status() {
            StatusCode::OK => information(row, &answer, Outcome::Unknown)?,
            StatusCode::BAD_REQUEST => return Err(refused(&answer)),
            _ => return Err(self.fault(row, &answer)),
        };
        Ok(Put {
            kept: kept.after(&information),
            before,
            information: Some(information),
            is_answered: true,
        })
    }

    /// Writes down what has to be known whatever becomes of the PUT: a registration that begins, and that a client which is
    /// changed is not being deleted.
    async fn note(
        &self,
        deadline: Deadline,
        held: &mut Held,
        begins: Option<&Registrations>,
        kept: &Kept,
    ) -> Result<(), Fault> {
        let stored = Kept::from_json(&held.row().metadata)?;
        if begins.is_none() && !stored.is_deleting {
            return Ok(());
        }
        let noted = Kept {
            own_scopes: kept.own_scopes.clone(),
            is_deleting: false,
            ..stored
        };
        let noted = store::Change {
            registrations: begins.cloned(),
            metadata: Some(noted.to_json()?),
            ..store::Change::default()
        };
        held.replace_and_hold(deadline, noted)
            .await
            .map_err(|fault| fault.outcome(Outcome::NotApplied))
    }

    /// What the server has of the client: asked for where that changes nothing, else as it last said.
    async fn current(
        &self,
        deadline: Deadline,
        server: &Server,
        held: &mut Held,
    ) -> Result<Current, Fault> {
        let row = held.row();
        let kept = Kept::from_json(&row.metadata)?;
        if !self.behaviour.can_read() {
            return Ok(Current {
                kept,
                secret: None,
                is_answered: false,
            });
        }
        let answer = self
            .api
            .manage(deadline, server, Method::GET, place(row)?, None)
            .await?;
        if answer.status() != StatusCode::OK {
            return Err(self.fault(row, &answer));
        }
        let information = information(row, &answer, Outcome::NotApplied)?;
        let token = information.registration_access_token.as_ref();
        let old = row.registration_token.as_ref();
        if let (Some(token), Some(old)) = (token, old)
            && !is_same(token, old)
        {
            tracing::error!(
                client_id = row.client_id,
                "a GET of a client's registration has replaced its token, which idp.behaviour.get denies: run `check --probe` \
                 and correct it"
            );
            // The old one is dead.
            let change = store::Change {
                registration_token: Some(token.clone()),
                ..store::Change::default()
            };
            held.replace_and_hold(Deadline::after(TIME_TO_WRITE), change)
                .await?;
        }
        Ok(Current {
            kept: kept.after(&information),
            secret: information.client_secret,
            is_answered: true,
        })
    }

    /// The fault that an answer about a client of ours means.
    pub(crate) fn fault(&self, row: &Row, answer: &Answer) -> Fault {
        match answer.status() {
            _ if self.is_gone(row, answer) => Fault::no_such_client(),
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => {
                let why = match self.api.management() {
                    Management::RegistrationAccessToken if row.doubtful_since.is_some() => {
                        "an earlier call may have replaced its registration access token, and the answer was lost"
                    }
                    Management::RegistrationAccessToken => {
                        "its registration access token has ended, or it was deleted there"
                    }
                    Management::Credential(_) | Management::Unsupported => {
                        "the right to manage clients was taken away, or it was deleted there"
                    }
                };
                let message = format!(
                    "the server does not let the bridge manage client {} any more ({}): {why}; the connector's README tells \
                     what to do",
                    row.client_id,
                    answer.status().as_u16()
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
        self.may_be_gone(answer)
            && self.unauthorized_means == UnauthorizedMeans::Gone
            && row.doubtful_since.is_none()
    }

    /// Whether an answer is one for a client that is not there: 401 to the client's own token (RFC 7592 section 2.1), not to
    /// one that is good for all; or 404, which may as well be a proxy's, or a server's that manages no clients any more.
    pub(crate) fn may_be_gone(&self, answer: &Answer) -> bool {
        match answer.status() {
            StatusCode::NOT_FOUND => true,
            StatusCode::UNAUTHORIZED => {
                matches!(self.api.management(), Management::RegistrationAccessToken)
            }
            _ => false,
        }
    }
}

/// An answer about a client, which has to be about this one.
///
/// # Errors
/// `Internal` with the outcome that is given when it is about another.
fn information(row: &Row, answer: &Answer, done: Outcome) -> Result<Information, Fault> {
    let information: Information = answer.json()?;
    if information.client_id == row.client_id {
        return Ok(information);
    }
    let message = format!(
        "the server was asked about client {} and answers about another",
        row.client_id
    );
    Err(Fault::internal(message)
        .reason(Reason::IdpAnswerUnusable)
        .outcome(done))
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

/// What the server did to the secret, held against what was wanted.
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
    match (wanted, after.and_then(|secret| put.before.knows(secret))) {
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
