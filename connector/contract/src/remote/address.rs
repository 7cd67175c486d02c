//! Where a connector listens.

use std::fmt;

use tonic::transport::Endpoint;
use url::Url;

use crate::model::Malformed;

/// Where a connector listens: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorAddress {
    url: Url,
}

impl ConnectorAddress {
    /// Parses `http://HOST:PORT`.
    ///
    /// # Errors
    /// `Malformed` says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let url = Url::parse(text)
            .map_err(|_| Malformed::new("must be a URL like http://dcr-connector-okta:9000"))?;
        if url.scheme() != "http" {
            return Err(Malformed::new("must begin with http://"));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(Malformed::new(
                "must have a host and a port and nothing else",
            ));
        }
        if url.port_or_known_default().is_none_or(|port| port == 0) {
            return Err(Malformed::new("must have a port"));
        }
        // What a URL may hold is more than what HTTP can write.
        Endpoint::from_shared(url.to_string())
            .map_err(|_| Malformed::new("must be an address that HTTP can use"))?;
        Ok(Self { url })
    }

    /// Whether calls to it never leave this machine (or Pod).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }
}

impl fmt::Display for ConnectorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port_and_nothing_else() {
        for (good, loopback) in [
            ("http://okta:9000", false),
            ("http://127.0.0.1:1/", true),
            ("http://[::1]:2", true),
        ] {
            assert_eq!(
                ConnectorAddress::parse(good).unwrap().is_loopback(),
                loopback
            );
        }
        for bad in [
            "",
            "okta:9000",
            "https://a:1",
            "http://a:1/x",
            "http://u@a:1",
            "http://a:1?x",
            "http://a\"b:1",
        ] {
            assert!(ConnectorAddress::parse(bad).is_err(), "{bad:?}");
        }
    }
}
