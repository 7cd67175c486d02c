//! The model into client metadata (RFC 7591 section 2), and what a server made of it; pure but for the software
//! statement, which is read from its file.

use dcr_connector::SecretFile;
use dcr_connector::fault::{Fault, FaultKind, Outcome, Violation};
use dcr_connector::model::{
    Adjustment, AuthMethod, ClientName, ClientUpdate, Description, Field, GrantType, Malformed,
    NewClient, RedirectUri, Scope, Sentence,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::metadata::{self, Metadata};

/// What the operator says of registrations.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// The template that clients are made of, by its `software_id`.
    pub(crate) template: Option<String>,
    pub(crate) software_statement: Option<SecretFile>,
    /// Members that every registration has, whatever else it says.
    pub(crate) metadata: Metadata,
    /// Members that the server answers with and does not take.
    pub(crate) not_sent_back: Vec<String>,
    /// Those that a client may have, the preferred one first.
    pub(crate) auth_methods: Vec<AuthMethod>,
    /// What stands for none, at servers that want one.
    pub(crate) redirect_uri_if_none: Option<RedirectUri>,
    /// How many UTF-16 units a name may have.
    pub(crate) longest_name: Option<usize>,
    /// How many characters a redirect URI may have.
    pub(crate) longest_redirect_uri: Option<usize>,
}

impl Mapping {
    /// What to register a client with.
    ///
    /// # Errors
    /// `Refused` when the software statement cannot be read, `Invalid` for redirect URIs that the server has no room for.
    pub(crate) fn registration(&self, client: &NewClient) -> Result<Metadata, Fault> {
        self.has_room(&client.redirect_uris)?;
        let mut metadata = match &self.template {
            Some(template) => Metadata::from_iter([("software_id".to_owned(), json!(template))]),
            None => self.asked(client),
        };
        if let Some(file) = &self.software_statement {
            let statement = file.read().map_err(|problem| {
                let message = format!("the software statement: {problem}");
                Fault::new(FaultKind::Refused, message)
            })?;
            #[expect(clippy::disallowed_methods, reason = "the request carries it")]
            let statement = json!(statement.expose_secret());
            metadata.insert("software_statement".to_owned(), statement);
        }
        for (name, value) in &self.metadata {
            metadata.insert(name.clone(), value.clone());
        }
        metadata.retain(|_, value| !value.is_null());
        Ok(metadata)
    }

    fn asked(&self, client: &NewClient) -> Metadata {
        let has = |grant| client.grant_types.contains(&grant);
        let response_types: Vec<_> = [
            (has(GrantType::AuthorizationCode), "code"),
            (has(GrantType::Implicit), "token"),
        ]
        .into_iter()
        .filter_map(|(is_asked, response_type)| is_asked.then_some(response_type))
        .collect();
        let grant_types: Vec<_> = client.grant_types.iter().map(|g| g.as_str()).collect();
        let redirect_uris = self.redirect_uris(&client.redirect_uris);
        let scopes: Vec<_> = client.scopes.iter().map(Scope::as_str).collect();
        let mut metadata = Metadata::from_iter([
            ("client_name".to_owned(), json!(self.name(&client.name))),
            ("grant_types".to_owned(), json!(grant_types)),
            ("response_types".to_owned(), json!(response_types)),
            (
                "token_endpoint_auth_method".to_owned(),
                json!(self.auth_method(client).as_str()),
            ),
        ]);
        if !redirect_uris.is_empty() {
            metadata.insert("redirect_uris".to_owned(), json!(redirect_uris));
        }
        if !scopes.is_empty() {
            metadata.insert("scope".to_owned(), json!(scopes.join(" ")));
        }
        metadata
    }

