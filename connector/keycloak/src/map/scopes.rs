//! Which scopes a client is assigned, and how that changes with its registrations.

use std::collections::BTreeSet;

use dcr_connector::fault::Violation;
use dcr_connector::model::{Field, Malformed, NewClient, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{self, Assigned, Named};
use crate::config::Grant;

/// The attribute that keeps which scopes a client had before its first registration: they are never taken away.
const BEFORE: &str = "dcr_before_registrations";
/// The scope that every OpenID Connect server knows; Keycloak has no client scope of this name.
const OPENID: &str = "openid";

/// The requested scopes that need a client scope, each once.
pub(crate) fn requested(client: &NewClient) -> BTreeSet<&str> {
    let scopes = client.scopes.iter().map(Scope::as_str);
    scopes.filter(|scope| *scope != OPENID).collect()
}

/// The requested scopes that the realm does not have, as violations.
pub(crate) fn missing(client: &NewClient, realm: &[Named]) -> Vec<Violation> {
    let is_missing = |scope: &str| scope != OPENID && realm.iter().all(|known| known.name != scope);
    let scopes = client.scopes.iter().enumerate();
    let missing = scopes.filter(|(_, scope)| is_missing(scope.as_str()));
    missing
        .map(|(index, scope)| {
            let rule = format!("is {scope}, which the realm has no client scope for");
            Violation::of_element(Field::Scopes, index, &Malformed::new(rule))
        })
        .collect()
}

/// Both lists of scopes of a new client: what the realm gives everybody, and what was asked for as optional.
pub(crate) fn assigned(
    requested: &BTreeSet<&str>,
    defaults: Vec<Named>,
    optionals: Vec<Named>,
) -> (Vec<String>, Vec<String>) {
    let names = |scopes: Vec<Named>| scopes.into_iter().map(|s| s.name).collect::<Vec<_>>();
    let (defaults, mut optionals) = (names(defaults), names(optionals));
    for scope in requested {
        let has = |list: &[String]| list.iter().any(|known| known == scope);
        if !has(&defaults) && !has(&optionals) {
            optionals.push((*scope).to_owned());
        }
    }
    (defaults, optionals)
}

/// Which scopes a client had before its first registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    default: BTreeSet<String>,
    optional: BTreeSet<String>,
}

impl Before {
    pub(crate) fn of(client: &api::Client) -> Self {
        let kept = client.attributes.get(BEFORE);
        kept.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| Self {
                default: client.default_client_scopes.iter().cloned().collect(),
                optional: client.optional_client_scopes.iter().cloned().collect(),
            })
    }

    /// Name and value of the attribute that keeps it.
    pub(crate) fn attribute(&self) -> (String, String) {
        (BEFORE.to_owned(), json!(self).to_string())
    }

    /// How a scope has to be assigned when the client needs these grants.
    fn wanted(&self, scope: &str, needed: &BTreeSet<Grant>) -> Option<Assigned> {
        let needs = |grant: fn(String) -> Grant| needed.contains(&grant(scope.to_owned()));
        if self.default.contains(scope) || needs(Grant::DefaultScope) {
            Some(Assigned::Default)
        } else if self.optional.contains(scope) || needs(Grant::OptionalScope) {
            Some(Assigned::Optional)
        } else {
            None
        }
    }
}

/// One change of a scope's assignment: from, to.
pub(crate) type Move<'a> = (&'a str, Option<Assigned>, Option<Assigned>);

/// What has to change so that these scopes are assigned as the client needs them.
pub(crate) fn moves<'a>(
    client: &api::Client,
    before: &Before,
    touched: &'a BTreeSet<Grant>,
    needed: &BTreeSet<Grant>,
) -> Vec<Move<'a>> {
    let scopes: BTreeSet<&str> = touched
        .iter()
        .filter_map(|grant| match grant {
            Grant::DefaultScope(scope) | Grant::OptionalScope(scope) => Some(&**scope),
            Grant::Role(_) => None,
        })
        .collect();
    let has = |list: &[String], scope: &str| list.iter().any(|known| known == scope);
    scopes
        .into_iter()
        .filter_map(|scope| {
            let is = if has(&client.default_client_scopes, scope) {
                Some(Assigned::Default)
            } else if has(&client.optional_client_scopes, scope) {
                Some(Assigned::Optional)
            } else {
                None
            };
            let wanted = before.wanted(scope, needed);
            (is != wanted).then_some((scope, is, wanted))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::{asked, client};

    fn named(names: &[&str]) -> Vec<Named> {
        let scope = |name: &&str| Named {
            id: format!("id of {name}"),
            name: (*name).to_owned(),
        };
        names.iter().map(scope).collect()
    }

    #[test]
    fn a_missing_scope_is_named_with_its_place_and_openid_is_never_missing() {
        let asked = asked(&[], &["openid", "read", "write"]);
        let missing = missing(&asked, &named(&["read"]));
        assert_eq!(missing.len(), 1);
        assert_eq!(
            (missing[0].field, missing[0].index),
            (Field::Scopes, Some(2))
        );
        assert!(missing[0].rule.as_str().contains("write"));
        assert_eq!(requested(&asked), ["read", "write"].into());
    }

    #[test]
    fn requested_scopes_are_optional_beside_what_the_realm_gives() {
        let requested = ["profile", "phone", "read"].into();
        let lists = assigned(&requested, named(&["profile"]), named(&["phone"]));
        let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(lists, (texts(&["profile"]), texts(&["phone", "read"])));
    }

    #[test]
    fn scopes_move_to_where_they_are_needed_and_back_to_where_they_were() {
        use Assigned::{Default as D, Optional as O};
        let one = |grant: fn(String) -> Grant, scope: &str| grant(scope.to_owned());
        let nothing = BTreeSet::new();
        let (d, o) = (
            Grant::DefaultScope as fn(String) -> Grant,
            Grant::OptionalScope as fn(_) -> _,
        );
        let before = Before {
            default: ["base".to_owned()].into(),
            optional: ["asked".to_owned()].into(),
        };
        let fresh = client(&json!({
            "defaultClientScopes": ["base"], "optionalClientScopes": ["asked"],
        }));
        // Registering: what is optional becomes default, what is default already stays.
        let needed = [one(d, "asked"), one(o, "new"), one(o, "base")].into();
        let expected = [("asked", Some(O), Some(D)), ("new", None, Some(O))];
        assert_eq!(moves(&fresh, &before, &needed, &needed), expected);
        // Deregistering: what was asked for by the application itself goes back, the rest goes.
        let granted = client(&json!({
            "defaultClientScopes": ["base", "asked"], "optionalClientScopes": ["new"],
        }));
        let expected = [("asked", Some(D), Some(O)), ("new", Some(O), None)];
        assert_eq!(moves(&granted, &before, &needed, &nothing), expected);
        // Another registration still needs one of them.
        let still = [one(o, "new")].into();
        assert_eq!(
            moves(&granted, &before, &needed, &still),
            [("asked", Some(D), Some(O))]
        );
    }
}
