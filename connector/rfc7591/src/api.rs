//! A server's endpoints, and how they are spoken to: registration (RFC 7591 section 3), client configuration
//! (RFC 7592 section 2), discovery (RFC 8414, OpenID Connect Discovery 1.0).

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use dcr_connector::SecretFile;
use dcr_connector::fault::{Fault, FaultKind, Outcome, Reason};
use dcr_connector::http::{
    Answer, Client as Http, ClientAuthMethod, ClientCredentials, Effect, Method, TokenEndpoint,
};
use dcr_connector::model::Deadline;
use secrecy::SecretString;

use crate::discovery;
use crate::metadata::Metadata;

/// One authorization server.
#[derive(Debug)]
pub(crate) struct Api {
    http: Http,
    endpoints: Endpoints,
    registration: Registration,
    management: Management,
    found: ArcSwapOption<Server>,
}

/// What the operator says of where things are.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    pub(crate) issuer: Option<String>,
    pub(crate) registration: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) client_configuration: Option<String>,
}

/// A client of the connector's own.
#[derive(Debug, Clone)]
pub(crate) struct OwnCredential {
    pub(crate) client_id: String,
    pub(crate) secret_file: SecretFile,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) auth_method: ClientAuthMethod,
}

/// How a registration is authorised (RFC 7591 section 3).
#[derive(Debug)]
pub(crate) enum Registration {
    /// By a token that the operator was given.
    InitialAccessToken(SecretFile),
    /// By a token that the connector gets.
    Credential {
        credential: OwnCredential,
        token_valid_once: bool,
    },
    /// By nothing.
    Open,
}

/// How a client's registration is managed.
#[derive(Debug)]
pub(crate) enum Management {
    /// By the token that came with it (RFC 7592 section 3).
    RegistrationAccessToken,
    /// By a token that the connector gets, one for all clients.
    Credential(OwnCredential),
    /// Not at all.
    Unsupported,
}

/// A server whose endpoints are known.
#[derive(Debug)]
pub(crate) struct Server {
    /// Speaks with the right to register, if one is needed.
    registrar: Http,
    /// Speaks with the right to manage any client, if there is one.
    manager: Option<Http>,
    pub(crate) registration_endpoint: String,
    pub(crate) token_endpoint: Option<TokenEndpoint>,
}

impl Server {
    /// What registers.
    pub(crate) fn registrar(&self) -> &Http {
        &self.registrar
    }

    /// What manages; where there is no such right, what registers.
    pub(crate) fn manager(&self) -> &Http {
        self.manager.as_ref().unwrap_or(&self.registrar)
    }
}

/// A client's registration: where it is, and the token that it came with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) uri: &'a str,
    pub(crate) token: Option<&'a SecretString>,
}