    /// As much of a name as the server has room for. What is beyond U+FFFF counts twice, as in Java and in its databases.
    fn name<'a>(&self, name: &'a ClientName) -> &'a str {
        let name = name.as_str();
        let Some(room) = self.longest_name else {
            return name;
        };
        let mut taken = 0;
        let fits = |c: &char| {
            taken += c.len_utf16();
            taken <= room
        };
        let bytes = name.chars().take_while(fits).map(char::len_utf8).sum();
        name.get(..bytes).unwrap_or_default()
    }

    /// # Errors
    /// `Invalid` for redirect URIs that the server has no room for.
    pub(crate) fn has_room(&self, uris: &[RedirectUri]) -> Result<(), Fault> {
        let Some(room) = self.longest_redirect_uri else {
            return Ok(());
        };
        let long = uris
            .iter()
            .enumerate()
            .filter(|(_, uri)| uri.as_str().len() > room);
        let rule = Malformed::new("is longer than the identity provider has room for");
        let violations: Vec<_> = long
            .map(|(index, _)| Violation::of_element(Field::RedirectUris, index, &rule))
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(Fault::invalid(violations))
        }
    }

    fn redirect_uris<'a>(&'a self, asked: &'a [RedirectUri]) -> Vec<&'a str> {
        let stand_in = self.redirect_uri_if_none.iter();
        let stand_in = stand_in.filter(|_| asked.is_empty());
        asked
            .iter()
            .chain(stand_in)
            .map(RedirectUri::as_str)
            .collect()
    }

    /// Changes what an update changes.
    pub(crate) fn apply(&self, update: &ClientUpdate, metadata: &mut Metadata) {
        if let Some(name) = &update.name {
            metadata.insert("client_name".to_owned(), json!(self.name(name)));
        }
        if let Some(uris) = &update.redirect_uris {
            let uris = self.redirect_uris(uris);
            metadata.insert("redirect_uris".to_owned(), json!(uris));
        }
    }

    /// What was asked for, if a client may have it.
    fn auth_method(&self, client: &NewClient) -> AuthMethod {
        let asked = client.token_endpoint_auth_method;
        let allowed = asked.filter(|asked| self.auth_methods.contains(asked));
        let preferred = self.auth_methods.first();
        allowed
            .or(preferred.copied())
            .unwrap_or(AuthMethod::ClientSecretBasic)
    }

    /// The body of an update (RFC 7592 section 2.2).
    pub(crate) fn update(
        &self,
        client_id: &str,
        secret: Option<&SecretString>,
        mut metadata: Metadata,
    ) -> Metadata {
        for name in &self.not_sent_back {
            metadata.remove(name);
        }
        metadata.insert("client_id".to_owned(), json!(client_id));
        if let Some(secret) = secret {
            #[expect(clippy::disallowed_methods, reason = "the request carries it")]
            let secret = json!(secret.expose_secret());
            metadata.insert("client_secret".to_owned(), secret);
        }
        metadata
    }
}

/// What a server made of what was asked for.
///
/// # Errors
/// `Invalid` for what it left out and the application cannot do without; the outcome is UNKNOWN, since the client is there.
pub(crate) fn compare(asked: &NewClient, made: &Metadata) -> Result<Vec<Adjustment>, Fault> {
    let mut adjustments = Vec::new();
    let mut violations = Vec::new();
    let text = |name: &str| made.get(name).and_then(Value::as_str);
    let mut adjusted = |field, sentence: &str| {
        adjustments.push(Adjustment {
            field,
            sentence: Sentence::new(sentence),
        });
    };

    let grants = metadata::list(made, "grant_types");
    for (index, grant) in asked.grant_types.iter().enumerate() {
        let is_left_out = grants
            .as_ref()
            .is_some_and(|made| !made.contains(&grant.as_str()));
        match grant {
            _ if !is_left_out => {}
            GrantType::RefreshToken => {
                adjusted(
                    Field::GrantTypes,
                    "The server gives this client no refresh tokens.",
                );
            }
            _ => violations.push(left_out(Field::GrantTypes, index)),
        }
    }

    let redirects = asked
        .grant_types
        .iter()
        .any(|grant| matches!(grant, GrantType::AuthorizationCode | GrantType::Implicit));
    match redirect_uris(&asked.redirect_uris, redirects, made) {
        Ok(adjusted) => adjustments.extend(adjusted),
        Err(left_out) => violations.extend(left_out),
    }
    let mut adjusted = |field, sentence: &str| {
        adjustments.push(Adjustment {
            field,
            sentence: Sentence::new(sentence),
        });
    };

    let scopes = metadata::scopes(made);
    for (index, scope) in asked.scopes.iter().enumerate() {
        if text("scope").is_none() {
            let sentence = "The server does not say which scopes the client may ask for.";
            adjusted(Field::Scopes, sentence);
            break;
        }
        if !scopes.contains(&scope.as_str()) {
            violations.push(left_out(Field::Scopes, index));
        }
    }

    let hint = asked.token_endpoint_auth_method.map(AuthMethod::as_str);
    match text("token_endpoint_auth_method") {
        Some("none") => {
            let rule =
                Malformed::new("was made \"none\" by the server, which is no confidential client");
            violations.push(Violation::new(Field::TokenEndpointAuthMethod, &rule));
        }
        Some(method) if hint.is_some_and(|hint| hint != method) => {
            let sentence = format!("The client has to authenticate by {method}.");
            adjusted(Field::TokenEndpointAuthMethod, &sentence);
        }
        Some(_) | None => {}
    }
    if text("client_name").is_some_and(|name| name != asked.name.as_str()) {
        adjustments.push(another_name());
    }
    let description = asked.description.as_ref().map(Description::as_str);
    adjustments.extend(no_description(description));
    if violations.is_empty() {
        Ok(adjustments)
    } else {
        Err(Fault::invalid(violations).outcome(Outcome::Unknown))
    }
}

