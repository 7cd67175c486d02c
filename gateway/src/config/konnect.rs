//! The section `konnect` of a provider's file: what `orphans` compares the provider's clients with.

use std::fmt;

use dcr_contract::model::Malformed;
use dcr_runtime::config::{Located, Problems};
use serde::Deserialize;
use url::{Host, Url};
use uuid::Uuid;

use super::{parsed, required};

/// Where in Konnect a provider's applications are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Konnect {
    /// The management API of the region.
    pub api: KonnectApi,
    /// The portals whose applications may use the provider.
    pub portals: Vec<Uuid>,
    /// The provider's ids in Konnect: usually one.
    pub dcr_providers: Vec<Uuid>,
}

/// The origin of Konnect's management API, as `https://eu.api.konghq.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KonnectApi(Url);

impl KonnectApi {
    /// Parses an origin with https, or with http where that stays on this machine.
    ///
    /// # Errors
    /// `Malformed` says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let url = Url::parse(text)
            .map_err(|_| Malformed::new("must be a URL like https://eu.api.konghq.com"))?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(Malformed::new("must begin with https://"));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(Malformed::new(
                "must have a host and nothing behind it, as https://eu.api.konghq.com",
            ));
        }
        Ok(Self(url))
    }

    /// The URL of a path below the origin.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

impl fmt::Display for KonnectApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    api: Option<Located<String>>,
    #[serde(default)]
    portals: Vec<Located<String>>,
    #[serde(default)]
    dcr_providers: Vec<Located<String>>,
}

impl Section {
    /// Judges the section; `None` when something is wrong with it.
    pub(super) fn read(self, problems: &mut Problems) -> Option<Konnect> {
        let api = required(self.api, "konnect.api", problems, KonnectApi::parse);
        let portals = ids(&self.portals, "konnect.portals", problems);
        let dcr_providers = ids(&self.dcr_providers, "konnect.dcr_providers", problems);
        Some(Konnect {
            api: api?,
            portals: portals?,
            dcr_providers: dcr_providers?,
        })
    }
}

fn ids(written: &[Located<String>], path: &str, problems: &mut Problems) -> Option<Vec<Uuid>> {
    if written.is_empty() {
        problems.anywhere(path, "must name at least one id");
        return None;
    }
    let parse = |text: &str| {
        Uuid::try_parse(text)
            .map_err(|_| Malformed::new("must be a UUID, as Konnect shows it beside the name"))
    };
    let ids = written.iter().enumerate();
    let ids = ids.map(|(n, id)| parsed(id, &format!("{path}[{n}]"), problems, parse));
    // Every mistake is noted before the first one ends it.
    let ids: Vec<_> = ids.collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_encrypted_or_not_at_all() {
        for good in [
            "https://eu.api.konghq.com",
            "https://eu.api.konghq.com/",
            "http://127.0.0.1:9",
            "http://[::1]:9",
        ] {
            assert!(KonnectApi::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "eu.api.konghq.com",
            "http://eu.api.konghq.com",
            "http://127.0.0.1.example",
            "ftp://127.0.0.1",
            "https://eu.api.konghq.com/v3",
            "https://eu.api.konghq.com?x",
            "https://user@eu.api.konghq.com",
        ] {
            assert!(KonnectApi::parse(bad).is_err(), "{bad}");
        }
    }
}
