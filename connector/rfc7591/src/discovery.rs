//! The discovery document: RFC 8414, and OpenID Connect Discovery 1.0, which puts the same at another path.

use dcr_connector::fault::{Fault, Outcome, Reason};
use dcr_connector::http::{Client as Http, Effect, Method, StatusCode};
use dcr_connector::model::Deadline;
use serde::Deserialize;

/// What of it is of interest here.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    issuer: String,
    pub(crate) registration_endpoint: Option<String>,
    pub(crate) token_endpoint: Option<String>,
    pub(crate) scopes_supported: Option<Vec<String>>,
    pub(crate) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    pub(crate) grant_types_supported: Option<Vec<String>>,
}

/// Reads the document of an issuer.
///
/// # Errors
/// What a read can meet; `Internal` when it is of no use.
pub(crate) async fn read(http: &Http, issuer: &str, deadline: Deadline) -> Result<Document, Fault> {
    let mut answer = None;
    for url in places(http, issuer)? {
        let found = http
            .at(Effect::Reads, Method::GET, &url)
            .send_anonymously(deadline)
            .await?;
        let is_elsewhere = found.status() == StatusCode::NOT_FOUND;
        answer = Some(found);
        if !is_elsewhere {
            break;
        }
    }
    let Some(answer) = answer else {
        return Err(unusable("has no place"));
    };
    let document: Document = answer.expect(&[StatusCode::OK])?.json()?;
    let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
    if trimmed(&document.issuer) != trimmed(issuer) {
        return Err(unusable(
            "is another issuer's (RFC 8414 section 3.3): correct idp.issuer to what the server calls itself",
        ));
    }
    let endpoints = [&document.registration_endpoint, &document.token_endpoint];
    for endpoint in endpoints.into_iter().flatten() {
        http.base().same_origin(endpoint).map_err(|_| {
            unusable(
                "names endpoints of another origin: leave idp.issuer out, and give idp.registration_endpoint and \
                 idp.token_endpoint",
            )
        })?;
    }
    Ok(document)
}

/// Where it may be: behind the issuer's path as OpenID Connect has it, or before the path as RFC 8414 section 3 has it.
fn places(http: &Http, issuer: &str) -> Result<[String; 2], Fault> {
    let mut url = http.base().same_origin(issuer)?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{path}/.well-known/openid-configuration"));
    let openid = url.to_string();
    url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Ok([openid, url.into()])
}

pub(crate) fn unusable(why: &str) -> Fault {
    Fault::internal(format!("the discovery document of idp.issuer {why}"))
        .reason(Reason::IdpAnswerUnusable)
        .outcome(Outcome::NotApplied)
}