/// What a server made of an update.
///
/// # Errors
/// `Invalid` for redirect URIs that it left out and the application cannot do without; the outcome is UNKNOWN, since the rest
/// may be done.
pub(crate) fn compare_update(
    update: &ClientUpdate,
    made: &Metadata,
) -> Result<Vec<Adjustment>, Fault> {
    let grants = metadata::list(made, "grant_types").unwrap_or_default();
    let redirects = grants
        .iter()
        .any(|grant| ["authorization_code", "implicit"].contains(grant));
    let asked = update.redirect_uris.as_deref().unwrap_or_default();
    let adjusted = redirect_uris(asked, redirects, made)
        .map_err(|left_out| Fault::invalid(left_out).outcome(Outcome::Unknown))?;
    let name = made.get("client_name").and_then(Value::as_str);
    let is_another = name
        .zip(update.name.as_ref())
        .is_some_and(|(made, asked)| made != asked.as_str());
    let description = update.description.as_ref().map(Description::as_str);
    Ok(adjusted
        .into_iter()
        .chain(is_another.then(another_name))
        .chain(no_description(description))
        .collect())
}

/// What a server made of redirect URIs. Konnect names them for machines too, which have no use for them.
///
/// # Errors
/// Those that it left out, where the client `redirects`.
fn redirect_uris(
    asked: &[RedirectUri],
    redirects: bool,
    made: &Metadata,
) -> Result<Option<Adjustment>, Vec<Violation>> {
    let uris = metadata::list(made, "redirect_uris");
    let is_left_out = |uri: &RedirectUri| {
        let uris = uris.as_ref();
        uris.is_none_or(|made| !made.contains(&uri.as_str()))
    };
    let left_out: Vec<_> = asked
        .iter()
        .enumerate()
        .filter(|(_, uri)| is_left_out(uri))
        .map(|(index, _)| left_out(Field::RedirectUris, index))
        .collect();
    if redirects && uris.is_some() && !left_out.is_empty() {
        return Err(left_out);
    }
    let sentence = Sentence::new("The server does not say that it keeps the redirect URIs.");
    Ok((!left_out.is_empty()).then_some(Adjustment {
        field: Field::RedirectUris,
        sentence,
    }))
}

fn left_out(field: Field, index: usize) -> Violation {
    let rule = Malformed::new("is something that the identity provider did not give the client");
    Violation::of_element(field, index, &rule)
}

fn another_name() -> Adjustment {
    Adjustment {
        field: Field::Name,
        sentence: Sentence::new("The identity provider has another name, or less of it."),
    }
}

