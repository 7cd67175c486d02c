//! Where a connector listens.

use std::fmt;

use tonic::transport::Endpoint;
use url::Url;

use crate::model::Malformed;

/// Where a connector listens: `https://HOST:PORT`, or `http://HOST:PORT` for plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorAddress {
    url: Url,
}

impl ConnectorAddress {
    /// Parses `https://HOST:PORT` or `http://HOST:PORT`.
    ///
    /// # Errors
    /// `Malformed` says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let url = Url::parse(text)
            .map_err(|_| Malformed::new("must be a URL like https://dcr-connector-okta:9000"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Malformed::new("must begin with https:// or http://"));
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

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
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
        for (good, loopback, tls) in [
            ("http://okta:9000", false, false),
            ("https://okta:9000", false, true),
            ("http://127.0.0.1:1/", true, false),
            ("https://[::1]:2", true, true),
        ] {
            let address = ConnectorAddress::parse(good).unwrap();
            assert_eq!((address.is_loopback(), address.is_tls()), (loopback, tls));
            assert_eq!(address.to_string(), good.trim_end_matches('/'));
        }
        for bad in [
            "",
            "okta:9000",
            "ftp://a:1",
            "http://a:1/x",
            "http://u@a:1",
            "http://a:1?x",
            "http://a\"b:1",
        ] {
            assert!(ConnectorAddress::parse(bad).is_err(), "{bad:?}");
        }
    }
}