impl Api {
    pub(crate) fn new(
        http: Http,
        endpoints: Endpoints,
        registration: Registration,
        management: Management,
    ) -> Self {
        let api = Self {
            http,
            endpoints,
            registration,
            management,
            found: ArcSwapOption::empty(),
        };
        if let Some(endpoint) = &api.endpoints.registration
            && (api.endpoints.token.is_some() || api.endpoints.issuer.is_none())
        {
            let token = api.endpoints.token.clone();
            let server = api.server(endpoint.clone(), token);
            // Without a token endpoint that was a mistake in the configuration.
            api.found.store(server.ok().map(Arc::new));
        }
        api
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    pub(crate) fn management(&self) -> &Management {
        &self.management
    }

    /// The issuer or else the registration endpoint.
    pub(crate) fn instance(&self) -> String {
        let Endpoints {
            issuer,
            registration,
            ..
        } = &self.endpoints;
        let named = issuer.as_ref().or(registration.as_ref());
        named.map_or_else(|| self.http.base().to_string(), Clone::clone)
    }

    /// The server, whose discovery document is read once, and again by every examination.
    ///
    /// # Errors
    /// What a read can meet; `Internal` when the document is of no use.
    pub(crate) async fn found(&self, deadline: Deadline) -> Result<Arc<Server>, Fault> {
        match self.found.load_full() {
            Some(server) => Ok(server),
            None => self.discover(deadline).await.map(|(server, _)| server),
        }
    }

    /// Reads the discovery document, if the operator named an issuer, and keeps to what it says from now on.
    pub(crate) async fn discover(
        &self,
        deadline: Deadline,
    ) -> Result<(Arc<Server>, Option<discovery::Document>), Fault> {
        let Some(issuer) = &self.endpoints.issuer else {
            // It was known from the start.
            let known = self.found.load_full().map(|server| (server, None));
            return known.ok_or_else(|| Fault::internal("neither issuer nor endpoints are known"));
        };
        let document = discovery::read(&self.http, issuer, deadline).await?;
        let registration = self.endpoints.registration.as_ref();
        let registration = registration.or(document.registration_endpoint.as_ref());
        let Some(registration) = registration else {
            return Err(discovery::unusable(
                "names no registration_endpoint: switch registration on, or give idp.registration_endpoint",
            ));
        };
        let token = self.endpoints.token.as_ref();
        let token = token.or(document.token_endpoint.as_ref());
        let is_as_before = |known: &Arc<Server>| {
            known.registration_endpoint == *registration
                && known.token_endpoint == token.cloned().map(TokenEndpoint::At)
        };
        // A new one would get itself new access tokens.
        let server = match self.found.load_full().filter(is_as_before) {
            Some(known) => known,
            None => Arc::new(self.server(registration.clone(), token.cloned())?),
        };
        self.found.store(Some(Arc::clone(&server)));
        Ok((server, Some(document)))
    }

    /// # Errors
    /// `Internal` when nobody has named the token endpoint that the connector needs: no secret is sent to a guessed place.
    fn server(
        &self,
        registration_endpoint: String,
        token_endpoint: Option<String>,
    ) -> Result<Server, Fault> {
        let token_endpoint = token_endpoint.map(TokenEndpoint::At);
        let with = |own: &OwnCredential| {
            let token_endpoint = token_endpoint.clone().ok_or_else(|| {
                discovery::unusable("names no token_endpoint: give idp.token_endpoint")
            })?;
            Ok(self.http.clone().authorized_by(ClientCredentials {
                token_endpoint,
                client_id: own.client_id.clone(),
                secret_file: own.secret_file.clone(),
                scope: own.scope.clone(),
                audience: own.audience.clone(),
                auth_method: own.auth_method,
            }))
        };
        let registrar = match &self.registration {
            Registration::Credential { credential, .. } => with(credential)?,
            Registration::InitialAccessToken(_) | Registration::Open => self.http.clone(),
        };
        let manager = match &self.management {
            Management::Credential(credential) => Some(with(credential)?),
            Management::RegistrationAccessToken | Management::Unsupported => None,
        };
        Ok(Server {
            registrar,
            manager,
            registration_endpoint,
            token_endpoint,
        })
    }

    /// Asks the server to register a client; its answer as it is.
    pub(crate) async fn register(
        &self,
        deadline: Deadline,
        server: &Server,
        metadata: &Metadata,
    ) -> Result<Answer, Fault> {
        let request = server
            .registrar
            .at(Effect::Creates, Method::POST, &server.registration_endpoint)
            .json(metadata);
        let answer = match &self.registration {
            Registration::Open => request.send_anonymously(deadline).await,
            Registration::InitialAccessToken(file) => {
                let token = file.read().map_err(|problem| {
                    let message = format!("the initial access token: {problem}");
                    Fault::new(FaultKind::Refused, message)
                })?;
                request.send_with(&token, deadline).await
            }
            Registration::Credential {
                token_valid_once: true,
                ..
            } => request.send_with_new_token(deadline).await,
            Registration::Credential { .. } => request.send(deadline).await,
        };
        Ok(told(answer?, Some(metadata)))
    }

    /// Reads, updates or deletes a registration; the answer as it is.
    ///
    /// # Errors
    /// `Unsupported` when there is nothing to manage it by, and what a call can meet.
    pub(crate) async fn manage(
        &self,
        deadline: Deadline,
        server: &Server,
        method: Method,
        place: Place<'_>,
        metadata: Option<&Metadata>,
    ) -> Result<Answer, Fault> {
        let effect = match method {
            Method::GET => Effect::Reads,
            _ => Effect::Changes,
        };
        // Judged again, since the configuration may have changed.
        let uri = self.client_uri(server, place.uri)?;
        let http = server.manager.as_ref().unwrap_or(&self.http);
        let mut request = http.at(effect, method, &uri);
        if let Some(metadata) = metadata {
            request = request.json(metadata);
        }
        let answer = match (&server.manager, place.token) {
            (Some(_), _) => request.send(deadline).await,
            (None, Some(token)) => request.send_with(token, deadline).await,
            (None, None) => Err(Fault::unsupported(
                "The server gave no token to manage this client by: it can only be changed or deleted at the server.",
            )),
        };
        Ok(told(answer?, metadata))
    }

    /// The URI of a client's registration, if a token may be sent there: it is below the client configuration endpoint,
    /// or, where none is configured, below the registration endpoint.
    ///
    /// # Errors
    /// `Internal` with NOT_APPLIED for any other.
    pub(crate) fn client_uri(&self, server: &Server, answered: &str) -> Result<String, Fault> {
        let base = self.http.base();
        let below = self.endpoints.client_configuration.as_ref();
        let below = below.unwrap_or(&server.registration_endpoint);
        let refused = |what: &str| {
            let message = format!(
                "the registration_client_uri of a client is {what}, and no token is sent there; if the server is right, \
                 name its place in idp.client_configuration_endpoint"
            );
            Fault::internal(message)
                .reason(Reason::IdpAnswerUnusable)
                .outcome(Outcome::NotApplied)
        };
        let url = base.same_origin(answered);
        let url = url.map_err(|_| refused("of another origin"))?;
        let below = base.same_origin(below)?;
        if !is_below(url.path(), below.path()) {
            return Err(refused("not below the registration endpoint"));
        }
        Ok(url.into())
    }

    /// Where a client's registration is that a server did not tell: its id below the endpoint.
    pub(crate) fn usual_uri(&self, server: &Server, client_id: &str) -> Result<String, Fault> {
        let below = self.endpoints.client_configuration.as_ref();
        let below = below.unwrap_or(&server.registration_endpoint);
        let mut url = self.http.base().same_origin(below)?;
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().push(client_id),
            Err(()) => return Err(Fault::internal("the registration endpoint has no path")),
        };
        self.client_uri(server, url.as_str())
    }
}

/// An answer to what may have held a secret, which the server's own words may repeat.
fn told(answer: Answer, asked: Option<&Metadata>) -> Answer {
    let has = |member| asked.is_some_and(|asked| asked.contains_key(member));
    if has("client_secret") || has("software_statement") {
        answer.told_by_code()
    } else {
        answer
    }
}

/// Whether one path begins with all segments of another. Servers double slashes where their configured address ends in
/// one, so empty segments do not count.
fn is_below(path: &str, of: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    of.split('/')
        .filter(|segment| !segment.is_empty())
        .all(|segment| segments.next() == Some(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_counted_once() {
        for (path, of, below) in [
            ("/reg/a", "/reg", true),
            ("/reg", "/reg", true),
            ("//api//reg/a", "/api/reg/", true),
            ("/api/reg/a", "//api/reg", true),
            ("/regular/a", "/reg", false),
            ("/a/reg", "/reg", false),
            ("/", "/reg", false),
            ("/anything", "/", true),
        ] {
            assert_eq!(is_below(path, of), below, "{path} below {of}");
        }
    }
}
