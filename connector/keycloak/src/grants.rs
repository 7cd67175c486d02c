//! Registrations at Keycloak: assignments of client scopes, and roles of service accounts.

use std::collections::{BTreeMap, BTreeSet};

use dcr_connector::fault::Fault;
use dcr_connector::model::Deadline;

use crate::api::{Api, Assigned, Client, Holder, Named};
use crate::config::{Grant, Role};
use crate::map::scopes::{self, Before};

/// A change of what a client is granted, with everything that it names known to be there.
pub(crate) struct Change {
    moves: Vec<(String, Option<Assigned>, Option<Assigned>)>,
    /// By Keycloak's own name of the client whose roles they are.
    roles: BTreeMap<String, Vec<Named>>,
    /// The user whose roles they become, where there are any.
    service_account: String,
}

/// What to make of a scope, role or service account that the realm does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It cannot be granted.
    Refused,
    /// It need not be taken away.
    Skipped,
}

impl Change {
    /// What has to be done about `touched` so that the client has what it needs. Changes nothing.
    ///
    /// # Errors
    /// `Unsupported` when the realm lacks a scope or role that is to be granted.
    pub(crate) async fn plan(
        api: &Api,
        deadline: Deadline,
        client: &Client,
        touched: &BTreeSet<Grant>,
        needed: &BTreeSet<Grant>,
        absent: Absent,
    ) -> Result<Self, Fault> {
        let moves = scopes::moves(client, &Before::of(client), touched, needed);
        let scopes = if moves.is_empty() {
            Vec::new()
        } else {
            api.scopes(deadline).await?
        };
        let mut known = Vec::with_capacity(moves.len());
        for (name, from, to) in moves {
            match scopes.iter().find(|scope| scope.name == name) {
                Some(scope) => known.push((scope.id.clone(), from, to)),
                None if absent == Absent::Skipped => {}
                None => return Err(lacking(&format!("client scope {name}"))),
            }
        }
        let mut change = Self {
            moves: known,
            roles: BTreeMap::new(),
            service_account: String::new(),
        };
        if touched.iter().any(|grant| matches!(grant, Grant::Role(_))) {
            if client.service_accounts_enabled {
                change.service_account = api.service_account(deadline, &client.id).await?;
                change.roles = roles(api, deadline, touched, absent).await?;
            } else if absent == Absent::Refused {
                let sentence = "The API is mapped to client roles, which only an application with \
                                client_credentials can have.";
                return Err(Fault::unsupported(sentence));
            }
        }
        Ok(change)
    }

    /// Whether scopes have to be moved. Roles are not asked about: they are given again, which changes nothing.
    pub(crate) fn moves_scopes(&self) -> bool {
        !self.moves.is_empty()
    }

    /// Grants.
    pub(crate) async fn grant(
        self,
        api: &Api,
        deadline: Deadline,
        client: &Client,
    ) -> Result<(), Fault> {
        self.move_scopes(api, deadline, client).await?;
        for (of, roles) in &self.roles {
            let user = Holder::User(&self.service_account);
            api.give_roles(deadline, user, of, roles).await?;
            if !client.full_scope_allowed {
                api.give_roles(deadline, Holder::ScopeOf(&client.id), of, roles)
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes away.
    pub(crate) async fn withdraw(
        self,
        api: &Api,
        deadline: Deadline,
        client: &Client,
    ) -> Result<(), Fault> {
        self.move_scopes(api, deadline, client).await?;
        for (of, roles) in &self.roles {
            if !client.full_scope_allowed {
                api.take_roles(deadline, Holder::ScopeOf(&client.id), of, roles)
                    .await?;
            }
            let user = Holder::User(&self.service_account);
            api.take_roles(deadline, user, of, roles).await?;
        }
        Ok(())
    }

    async fn move_scopes(
        &self,
        api: &Api,
        deadline: Deadline,
        client: &Client,
    ) -> Result<(), Fault> {
        for (scope, from, to) in &self.moves {
            // Keycloak ignores the assignment of a scope that is assigned the other way.
            if let Some(from) = from {
                api.withdraw_scope(deadline, &client.id, scope, *from)
                    .await?;
            }
            if let Some(to) = to {
                api.assign_scope(deadline, &client.id, scope, *to).await?;
            }
        }
        Ok(())
    }
}

/// The roles among these grants, by the client they are of.
async fn roles(
    api: &Api,
    deadline: Deadline,
    grants: &BTreeSet<Grant>,
    absent: Absent,
) -> Result<BTreeMap<String, Vec<Named>>, Fault> {
    let mut found: BTreeMap<String, Vec<Named>> = BTreeMap::new();
    let mut clients: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for grant in grants {
        let Grant::Role(Role { client_id, name }) = grant else {
            continue;
        };
        if !clients.contains_key(&**client_id) {
            let client = api.find(deadline, client_id).await?;
            clients.insert(client_id, client.map(|client| client.id));
        }
        let of = clients.get(&**client_id).and_then(Option::as_ref);
        let role = match of {
            Some(id) => api.role(deadline, id, name).await?,
            None => None,
        };
        match of.zip(role) {
            Some((id, role)) => found.entry(id.clone()).or_default().push(role),
            None if absent == Absent::Skipped => {}
            None => return Err(lacking(&format!("role {name} of a client {client_id}"))),
        }
    }
    Ok(found)
}

/// What the configuration grants and the realm does not have, one sentence each.
pub(crate) async fn absences(
    api: &Api,
    deadline: Deadline,
    grants: &BTreeSet<Grant>,
) -> Result<Vec<String>, Fault> {
    let scopes = api.scopes(deadline).await?;
    let mut absences = Vec::new();
    for grant in grants {
        match grant {
            Grant::DefaultScope(name) | Grant::OptionalScope(name) => {
                if scopes.iter().all(|scope| scope.name != *name) {
                    absences.push(format!("client scope {name}"));
                }
            }
            Grant::Role(Role { client_id, name }) => match api.find(deadline, client_id).await? {
                None => absences.push(format!("client {client_id}")),
                Some(client) => {
                    if api.role(deadline, &client.id, name).await?.is_none() {
                        absences.push(format!("role {name} of client {client_id}"));
                    }
                }
            },
        }
    }
    Ok(absences)
}

fn lacking(what: &str) -> Fault {
    Fault::unsupported(&format!(
        "The realm has no {what}, which the connector's configuration grants: its operator has to make it."
    ))
}
