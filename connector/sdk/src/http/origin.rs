//! URLs of the one origin that the operator configured.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::fault::Fault;
use crate::model::Malformed;

/// All but RFC 3986 `unreserved`: a segment can never end itself or become a `.` of its own.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The base URL of an IdP's API, from the operator's configuration only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Parses a URL with https, or http where that stays on this machine or `insecure` is set.
    ///
    /// # Errors
    /// `Malformed` says which rule is broken.
    pub fn parse(text: &str, insecure: bool) -> Result<Self, Malformed> {
        let mut url = Url::parse(text).map_err(|_| Malformed::new("must be an absolute URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Malformed::new("must not hold user information"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Malformed::new("must not have a query or fragment"));
        }
        match url.scheme() {
            "https" => {}
            "http" if insecure || is_loopback(&url) => {}
            "http" => {
                return Err(Malformed::new(
                    "must use https; plain http to another machine needs `insecure_http: true`",
                ));
            }
            _ => return Err(Malformed::new("must use https")),
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// The URL of a resource below the base. Each segment is encoded; none can leave its place.
    ///
    /// # Errors
    /// `Internal` for a segment that no URL can carry: empty, `.` or `..`.
    pub fn join(&self, segments: &[&str]) -> Result<Url, Fault> {
        let mut path = self.0.path().trim_end_matches('/').to_owned();
        for segment in segments {
            if segment.is_empty() || *segment == "." || *segment == ".." {
                return Err(Fault::internal(
                    "a path segment for the identity provider is empty or dots",
                ));
            }
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        let mut url = self.0.clone();
        url.set_path(&path);
        Ok(url)
    }

    /// A URL that an IdP answered, if it is of this origin.
    ///
    /// # Errors
    /// `Internal` for any other: a credential never goes where an answer points.
    pub fn same_origin(&self, answered: &str) -> Result<Url, Fault> {
        match self.0.join(answered) {
            Ok(url) if url.origin() == self.0.origin() && url.username().is_empty() => Ok(url),
            _ => Err(Fault::internal(
                "the identity provider answered with a URL of another origin",
            )),
        }
    }

    /// Host and port.
    pub(super) fn authority(&self) -> (Option<&str>, Option<u16>) {
        (self.0.host_str(), self.0.port_or_known_default())
    }

    /// `https` or `http`.
    pub(super) fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> BaseUrl {
        BaseUrl::parse("https://sso.example/auth/", false).unwrap()
    }

    #[test]
    fn a_segment_stays_one_segment() {
        for hostile in [
            "a/b", "a\\b", "a?x", "a#x", "%2e%2e", "..;", "a\r\nb", "\0", "ä", " ", "a%2fb",
        ] {
            let url = base().join(&["clients", hostile, "secret"]).unwrap();
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            assert_eq!(segments.len(), 4, "{hostile:?} became {url}");
            assert_eq!((segments[1], segments[3]), ("clients", "secret"));
            assert!(url.query().is_none() && url.fragment().is_none());
        }
        for hostile in ["", ".", ".."] {
            assert!(base().join(&["clients", hostile]).is_err());
        }
    }

    #[test]
    fn answers_point_nowhere_else() {
        assert!(base().same_origin("https://sso.example/other").is_ok());
        assert!(base().same_origin("/relative").is_ok());
        for elsewhere in [
            "https://evil.example/",
            "http://sso.example/",
            "https://sso.example:444/",
            "//evil.example/",
            "https://u@sso.example/",
            "ftp://sso.example/",
        ] {
            assert!(base().same_origin(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn plain_http_leaves_the_machine_only_when_told() {
        assert!(BaseUrl::parse("http://127.0.0.1:8080", false).is_ok());
        assert!(BaseUrl::parse("http://sso.example", false).is_err());
        assert!(BaseUrl::parse("http://sso.example", true).is_ok());
        for bad in [
            "sso.example",
            "ftp://a",
            "https://u:p@a",
            "https://a?x",
            "https://a#x",
        ] {
            assert!(BaseUrl::parse(bad, true).is_err(), "{bad}");
        }
    }
}
