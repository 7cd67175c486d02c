//! The token endpoint (RFC 6749 sections 2.3.1, 4.4, 5.1 and 5.2), and the Bearer check of the admin API (RFC 6750).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::Idp;
use crate::form;
use crate::keys::{Claims, random_text};
use crate::metadata::{AuthMethod, GrantType, Metadata};
use crate::refusal::Refusal;

/// The scope that opens the admin API. No client can be given it.
pub(crate) const ADMIN_SCOPE: &str = "admin";

const BASIC: &str = r#"Basic realm="small-idp", charset="UTF-8""#;
const BEARER: &str = r#"Bearer realm="small-idp""#;
const BEARER_INVALID: &str = r#"Bearer realm="small-idp", error="invalid_token""#;
const BEARER_NARROW: &str =
    r#"Bearer realm="small-idp", error="insufficient_scope", scope="admin""#;

/// Answers `POST /token`.
pub(crate) async fn token(
    State(idp): State<Arc<Idp>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut parameters = Parameters::parse(&headers, &body)?;
    let credentials = Credentials::of(&headers, &mut parameters)?;
    let client = idp
        .table()
        .authenticate(&credentials.id, &credentials.secret);
    let client = client.ok_or_else(invalid_client)?.metadata;
    if client
        .token_endpoint_auth_method
        .is_some_and(|method| method != credentials.method)
    {
        return Err(invalid_client());
    }
    let grant_type = parameters.take("grant_type");
    let grant_type =
        grant_type.ok_or_else(|| bad_request("invalid_request", "grant_type is missing"))?;
    if grant_type != "client_credentials" {
        return Err(bad_request(
            "unsupported_grant_type",
            "only client_credentials is supported",
        ));
    }
    if !client.grant_types.contains(&GrantType::ClientCredentials) {
        return Err(bad_request(
            "unauthorized_client",
            "the client may not use this grant",
        ));
    }
    let scope = granted_scope(&client, parameters.take("scope"))?;
    let claims = claims(&idp, client, scope)?;
    let token = json!({
        "access_token": idp.keys.sign(&claims)?,
        "token_type": "Bearer",
        "expires_in": idp.token_lifetime,
        "scope": claims.scope,
    });
    let no_store = [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ];
    Ok((no_store, Json(token)).into_response())
}

/// Lets a call pass that bears an access token with the admin scope.
pub(crate) async fn admin_only(
    State(idp): State<Arc<Idp>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let missing = || Refusal::unauthorized("invalid_request", "a Bearer token is needed", BEARER);
    let Some(("bearer", token)) = one_authorization(request.headers())? else {
        return Err(missing());
    };
    let now = Timestamp::now().as_second();
    let claims = idp.keys.verify(token).filter(|claims| {
        claims.iss == idp.issuer && claims.aud.contains(&idp.issuer) && claims.exp > now
    });
    let claims = claims.ok_or_else(|| {
        Refusal::unauthorized(
            "invalid_token",
            "the token is not ours or has expired",
            BEARER_INVALID,
        )
    })?;
    let scope = claims.scope.unwrap_or_default();
    if !scope.split(' ').any(|scope| scope == ADMIN_SCOPE) {
        let description = "the token lacks the scope admin";
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "insufficient_scope", description);
        return Err(refusal.challenging(BEARER_NARROW));
    }
    Ok(next.run(request).await)
}

/// What a client says to be known, and how it says it.
struct Credentials {
    id: String,
    secret: SecretString,
    method: AuthMethod,
}

