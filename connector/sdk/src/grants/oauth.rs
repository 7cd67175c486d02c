//! The usual grants: scopes that a client may ask for, and audiences.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{GrantMap, Subject, scope_names};
use crate::config::{Located, Problems};
use crate::model::Audience;

/// What a client can be granted where an IdP keeps scopes and audiences with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OAuthGrant {
    /// A scope that it may ask for.
    Scope(String),
    /// An audience of its tokens.
    Audience(String),
}

/// One rule of a configuration, `{audience | entity, scopes, audiences}`: what the registrations of an audience, or of one
/// entity, grant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuthRule {
    audience: Option<Located<String>>,
    entity: Option<Located<String>>,
    #[serde(default)]
    scopes: Vec<Located<String>>,
    #[serde(default)]
    audiences: Vec<Located<String>>,
}

impl GrantMap<OAuthGrant> {
    /// Reads the rules at `path` (as `idp.grants`); what is wrong is noted.
    #[must_use]
    pub fn of_rules(rules: &[OAuthRule], path: &str, problems: &mut Problems) -> Self {
        let mut map = Self::default();
        for (number, rule) in rules.iter().enumerate() {
            let path = format!("{path}[{number}]");
            let (audience, entity) = (rule.audience.as_ref(), rule.entity.as_ref());
            let subject = Subject::parse(audience, entity, &path, problems);
            let scopes = scope_names(&rule.scopes, &format!("{path}.scopes"), problems);
            let mut granted: Vec<_> = scopes.into_iter().map(OAuthGrant::Scope).collect();
            for audience in &rule.audiences {
                match Audience::parse(&audience.value) {
                    Ok(audience) => granted.push(OAuthGrant::Audience(audience.to_string())),
                    Err(rule) => {
                        problems.at(audience, format!("{path}.audiences"), rule.to_string());
                    }
                }
            }
            if rule.scopes.is_empty() && rule.audiences.is_empty() {
                let sentence = "grants nothing: name `scopes` or `audiences`, or remove it";
                problems.anywhere(path, sentence);
            }
            if let Some(subject) = subject {
                map.map(subject, granted);
            }
        }
        map
    }
}

/// The scopes and audiences of a client, each list in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// The scopes.
    pub scopes: Vec<String>,
    /// The audiences.
    pub audiences: Vec<String>,
}

impl Granted {
    /// With these added, where they are not there.
    #[must_use]
    pub fn and(mut self, needed: &BTreeSet<OAuthGrant>) -> Self {
        for grant in needed {
            let (list, value) = match grant {
                OAuthGrant::Scope(scope) => (&mut self.scopes, scope),
                OAuthGrant::Audience(audience) => (&mut self.audiences, audience),
            };
            if !list.contains(value) {
                list.push(value.clone());
            }
        }
        self
    }

    /// Without these, but for what the client had before.
    #[must_use]
    pub fn without(mut self, freed: &BTreeSet<OAuthGrant>, before: &Before) -> Self {
        self.scopes.retain(|scope| {
            before.scopes.contains(scope) || !freed.contains(&OAuthGrant::Scope(scope.clone()))
        });
        self.audiences.retain(|audience| {
            before.audiences.contains(audience)
                || !freed.contains(&OAuthGrant::Audience(audience.clone()))
        });
        self
    }
}

/// What a client had before its first registration, which is never taken away: kept with the client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    scopes: BTreeSet<String>,
    audiences: BTreeSet<String>,
}

impl Before {
    /// The text attribute that keeps it.
    pub const ATTRIBUTE: &'static str = "dcr_before_registrations";

    /// What the attribute says, or what the client has now, when there is none or nonsense.
    #[must_use]
    pub fn of(attribute: Option<&str>, now: &Granted) -> Self {
        let kept = attribute.and_then(|text| serde_json::from_str(text).ok());
        kept.unwrap_or_else(|| Self {
            scopes: now.scopes.iter().cloned().collect(),
            audiences: now.audiences.iter().cloned().collect(),
        })
    }

    /// The value of the attribute.
    #[must_use]
    pub fn to_attribute(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(scopes: &[&str], audiences: &[&str]) -> Granted {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Granted {
            scopes: texts(scopes),
            audiences: texts(audiences),
        }
    }

    #[test]
    fn what_a_client_had_before_is_never_taken_away() {
        let first = lists(&["own"], &[]);
        let grants = BTreeSet::from([
            OAuthGrant::Scope("own".to_owned()),
            OAuthGrant::Scope("new".to_owned()),
            OAuthGrant::Audience("a".to_owned()),
        ]);
        let before = Before::of(None, &first);
        let granted = first.clone().and(&grants);
        assert_eq!(granted, lists(&["own", "new"], &["a"]));
        assert_eq!(granted.clone().and(&grants), granted);

        let kept = before.to_attribute();
        let read = Before::of(Some(&kept), &granted);
        assert_eq!(read, before);
        assert_eq!(granted.without(&grants, &read), first);
        assert_eq!(Before::of(Some("nonsense"), &first), before);
    }
}
