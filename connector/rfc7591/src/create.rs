//! The making of a client, in an order that loses none: the intent is written, then the server is asked, then the client
//! is written, and only then anybody is told of it.

use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason, Violation};
use dcr_connector::http::{Answer, Method, StatusCode};
use dcr_connector::model::{Deadline, Field, Malformed, NewClient};
use dcr_connector::store::{NewRow, TIME_TO_WRITE};
use dcr_connector::{Created, Mark};

use crate::api::{Management, Place, Server};
use crate::kept::Kept;
use crate::metadata::{Information, Metadata};
use crate::{Rfc7591, map};

/// RFC 7591 section 3.2.1 has 201. Some servers say 200, and the client in the answer proves it as well.
pub(crate) const REGISTERED: &[StatusCode] = &[StatusCode::CREATED, StatusCode::OK];

impl Rfc7591 {
    /// Registers a client and keeps what it takes to manage it.
    pub(crate) async fn register_client(
        &self,
        deadline: Deadline,
        mark: &Mark,
        client: &NewClient,
    ) -> Result<Created, Fault> {
        let body = self.mapping.registration(client)?;
        let server = self.api.found(deadline).await?;
        self.store.intend(deadline, mark).await?;
        let information = match self.registered(deadline, &server, &body).await {
            Ok(information) => information,
            Err(fault) => {
                if fault.done() == Outcome::NotApplied {
                    self.nothing_was_made(mark).await;
                }
                return Err(fault);
            }
        };
        self.keep(mark, &server, &information).await?;
        let made = information.metadata();
        let Some(secret) = information.client_secret.clone() else {
            let message = "the server made a client without a secret, which is of no use to Konnect: see \
                           idp.token_endpoint_auth_methods";
            return Err(Fault::internal(message).reason(Reason::IdpAnswerUnusable));
        };
        // What is of no use is removed by its mark, as what nobody got the answer to is.
        let adjustments = map::compare(client, &made)?;
        Ok(Created {
            secret,
            secret_id: Some(crate::SECRET_ID.to_owned()),
            issued_at: information.issued_at(),
            secret_expires_at: information.secret_expires_at(),
            client_id: information.client_id,
            adjustments,
        })
    }

    async fn registered(
        &self,
        deadline: Deadline,
        server: &Server,
        body: &Metadata,
    ) -> Result<Information, Fault> {
        let answer = self.api.register(deadline, server, body).await?;
        match answer.status() {
            StatusCode::BAD_REQUEST => Err(refused(&answer)),
            _ => answer.expect(REGISTERED)?.json(),
        }
    }

    /// Writes a new client into the store; a client that cannot be written is removed at the server.
    async fn keep(
        &self,
        mark: &Mark,
        server: &Server,
        information: &Information,
    ) -> Result<(), Fault> {
        let uri = match self.uri(server, information) {
            Ok(uri) => uri,
            Err(fault) => return Err(self.disown(mark, server, information, fault).await),
        };
        let row = NewRow {
            client_id: information.client_id.clone(),
            client_uri: uri.clone(),
            registration_token: information.registration_access_token.clone(),
            metadata: Kept::new(information).to_json()?,
        };
        let deadline = Deadline::after(TIME_TO_WRITE);
        let Err(fault) = self.store.insert(deadline, mark, &row).await else {
            return Ok(());
        };
        let operation = mark.operation_id;
        let place = uri.as_deref().map(|uri| Place {
            uri,
            token: information.registration_access_token.as_ref(),
        });
        let removed = match place {
            // The row is another client's, or the same one's, and that was delivered.
            _ if fault.why() == Reason::ClientExists => {
                Err(Fault::internal("its id is known already"))
            }
            Some(place) => self.remove(server, place).await,
            None => Err(Fault::unsupported("it has no registration_client_uri")),
        };
        match removed {
            Ok(()) => {
                let deadline = Deadline::after(TIME_TO_WRITE);
                self.store
                    .removed(deadline, mark, &information.client_id)
                    .await;
                tracing::error!(%operation, "a client could not be written into the store and was removed: {fault}");
                let message = "the store could not be written; the new client was removed again";
                Err(Fault::new(FaultKind::Unavailable { after: None }, message).because(fault))
            }
            Err(why) => {
                tracing::error!(
                    %operation, client_id = information.client_id,
                    "a client could not be written into the store, nor removed ({why}): delete it at the server, then drop \
                     its intent by `store repair`: {fault}"
                );
                Err(fault.outcome(Outcome::Unknown))
            }
        }
    }

