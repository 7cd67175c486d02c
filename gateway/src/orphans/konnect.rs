//! Konnect's management API: its applications, portal by portal (Kong's description "Portal Management V3",
//! `GET /v3/portals/{portalId}/applications`).

use std::collections::BTreeMap;
use std::time::Duration;

use dcr_contract::fault::root_cause;
use dcr_contract::model::Sentence;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Unclear;
use crate::config::{Konnect, KonnectApi};

const CONNECT: Duration = Duration::from_secs(5);
/// For each page.
const PATIENCE: Duration = Duration::from_secs(15);
/// An application takes 2 KB, or 4 with every scope.
const LARGEST_ANSWER: usize = 2 * 1024 * 1024;
const PAGE: usize = 100;
/// More applications than any portal can have: whoever counts so many does not count.
const MOST_PAGES: usize = 5_000;
/// How often a portal whose pages do not add up is listed anew.
const ATTEMPTS: usize = 3;

/// One application; the members that the comparison needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Application {
    pub(super) id: String,
    pub(super) created_at: Option<Timestamp>,
    /// None with key authentication, where an application is no client of anybody.
    pub(super) client_id: Option<String>,
    dcr_provider: Option<DcrProvider>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct DcrProvider {
    id: String,
}

impl Application {
    /// Whether its client was made by one of these DCR providers of Konnect's.
    pub(super) fn is_of(&self, dcr_providers: &[Uuid]) -> bool {
        let of = self.dcr_provider.as_ref();
        let id = of.and_then(|provider| Uuid::try_parse(&provider.id).ok());
        id.is_some_and(|id| dcr_providers.contains(&id))
    }
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Application>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    page: PageMeta,
}

#[derive(Deserialize)]
struct PageMeta {
    number: usize,
    total: usize,
}

/// Reads Konnect with an operator's token, which goes to the configured origin and nowhere else.
#[derive(Debug, Clone)]
pub(super) struct Management(reqwest::Client);

impl Management {
    /// # Errors
    /// A sentence, when the token or this machine's TLS is of no use.
    #[expect(
        clippy::disallowed_methods,
        reason = "the gateway's only calls to HTTP servers; the header carries the token"
    )]
    pub(super) fn new(token: &SecretString) -> Result<Self, String> {
        // One provider for the whole process; the second and later calls find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let bearer = HeaderValue::from_str(&bearer);
        let mut bearer = bearer.map_err(|_| {
            "the token file holds more than a token: it must be one line of printable characters"
        })?;
        bearer.set_sensitive(true);
        let headers = [
            (AUTHORIZATION, bearer),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ];
        reqwest::Client::builder()
            .user_agent(concat!("dcr-bridge/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter(headers))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()
            .map(Self)
            .map_err(|error| {
                format!(
                    "this machine's TLS cannot be used: {}",
                    Sentence::new(&root_cause(&error))
                )
            })
    }

    /// All applications of the portals, by their ids.
    pub(super) async fn applications(
        &self,
        konnect: &Konnect,
    ) -> Result<BTreeMap<String, Application>, Unclear> {
        let mut all = BTreeMap::new();
        for portal in &konnect.portals {
            all.append(&mut self.of_portal(&konnect.api, *portal).await?);
        }
        Ok(all)
    }

    async fn of_portal(
        &self,
        api: &KonnectApi,
        portal: Uuid,
    ) -> Result<BTreeMap<String, Application>, Unclear> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            match self.attempt(api, portal).await? {
                Ok(applications) => return Ok(applications),
                Err(sentence) => why = sentence,
            }
        }
        Err(Unclear(format!(
            "portal {portal} was listed {ATTEMPTS} times and never added up ({why}); try again when its \
             applications change less"
        )))
    }

    /// One listing of a portal; the inner error says what does not add up.
    ///
    /// Konnect counts pages, so what is deleted meanwhile moves all that follows to the front, and what is created
    /// stands last in this order. Read from the last page to the first, none that stays slips through between two pages.
    async fn attempt(
        &self,
        api: &KonnectApi,
        portal: Uuid,
    ) -> Result<Result<BTreeMap<String, Application>, String>, Unclear> {
        let first = self.page(api, portal, 1).await?;
        let total = first.meta.page.total;
        let pages = total.div_ceil(PAGE).max(1);
        if pages > MOST_PAGES {
            let sentence =
                format!("portal {portal}: Konnect counts {total} applications, which cannot be");
            return Err(Unclear(sentence));
        }
        let mut only = (pages == 1).then_some(first);
        let mut all = BTreeMap::new();
        for number in (1..=pages).rev() {
            let page = match only.take() {
                Some(page) => page,
                None => self.page(api, portal, number).await?,
            };
            let counted = page.meta.page.total;
            if counted != total {
                return Ok(Err(format!(
                    "Konnect counted {total} applications, then {counted}"
                )));
            }
            all.extend(page.data.into_iter().map(|a| (a.id.clone(), a)));
        }
        let listed = all.len();
        if listed != total {
            return Ok(Err(format!(
                "Konnect counts {total} applications and lists {listed}"
            )));
        }
        Ok(Ok(all))
    }

    async fn page(&self, api: &KonnectApi, portal: Uuid, number: usize) -> Result<Page, Unclear> {
        let unclear =
            |what: &str| Unclear(format!("page {number} of portal {portal} at {api}: {what}"));
        let mut url = api.at(&format!("/v3/portals/{portal}/applications"));
        url.query_pairs_mut()
            .append_pair("page[size]", &PAGE.to_string())
            .append_pair("page[number]", &number.to_string())
            .append_pair("sort", "created_at");
        let lost = |error: &reqwest::Error| {
            unclear(&format!(
                "no whole answer: {}",
                Sentence::new(&root_cause(error))
            ))
        };
        let mut answer = self.0.get(url).send().await.map_err(|e| lost(&e))?;
        if answer.status() != StatusCode::OK {
            return Err(unclear(&meaning(answer.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| lost(&e))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(unclear("Konnect answered with more than 2 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        let page: Page = serde_json::from_slice(&body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            unclear(&format!(
                "Konnect's answer is no page of applications, at line {line} column {column}"
            ))
        })?;
        if page.meta.page.number != number {
            return Err(unclear(&format!(
                "Konnect answered with page {}",
                page.meta.page.number
            )));
        }
        Ok(page)
    }
}

fn meaning(status: StatusCode) -> String {
    let advice = match status {
        StatusCode::UNAUTHORIZED => {
            "the token is not accepted: it may have expired, or be another organization's"
        }
        StatusCode::FORBIDDEN => {
            "the token may not read the portal's applications: give its account a role that may view the portal"
        }
        StatusCode::NOT_FOUND => {
            "there is no such portal, or the token may not see it: check konnect.portals and the region in konnect.api"
        }
        StatusCode::TOO_MANY_REQUESTS => "Konnect asks for fewer calls: try again later",
        _ => "Konnect does not list them: try again later",
    };
    format!("Konnect answered {}; {advice}", status.as_u16())
}
