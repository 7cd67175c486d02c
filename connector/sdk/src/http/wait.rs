//! How long an IdP asks to wait, in all the ways that vendors say it.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Longer waits help nobody who waits for an answer.
const LONGEST: Duration = Duration::from_mins(1);
/// Greater numbers are seconds since 1970, smaller ones seconds from now.
const EPOCH: u64 = 1_000_000_000;

/// Reads `Retry-After` (RFC 9110 section 10.2.3: seconds or a date), `X-Rate-Limit-Reset` (Okta) and
/// `X-RateLimit-Reset` (Auth0: seconds since 1970, Ory: from now). Dates count from the answer's own `Date`, since
/// clocks differ. Capped at 60 s.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::trim)
    };
    let now = text("date").and_then(date).unwrap_or_else(Timestamp::now);
    let until = |then: Timestamp| {
        u64::try_from(then.as_second().saturating_sub(now.as_second())).unwrap_or_default()
    };
    let retry_after =
        text("retry-after").and_then(|t| t.parse::<u64>().ok().or_else(|| date(t).map(until)));
    let reset = || {
        let reset = text("x-rate-limit-reset").or_else(|| text("x-ratelimit-reset"))?;
        let number = reset.parse::<u64>().ok()?;
        let epoch = || {
            Timestamp::from_second(i64::try_from(number).ok()?)
                .ok()
                .map(until)
        };
        if number > EPOCH {
            epoch()
        } else {
            Some(number)
        }
    };
    retry_after
        .or_else(reset)
        .map(|seconds| Duration::from_secs(seconds).min(LONGEST))
}

fn date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn every_vendor_says_it_differently() {
        type Headers = &'static [(&'static str, &'static str)];
        let table: [(Headers, Option<u64>); 9] = [
            (&[("retry-after", "7")], Some(7)),
            (&[("retry-after", "86400")], Some(60)),
            (
                &[
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                    ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT"),
                ],
                Some(9),
            ),
            (
                &[
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                    ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"),
                ],
                Some(0),
            ),
            (
                &[
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                    ("x-rate-limit-reset", "1792567691"),
                ],
                Some(11),
            ),
            (
                &[
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                    ("x-ratelimit-reset", "1792567685"),
                ],
                Some(5),
            ),
            (&[("x-ratelimit-reset", "12")], Some(12)),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ];
        for (pairs, seconds) in table {
            assert_eq!(
                asked(&headers(pairs)),
                seconds.map(Duration::from_secs),
                "{pairs:?}"
            );
        }
    }
}
