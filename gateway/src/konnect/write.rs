//! How values are written: secrets only here, times as RFC 3339.

use dcr_contract::Fault;
use dcr_contract::model::ClientSecret;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Serialize, Serializer};

/// The one place that opens a client's secret: into the body of Konnect's answer.
pub(super) struct Secret<'a>(pub(super) &'a ClientSecret);

impl Serialize for Secret<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the answer is where the secret goes"
    )]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.value().expose_secret())
    }
}

/// RFC 3339; `None` for a time before the year 0, which has no such form.
pub(super) fn time(time: Timestamp) -> Option<String> {
    /// 0000-01-01T00:00:00Z.
    const YEAR_ZERO: i64 = -62_167_219_200;
    (time.as_second() >= YEAR_ZERO).then(|| time.to_string())
}

/// The bytes of an answer.
pub(super) fn json(answer: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(answer)
        .map_err(|e| Fault::internal("an answer could not be written as JSON").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_left_out() {
        for text in [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.123456789Z",
            "9999-12-30T00:00:00Z",
        ] {
            assert_eq!(time(text.parse().unwrap()).as_deref(), Some(text));
        }
        assert_eq!(time(Timestamp::MIN), None);
    }
}
