//! What a request's head may not leave open.
//!
//! Two who read one head differently are how requests are smuggled past the first of them (RFC 9112 section 11.2), so
//! whatever another reader could understand otherwise is refused. hyper has refused most before: lengths that differ,
//! folded lines, spaces before a colon.

use dcr_runtime::http::AmbiguousLength;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use http::{Version, request};

/// Headers of which one reader takes the first, and another the last.
const ONCE: [HeaderName; 3] = [AUTHORIZATION, CONTENT_TYPE, TRANSFER_ENCODING];

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// Both `Transfer-Encoding` and `Content-Length`.
    Length,
    /// No or several hosts.
    Host,
    /// A header that may come once.
    Repeated,
}

impl Ambiguity {
    /// What Konnect is told.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Length => {
                "The request must have Content-Length or Transfer-Encoding, and not both."
            }
            Self::Host => "The request must name one host.",
            Self::Repeated => {
                "The request must have Authorization, Content-Type and Transfer-Encoding at most once."
            }
        }
    }
}

/// Judges a head. It says nothing about providers and keys, so it comes before them.
///
/// # Errors
/// When it is ambiguous.
pub(crate) fn judge(head: &request::Parts) -> Result<(), Ambiguity> {
    if head.extensions.get::<AmbiguousLength>().is_some() {
        Err(Ambiguity::Length)
    } else if !has_one_host(head) {
        Err(Ambiguity::Host)
    } else if ONCE
        .iter()
        .any(|name| head.headers.get_all(name).iter().nth(1).is_some())
    {
        Err(Ambiguity::Repeated)
    } else {
        Ok(())
    }
}

/// HTTP/1.1 demands `Host` (RFC 9112 section 3.2); HTTP/2 has `:authority` instead, and only the same may be beside it
/// (RFC 9113 section 8.3.1).
fn has_one_host(head: &request::Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), head.version) {
        (Some(host), None, Version::HTTP_2) => head
            .uri
            .authority()
            .is_none_or(|authority| host.as_bytes() == authority.as_str().as_bytes()),
        (None, None, version) => version != Version::HTTP_11,
        (_, second, _) => second.is_none(),
    }
}
