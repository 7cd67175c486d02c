//! What every answer must be, whatever was asked: required members, characters, lengths.

use dcr_proto::v1;
use prost_types::Timestamp;

/// Tells what is wrong with an answer.
pub(crate) trait Shape {
    /// One sentence for each rule that it breaks.
    fn wrong(&self) -> Vec<String>;
}

#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, sentence: impl Into<String>) {
        if !right {
            self.0.push(sentence.into());
        }
    }

    fn time(&mut self, field: &str, time: Option<&Timestamp>) {
        // The years 1 to 9999, as protobuf has it.
        let right = time.is_none_or(|time| {
            (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
                && (0..1_000_000_000).contains(&time.nanos)
        });
        self.unless(right, format!("{field} is no time"));
    }

    fn secret(&mut self, secret: Option<&v1::Secret>) {
        let right = secret.is_some_and(|secret| {
            let length = secret.value.chars().count();
            (1..=255).contains(&length) && !secret.value.contains(char::is_control)
        });
        self.unless(
            right,
            "secret is missing, or not 1 to 255 printable characters",
        );
    }

    fn adjustments(&mut self, adjustments: &[v1::Adjustment]) {
        for adjustment in adjustments {
            self.unless(!adjustment.field.is_empty(), "an adjustment names no field");
            self.unless(is_sentence(&adjustment.sentence), "an adjustment's sentence is empty, longer than 200 characters, or holds control characters");
        }
    }
}

/// RFC 3986 pchar without `%`, 1 to 255 of them, and no dot segment.
pub(crate) fn is_path_segment(text: &str) -> bool {
    let pchar = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(pchar) && !matches!(text, "." | "..")
}

/// At most 200 printable characters, and at least one.
pub(crate) fn is_sentence(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 200 && !text.contains(char::is_control)
}

/// 1 to 64 of `a-z`, `0-9` and `-`.
pub(crate) fn is_label(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

const SECRET_ID: &str = "secret_id is not 1 to 255 of RFC 3986 pchar without %";
const CLIENT_ID: &str = "client_id is not 1 to 255 of RFC 3986 pchar without %";

impl Shape for v1::DescribeConnectorResponse {
    // The group `describe` judges it.
    fn wrong(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Shape for v1::CheckIdentityProviderResponse {
    // The group `describe` judges it.
    fn wrong(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Shape for v1::CreateClientResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(is_path_segment(&self.client_id), CLIENT_ID);
        wrong.secret(self.secret.as_ref());
        wrong.unless(
            self.secret_id.is_empty() || is_path_segment(&self.secret_id),
            SECRET_ID,
        );
        wrong.time("issued_at", self.issued_at.as_ref());
        wrong.time("secret_expires_at", self.secret_expires_at.as_ref());
        wrong.adjustments(&self.adjustments);
        wrong.0
    }
}

impl Shape for v1::DeleteClientResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(
            self.deletion() != v1::Deletion::Unspecified,
            "deletion is not specified",
        );
        wrong.0
    }
}

impl Shape for v1::RotateClientSecretResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.secret(self.secret.as_ref());
        wrong.unless(
            self.secret_id.is_empty() || is_path_segment(&self.secret_id),
            SECRET_ID,
        );
        wrong.time("expires_at", self.expires_at.as_ref());
        wrong.0
    }
}

impl Shape for v1::ListClientSecretsResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        for secret in &self.secrets {
            wrong.unless(is_path_segment(&secret.secret_id), SECRET_ID);
            wrong.unless(
                secret.status() != v1::SecretStatus::Unspecified,
                "status is not specified",
            );
            wrong.time("created_at", secret.created_at.as_ref());
            wrong.time("expires_at", secret.expires_at.as_ref());
        }
        wrong.0
    }
}

impl Shape for v1::AddClientSecretResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(is_path_segment(&self.secret_id), SECRET_ID);
        wrong.secret(self.secret.as_ref());
        wrong.time("created_at", self.created_at.as_ref());
        wrong.time("expires_at", self.expires_at.as_ref());
        wrong.0
    }
}

impl Shape for v1::RemoveClientSecretResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(
            self.removal() != v1::Removal::Unspecified,
            "removal is not specified",
        );
        wrong.0
    }
}

impl Shape for v1::UpdateClientResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.adjustments(&self.adjustments);
        wrong.0
    }
}

impl Shape for v1::AddRegistrationResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(
            self.change() != v1::RegistrationChange::Unspecified,
            "change is not specified",
        );
        wrong.0
    }
}

impl Shape for v1::RemoveRegistrationResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(
            self.change() != v1::RegistrationChange::Unspecified,
            "change is not specified",
        );
        wrong.0
    }
}

impl Shape for v1::AbortOperationResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(
            self.abort() != v1::Abort::Unspecified,
            "abort is not specified",
        );
        wrong.0
    }
}

impl Shape for v1::ListManagedClientsResponse {
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        for client in &self.clients {
            wrong.unless(is_path_segment(&client.client_id), CLIENT_ID);
            wrong.unless(
                is_label(&client.provider_id),
                "provider_id is not 1 to 64 of a-z, 0-9 and -",
            );
            wrong.time("created_at", client.created_at.as_ref());
        }
        wrong.unless(self.clients.len() <= 500, "clients are more than 500");
        wrong.unless(
            self.next_page_token.len() <= 1024,
            "next_page_token is longer than 1,024 characters",
        );
        wrong.0
    }
}