impl Credentials {
    /// RFC 6749 section 2.3: by one way only.
    fn of(headers: &HeaderMap, parameters: &mut Parameters) -> Result<Self, Refusal> {
        let (id, secret) = (
            parameters.take("client_id"),
            parameters.take("client_secret"),
        );
        let Some((scheme, value)) = one_authorization(headers)? else {
            let (Some(id), Some(secret)) = (id, secret) else {
                return Err(invalid_client());
            };
            return Ok(Self {
                id,
                secret: secret.into(),
                method: AuthMethod::ClientSecretPost,
            });
        };
        if secret.is_some() {
            let description = "the client authenticates in two ways";
            return Err(bad_request("invalid_request", description));
        }
        let pair = BASE64.decode(value).ok().filter(|_| scheme == "basic");
        let pair = pair
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(SecretString::from);
        #[expect(
            clippy::disallowed_methods,
            reason = "the header holds name and secret in one"
        )]
        let read = |pair: &SecretString| {
            let (id, secret) = pair.expose_secret().split_once(':')?;
            Some((form::decode(id)?, SecretString::from(form::decode(secret)?)))
        };
        let (named, secret) = pair.as_ref().and_then(read).ok_or_else(invalid_client)?;
        if id.is_some_and(|id| id != named) {
            return Err(bad_request("invalid_request", "two client ids"));
        }
        Ok(Self {
            id: named,
            secret,
            method: AuthMethod::ClientSecretBasic,
        })
    }
}

/// The parameters of a token request, none of them twice (RFC 6749 section 3.2).
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        let media_type = content_type
            .and_then(|t| t.split(';').next())
            .unwrap_or_default();
        if !media_type
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(bad_request("invalid_request", "the body is no form"));
        }
        let parsed = std::str::from_utf8(body).ok().and_then(form::parse);
        let parsed = parsed.ok_or_else(|| bad_request("invalid_request", "the form is broken"))?;
        let mut names: Vec<_> = parsed.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(bad_request("invalid_request", "a parameter is there twice"));
        }
        Ok(Self(parsed))
    }

    /// A parameter's value; an empty one counts as left out (RFC 6749 section 3.1).
    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.0.swap_remove(place);
        (!value.is_empty()).then_some(value)
    }
}

/// The scheme in lower case and the value of the one `Authorization` header.
fn one_authorization(headers: &HeaderMap) -> Result<Option<(&'static str, &str)>, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(one) = all.next() else {
        return Ok(None);
    };
    let broken = || Refusal::invalid_request("the Authorization header is broken or there twice");
    let text = one
        .to_str()
        .ok()
        .filter(|_| all.next().is_none())
        .ok_or_else(broken)?;
    let (scheme, value) = text.split_once(' ').ok_or_else(broken)?;
    let scheme = ["basic", "bearer"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known));
    Ok(Some((scheme.ok_or_else(broken)?, value.trim())))
}

/// What was asked for, if the client may have all of it; all that it may have, if nothing was asked for.
fn granted_scope(client: &Metadata, asked: Option<String>) -> Result<Option<String>, Refusal> {
    match asked {
        None => Ok((!client.scopes.is_empty()).then(|| client.scopes.join(" "))),
        Some(asked) => {
            let may_have = |scope: &str| client.scopes.iter().any(|known| known == scope);
            if asked.split(' ').all(may_have) {
                Ok(Some(asked))
            } else {
                Err(bad_request(
                    "invalid_scope",
                    "the client may not have this scope",
                ))
            }
        }
    }
}

/// RFC 9068 section 2.2; without audiences of its own the token is for this server.
fn claims(idp: &Idp, client: Metadata, scope: Option<String>) -> Result<Claims, Refusal> {
    let now = Timestamp::now().as_second();
    let Metadata {
        client_id,
        audiences: mut aud,
        ..
    } = client;
    if aud.is_empty() {
        aud.push(idp.issuer.clone());
    }
    Ok(Claims {
        iss: idp.issuer.clone(),
        sub: client_id.clone(),
        azp: client_id.clone(),
        client_id,
        aud,
        scope,
        iat: now,
        exp: now + idp.token_lifetime,
        jti: random_text::<16>()?,
    })
}

fn bad_request(error: &'static str, description: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error, description)
}

fn invalid_client() -> Refusal {
    Refusal::unauthorized("invalid_client", "no such client, or a wrong secret", BASIC)
}