fn no_description(description: Option<&str>) -> Option<Adjustment> {
    let sentence = Sentence::new("A client of this identity provider has no description.");
    description
        .filter(|text| !text.is_empty())
        .map(|_| Adjustment {
            field: Field::Description,
            sentence,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcr_connector::model::{ClientName, Origin};

    fn asked(grant_types: &[GrantType]) -> NewClient {
        NewClient {
            name: ClientName::parse("ferry").unwrap(),
            description: None,
            redirect_uris: vec![RedirectUri::parse("https://ferry.example/cb").unwrap()],
            grant_types: grant_types.to_vec(),
            scopes: vec![Scope::parse("a").unwrap(), Scope::parse("b").unwrap()],
            token_endpoint_auth_method: Some(AuthMethod::ClientSecretPost),
            origin: Origin::default(),
            probe: false,
        }
    }

    fn mapping(auth_methods: &[AuthMethod]) -> Mapping {
        Mapping {
            template: None,
            software_statement: None,
            metadata: Metadata::new(),
            not_sent_back: vec!["of_its_own".to_owned()],
            auth_methods: auth_methods.to_vec(),
            redirect_uri_if_none: None,
            longest_name: None,
            longest_redirect_uri: None,
        }
    }

    fn made(more: &Value) -> Metadata {
        let mut made = json!({
            "client_name": "ferry", "grant_types": ["client_credentials"], "scope": "b a openid",
            "redirect_uris": ["https://ferry.example/cb"], "token_endpoint_auth_method": "client_secret_post",
        });
        let members = made.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        members.clone()
    }

    #[test]
    fn what_the_server_has_no_room_for_is_cut_or_refused_by_name() {
        let mut mapping = mapping(&[AuthMethod::ClientSecretBasic]);
        let mut client = asked(&[GrantType::ClientCredentials]);
        client.name = ClientName::parse("Fähre 🚢🚢").unwrap();
        let uri = |text: &str| RedirectUri::parse(text).unwrap();
        client.redirect_uris = vec![uri("https://a.example/12"), uri("https://a.example/123")];
        for (longest_name, kept) in [(10, "Fähre 🚢🚢"), (9, "Fähre 🚢"), (7, "Fähre ")] {
            mapping.longest_name = Some(longest_name);
            let metadata = mapping.registration(&client).unwrap();
            assert_eq!(metadata["client_name"], kept);
        }
        mapping.longest_redirect_uri = Some(20);
        let fault = mapping.registration(&client).unwrap_err();
        let FaultKind::Invalid(violations) = fault.kind() else {
            panic!("{fault:?}")
        };
        let named: Vec<_> = violations.iter().map(|v| (v.field, v.index)).collect();
        assert_eq!(named, [(Field::RedirectUris, Some(1))]);
        mapping.longest_redirect_uri = Some(21);
        assert!(mapping.registration(&client).is_ok());
    }

    #[test]
    fn response_types_fit_the_grant_types() {
        use GrantType::{AuthorizationCode, ClientCredentials, Implicit, RefreshToken};
        let mapping = mapping(&[AuthMethod::ClientSecretBasic]);
        for (grants, response_types) in [
            (&[ClientCredentials][..], json!([])),
            (&[AuthorizationCode, RefreshToken], json!(["code"])),
            (&[Implicit, AuthorizationCode], json!(["code", "token"])),
        ] {
            let metadata = mapping.registration(&asked(grants)).unwrap();
            assert_eq!(metadata["response_types"], response_types, "{grants:?}");
        }
    }

    #[test]
    fn a_client_gets_a_method_that_it_may_have() {
        use AuthMethod::{ClientSecretBasic, ClientSecretPost};
        for (allowed, sent) in [
            (
                &[ClientSecretBasic, ClientSecretPost][..],
                "client_secret_post",
            ),
            (&[ClientSecretBasic], "client_secret_basic"),
        ] {
            let asked = asked(&[GrantType::ClientCredentials]);
            let metadata = mapping(allowed).registration(&asked).unwrap();
            assert_eq!(metadata["token_endpoint_auth_method"], sent);
        }
    }

    #[test]
    fn what_was_left_out_is_a_violation_and_what_was_changed_is_told() {
        use Field::{GrantTypes, Name, RedirectUris, Scopes, TokenEndpointAuthMethod};
        let asked = asked(&[GrantType::ClientCredentials, GrantType::RefreshToken]);
        let told = |more: Value| {
            compare(&asked, &made(&more)).map(|all| all.iter().map(|a| a.field).collect::<Vec<_>>())
        };
        let violated = |more: Value| {
            let fault = told(more).unwrap_err();
            assert_eq!(fault.done(), Outcome::Unknown);
            match fault.kind() {
                FaultKind::Invalid(all) => {
                    all.iter().map(|v| (v.field, v.index)).collect::<Vec<_>>()
                }
                _ => Vec::new(),
            }
        };
        assert_eq!(told(json!({})).unwrap(), [GrantTypes]);
        let silent = json!({"grant_types": null, "scope": null, "redirect_uris": null});
        assert_eq!(told(silent).unwrap(), [RedirectUris, Scopes]);
        let changed =
            json!({"client_name": "f", "token_endpoint_auth_method": "client_secret_basic"});
        let expected = [GrantTypes, TokenEndpointAuthMethod, Name];
        assert_eq!(told(changed).unwrap(), expected);
        assert_eq!(
            violated(json!({"grant_types": ["password"]})),
            [(GrantTypes, Some(0))]
        );
        assert_eq!(violated(json!({"scope": "a c"})), [(Scopes, Some(1))]);
        assert_eq!(violated(json!({"scope": ""})).len(), 2);
        let public = json!({"token_endpoint_auth_method": "none"});
        assert_eq!(violated(public), [(TokenEndpointAuthMethod, None)]);
        // A machine has no use for redirect URIs, people do.
        let elsewhere = json!({"redirect_uris": []});
        assert!(told(elsewhere.clone()).is_ok());
        let mut people = made(&elsewhere);
        people.insert("grant_types".to_owned(), json!(["authorization_code"]));
        let people = compare(
            &super::tests::asked(&[GrantType::AuthorizationCode]),
            &people,
        );
        assert!(people.is_err());
    }

    #[test]
    fn an_update_has_the_id_and_the_secret_that_is_to_stay_and_nothing_that_the_server_refuses() {
        let metadata = made(&json!({"of_its_own": 1, "unheard_of": 2}));
        let secret = SecretString::from("s");
        let body = mapping(&[]).update("c", Some(&secret), metadata.clone());
        assert_eq!(body["client_id"], "c");
        assert_eq!(body["client_secret"], "s");
        assert_eq!(body["unheard_of"], 2);
        assert!(!body.contains_key("of_its_own"));
        let body = mapping(&[]).update("c", None, metadata);
        assert!(!body.contains_key("client_secret"));
    }
}
