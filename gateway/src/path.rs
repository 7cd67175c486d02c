//! What is left of a request's path after the provider's: which operation, on which client and secret.
//!
//! Works on the raw path. A segment is decoded exactly once, and only to be parsed as an id.

use dcr_contract::model::{ClientId, Field, Malformed, SecretId};
use dcr_contract::{Fault, Violations};
use http::Method;
use percent_encoding::percent_decode_str;

use crate::reply::Refusal;

/// The operations of Konnect's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateClient,
    DeleteClient,
    RotateSecret,
    EventHook,
    ListSecrets,
    AddSecret,
    RemoveSecret,
}

impl Operation {
    /// For logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateClient => "create_client",
            Self::DeleteClient => "delete_client",
            Self::RotateSecret => "rotate_secret",
            Self::EventHook => "event_hook",
            Self::ListSecrets => "list_secrets",
            Self::AddSecret => "add_secret",
            Self::RemoveSecret => "remove_secret",
        }
    }

    /// Whether anything changes by it.
    pub(crate) const fn is_mutating(self) -> bool {
        !matches!(self, Self::ListSecrets)
    }

    /// Whether its answer holds a secret.
    pub(crate) const fn gives_secret(self) -> bool {
        matches!(
            self,
            Self::CreateClient | Self::RotateSecret | Self::AddSecret
        )
    }

    /// The path in Konnect's specification.
    pub(crate) const fn route(self) -> &'static str {
        match self {
            Self::CreateClient => "/",
            Self::DeleteClient => "/{clientId}",
            Self::RotateSecret => "/{clientId}/new-secret",
            Self::EventHook => "/{clientId}/event-hook",
            Self::ListSecrets | Self::AddSecret => "/{clientId}/secrets",
            Self::RemoveSecret => "/{clientId}/secrets/{secretId}",
        }
    }
}

/// What a call asks for. The ids are as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'p> {
    pub(crate) operation: Operation,
    client_id: &'p str,
    secret_id: &'p str,
}

impl<'p> Target<'p> {
    /// Reads what follows the provider's path; doubled slashes directly after it are one.
    ///
    /// # Errors
    /// When there is no such path (404), or it has no such method (405).
    pub(crate) fn of(method: &Method, rest: &'p str) -> Result<Self, Refusal> {
        use Operation::{
            AddSecret, CreateClient, DeleteClient, EventHook, ListSecrets, RemoveSecret,
            RotateSecret,
        };
        let mut segments = rest.trim_start_matches('/').splitn(4, '/');
        let client_id = segments.next().unwrap_or_default();
        let (noun, secret_id, more) = (segments.next(), segments.next(), segments.next());
        let operation = match (client_id, noun, secret_id, more) {
            ("", None, None, None) => allow(method, &[(Method::POST, CreateClient)], "POST"),
            (_, None, None, None) => allow(method, &[(Method::DELETE, DeleteClient)], "DELETE"),
            (_, Some("new-secret"), None, None) => {
                allow(method, &[(Method::POST, RotateSecret)], "POST")
            }
            (_, Some("event-hook"), None, None) => {
                allow(method, &[(Method::POST, EventHook)], "POST")
            }
            (_, Some("secrets"), None, None) => {
                let methods = [(Method::GET, ListSecrets), (Method::POST, AddSecret)];
                allow(method, &methods, "GET, POST")
            }
            (_, Some("secrets"), Some(id), None) if !id.is_empty() => {
                allow(method, &[(Method::DELETE, RemoveSecret)], "DELETE")
            }
            _ => Err(Refusal::NoSuchPath),
        }?;
        Ok(Self {
            operation,
            client_id,
            secret_id: secret_id.unwrap_or_default(),
        })
    }

    /// The client that the path names.
    ///
    /// # Errors
    /// `Invalid` when it cannot be a client's id.
    pub(crate) fn client_id(&self) -> Result<ClientId, Fault> {
        let mut violations = Violations::default();
        let id = violations.check(Field::ClientId, decoded(self.client_id, ClientId::parse));
        id.ok_or_else(|| violations.into_fault())
    }

    /// The client and the secret that the path names.
    ///
    /// # Errors
    /// `Invalid` when they cannot be ids.
    pub(crate) fn client_and_secret_id(&self) -> Result<(ClientId, SecretId), Fault> {
        let mut violations = Violations::default();
        let client = violations.check(Field::ClientId, decoded(self.client_id, ClientId::parse));
        let secret = violations.check(Field::SecretId, decoded(self.secret_id, SecretId::parse));
        client.zip(secret).ok_or_else(|| violations.into_fault())
    }
}

fn allow(
    method: &Method,
    methods: &[(Method, Operation)],
    names: &'static str,
) -> Result<Operation, Refusal> {
    let found = methods.iter().find(|(m, _)| m == method);
    found
        .map(|(_, operation)| *operation)
        .ok_or(Refusal::NoSuchMethod { allowed: names })
}

