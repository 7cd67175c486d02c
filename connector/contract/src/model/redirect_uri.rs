//! Redirect URIs that are safe to register.

use std::fmt;

use url::{Host, Url};

use super::Malformed;

/// A redirect URI (RFC 6749 section 3.1.2): absolute; https, or http to loopback (RFC 8252 section 7.3), or an
/// app's private-use scheme with a dot in it (RFC 8252 section 7.1). No fragment, user-info, wildcard or control
/// character; at most 2,048 characters. Kept exactly as written, since IdPs compare it as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RedirectUri(Box<str>);

impl RedirectUri {
    /// Parses the text.
    ///
    /// # Errors
    /// `Malformed` says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let broken = |rule: &str| Err(Malformed::new(rule));
        if text.is_empty() || text.len() > 2048 {
            return broken("must have 1 to 2,048 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return broken("must hold only printable ASCII without spaces");
        }
        // `\` is a slash to some parsers and a character to others, `*` a wildcard to some IdPs.
        if text.contains(['\\', '*', '<', '>', '"', '`', '{', '}', '|', '^']) {
            return broken("must not hold a wildcard or any of \\ < > \" ` { } | ^");
        }
        if text.contains('#') {
            return broken("must not have a fragment");
        }
        let Ok(url) = Url::parse(text) else {
            return broken("must be an absolute URI");
        };
        if !url.username().is_empty() || url.password().is_some() || has_user_info(text) {
            return broken("must not hold user information");
        }
        match url.scheme() {
            "https" if has_authority(text) && url.host_str().is_some_and(|h| !h.is_empty()) => {}
            "http" if has_authority(text) && is_loopback(&url) => {}
            "http" => return broken("must use https; http is allowed to loopback only"),
            scheme if scheme.contains('.') => {}
            _ => {
                return broken(
                    "must use https, http to loopback, or a private-use scheme with a dot",
                );
            }
        }
        Ok(Self(text.into()))
    }

    /// The text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `https:host` is read leniently by browsers; registering it would not match what they send.
fn has_authority(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(_, rest)| rest.starts_with("//") && !rest.starts_with("///"))
}

/// An empty user (`https://@host`) is invisible in the parsed URL.
fn has_user_info(text: &str) -> bool {
    text.split_once("//")
        .and_then(|(_, rest)| rest.split(['/', '?']).next())
        .is_some_and(|authority| authority.contains('@'))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_may_register() {
        for good in [
            "https://app.example/cb",
            "https://app.example",
            "https://app.example:8443/cb?x=1",
            "https://xn--bcher-kva.example/cb",
            "http://localhost/cb",
            "http://127.0.0.1:8000/cb",
            "http://[::1]/cb",
            "com.example.app:/oauth2redirect",
            "com.example.app://cb",
        ] {
            assert_eq!(RedirectUri::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_is_refused() {
        let long = format!("https://app.example/{}", "a".repeat(2048));
        for bad in [
            "",
            "not a uri",
            "/cb",
            "//app.example/cb",
            "https:app.example",
            "https:///cb",
            "https://",
            "http://app.example/cb",
            "http://localhost.evil.example/cb",
            "http://127.0.0.1.evil.example/",
            "https://app.example/cb#f",
            "https://app.example/cb#",
            "https://user@app.example/cb",
            "https://user:pw@app.example/cb",
            "https://@app.example/cb",
            "https://*.example/cb",
            "https://app.example/*",
            "https://app.example\\@evil.example/",
            "https://app.example/a b",
            "https://app.example/\u{0}",
            "https://app.example/\r\nx",
            "https://bücher.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "urn:ietf:wg:oauth:2.0:oob",
            "myapp://cb",
            &long,
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