    /// Where the new client's registration is. `None` where clients are not managed.
    ///
    /// # Errors
    /// `Internal` when the client is there and cannot be managed.
    fn uri(&self, server: &Server, information: &Information) -> Result<Option<String>, Fault> {
        let answered = information.registration_client_uri.as_deref();
        let token = information.registration_access_token.as_ref();
        let place = match self.api.management() {
            // Kept for the day on which they are.
            Management::Unsupported => {
                let uri = answered.and_then(|uri| self.api.client_uri(server, uri).ok());
                return Ok(uri);
            }
            Management::RegistrationAccessToken => match (answered, token) {
                (Some(uri), Some(_)) => self.api.client_uri(server, uri),
                _ => Err(Fault::internal(
                    "the server gave the client no registration_access_token and registration_client_uri (RFC 7592 \
                     section 3): run `check --probe`, and set idp.management",
                )
                .reason(Reason::IdpAnswerUnusable)),
            },
            Management::Credential(_) => match answered {
                Some(uri) => self.api.client_uri(server, uri),
                None => self.api.usual_uri(server, &information.client_id),
            },
        };
        place.map(Some)
    }

    /// Removes a client that came without a place to manage it at, or with one that no token is sent to, by the place where
    /// such clients usually are.
    async fn disown(
        &self,
        mark: &Mark,
        server: &Server,
        information: &Information,
        fault: Fault,
    ) -> Fault {
        let client_id = &information.client_id;
        let token = information.registration_access_token.as_ref();
        let removed = match &self.api.usual_uri(server, client_id) {
            Ok(uri) => self.remove(server, Place { uri, token }).await,
            Err(why) => Err(Fault::internal(why.message())),
        };
        match removed {
            Ok(()) => {
                self.nothing_was_made(mark).await;
                tracing::error!(
                    client_id,
                    "a client was registered that cannot be managed, and was removed again: {fault}"
                );
                fault.outcome(Outcome::NotApplied)
            }
            Err(why) => {
                tracing::error!(
                    client_id,
                    "a client was registered that can be neither managed nor removed ({why}): delete it at the server, then \
                     drop its intent by `store repair`: {fault}"
                );
                fault.outcome(Outcome::Unknown)
            }
        }
    }

    /// Deletes a client that nobody knows of.
    pub(crate) async fn remove(&self, server: &Server, place: Place<'_>) -> Result<(), Fault> {
        let deadline = Deadline::after(TIME_TO_WRITE);
        let deleted = self
            .api
            .manage(deadline, server, Method::DELETE, place, None);
        deleted.await?.expect(self.behaviour.deleted()).map(drop)
    }

    async fn nothing_was_made(&self, mark: &Mark) {
        let deadline = Deadline::after(TIME_TO_WRITE);
        self.store.drop_intent(deadline, mark.operation_id).await;
    }
}

/// A 400 (RFC 7591 section 3.2.2); the server's own words are for the log.
pub(crate) fn refused(answer: &Answer) -> Fault {
    let fault = answer.fault();
    tracing::warn!("{}", fault.message());
    let code = answer.complaint().unwrap_or_default();
    let field = match code.split(':').next().unwrap_or_default() {
        "invalid_redirect_uri" => Field::RedirectUris,
        "invalid_software_statement" | "unapproved_software_statement" => {
            let message = format!("{}; see idp.software_statement_file", fault.message());
            return Fault::new(FaultKind::Refused, message);
        }
        _ => Field::Request,
    };
    let rule = Malformed::new(
        "was refused by the identity provider; its reason is in the connector's log",
    );
    Fault::invalid(vec![Violation::new(field, &rule)])
}