/// Decodes a segment once. What a broken escape leaves behind (`%`) is in no id.
fn decoded<T>(segment: &str, parse: fn(&str) -> Result<T, Malformed>) -> Result<T, Malformed> {
    let text = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Malformed::new("must be UTF-8"))?;
    parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, rest: &str) -> Result<Operation, String> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match Target::of(&method, rest) {
            Ok(target) => Ok(target.operation),
            Err(Refusal::NoSuchPath) => Err("404".to_owned()),
            Err(Refusal::NoSuchMethod { allowed }) => Err(allowed.to_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_seven_operations() {
        for (method, rest, expected) in [
            ("POST", "", Operation::CreateClient),
            ("POST", "/", Operation::CreateClient),
            ("POST", "///", Operation::CreateClient),
            ("DELETE", "/c", Operation::DeleteClient),
            ("DELETE", "//c", Operation::DeleteClient),
            ("POST", "/c/new-secret", Operation::RotateSecret),
            ("POST", "//c/event-hook", Operation::EventHook),
            ("GET", "/c/secrets", Operation::ListSecrets),
            ("POST", "/c/secrets", Operation::AddSecret),
            ("DELETE", "/c/secrets/s", Operation::RemoveSecret),
        ] {
            assert_eq!(operation(method, rest), Ok(expected), "{method} {rest}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_told_apart() {
        for rest in [
            "/c/",
            "/c//secrets",
            "/c/secrets/",
            "/c/secrets/s/",
            "/c/secrets/s/x",
            "/c/secret",
            "/c/new-secret/",
            "/c/new%2Dsecret",
            "/c/../secrets",
            "/a/b",
        ] {
            assert_eq!(operation("DELETE", rest), Err("404".to_owned()), "{rest}");
        }
        for (method, rest, allowed) in [
            ("GET", "/", "POST"),
            ("HEAD", "", "POST"),
            ("DELETE", "//", "POST"),
            ("POST", "/c", "DELETE"),
            ("post", "/", "POST"),
            ("GET", "/c/new-secret", "POST"),
            ("PUT", "/c/event-hook", "POST"),
            ("DELETE", "/c/secrets", "GET, POST"),
            ("GET", "/c/secrets/s", "DELETE"),
            // An empty id must not turn the next segment into a client.
            ("POST", "//new-secret", "DELETE"),
            ("GET", "//secrets", "DELETE"),
        ] {
            assert_eq!(
                operation(method, rest),
                Err(allowed.to_owned()),
                "{method} {rest}"
            );
        }
    }

    #[test]
    fn ids_are_decoded_exactly_once() {
        let target = Target::of(&Method::DELETE, "/a%40b/secrets/%7E").unwrap();
        let (client, secret) = target.client_and_secret_id().unwrap();
        assert_eq!((client.as_str(), secret.as_str()), ("a@b", "~"));
        let target = Target::of(&Method::DELETE, "/a%2540b").unwrap();
        assert!(target.client_id().is_err());
    }

    #[test]
    fn hostile_ids_are_refused() {
        let long = "a".repeat(256);
        for id in [
            ".",
            "..",
            "%2e",
            "%2E%2e",
            "%2F",
            "a%2Fb",
            "..%2f..%2fadmin",
            "a%5Cb",
            "%00",
            "a%00",
            "a%0d%0ax",
            "a%0A",
            "%20",
            "a%20b",
            "%",
            "a%",
            "a%2",
            "%zz",
            "%u002e",
            "%ff",
            "%c0%ae",
            "%c3%a9",
            "é",
            "a?b",
            "a%3Fb",
            "a%23b",
            "a\\b",
            "%3Cb%3E",
            "a\"b",
            "{id}",
            "%252e",
            &long,
        ] {
            let rest = format!("/{id}");
            let target = Target::of(&Method::DELETE, &rest).unwrap();
            assert!(target.client_id().is_err(), "{id:?} was accepted");
            let rest = format!("/c/secrets/{id}");
            let target = Target::of(&Method::DELETE, &rest).unwrap();
            assert!(
                target.client_and_secret_id().is_err(),
                "{id:?} was accepted"
            );
        }
    }

    #[test]
    fn whatever_can_be_an_id_is_found_again_plain_or_escaped() {
        for id in ["0oa1", "-._~!$&'()*+,;=:@", "...", "c-1", &*"z".repeat(255)] {
            let escaped =
                percent_encoding::percent_encode(id.as_bytes(), percent_encoding::NON_ALPHANUMERIC)
                    .to_string();
            for written in [id, &*escaped] {
                let rest = format!("/{written}");
                let target = Target::of(&Method::DELETE, &rest).unwrap();
                assert_eq!(target.client_id().unwrap().as_str(), id);
            }
        }
    }
}
