//! The calls of the contract: judged, run as operations, and their results checked.

use std::time::Duration;

use secrecy::SecretString;

use super::history::Known;
use super::ownership::DeleteAs;
use super::undo::{Target, Undo};
use super::{Managed, awaited};
use crate::Connector;
use crate::fault::{Fault, FaultKind, Reason};
use crate::idp::{Created, Idp};
use crate::mark::{Made, Mark};
use crate::model::{
    Abort, AbortTarget, AddedSecret, Adjustment, CONTRACT_MINOR, Call, ClientId, ClientSecret,
    ClientUpdate, ConnectorInfo, CreatedClient, Deadline, Deletion, Finding, Malformed,
    ManagedClients, NewClient, OperationId, Origin, Page, Registration, RegistrationChange,
    Removal, RotatedSecret, SecretId, SecretMetadata,
};

/// A create that starts with less than this would be cut by its caller more often than not.
const TIME_TO_CREATE: Duration = Duration::from_secs(3);

/// What Konnect can take of what an IdP created.
fn deliverable(created: Created) -> Result<CreatedClient, Malformed> {
    Ok(CreatedClient {
        client_id: ClientId::parse(&created.client_id)?,
        secret: ClientSecret::parse(created.secret)?,
        secret_id: created
            .secret_id
            .as_deref()
            .map(SecretId::parse)
            .transpose()?,
        issued_at: created.issued_at,
        secret_expires_at: created.secret_expires_at,
        adjustments: created.adjustments,
    })
}

fn unusable(what: &str, rule: &Malformed) -> Fault {
    Fault::internal(format!(
        "the identity provider's answer is of no use to Konnect: {what} {rule}"
    ))
    .reason(Reason::IdpAnswerUnusable)
    .saying("The identity provider answered with an id or secret that Konnect cannot keep.")
}

fn checked_secret(
    secret: SecretString,
    secret_id: Option<&str>,
) -> Result<(ClientSecret, Option<SecretId>), Fault> {
    let secret = ClientSecret::parse(secret).map_err(|m| unusable("the secret", &m))?;
    let secret_id = secret_id.map(SecretId::parse).transpose();
    Ok((
        secret,
        secret_id.map_err(|m| unusable("the secret's id", &m))?,
    ))
}

impl<I: Idp> Connector for Managed<I> {
    async fn describe(&self, _deadline: Deadline) -> Result<ConnectorInfo, Fault> {
        let traits = self.shared().idp.traits();
        Ok(ConnectorInfo {
            name: I::NAME.to_owned(),
            version: I::VERSION.to_owned(),
            contract_minor: CONTRACT_MINOR,
            capabilities: traits.capabilities,
            max_secrets: traits.max_secrets,
            settle_after: traits.settle_after,
        })
    }

    async fn check(&self, deadline: Deadline) -> Result<Vec<Finding>, Fault> {
        let mut findings = self.shared().idp.check(deadline).await;
        findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
        Ok(findings)
    }

    async fn create_client(
        &self,
        call: &Call,
        operation: OperationId,
        client: NewClient,
    ) -> Result<CreatedClient, Fault> {
        if call.deadline.remaining() < TIME_TO_CREATE {
            let message = "too little time was left to create a client; nothing was sent";
            return Err(Fault::new(FaultKind::Unavailable { after: None }, message)
                .reason(Reason::TimedOut));
        }
        let shared = self.shared();
        shared.begin(&call.caller, operation)?;
        if client.probe {
            self.remove_old_probes(&call.caller.installation);
        }
        let (caller, deadline) = (call.caller.clone(), call.deadline);
        let task = async move {
            let mark = Mark {
                caller: caller.clone(),
                operation_id: operation,
                made: Made::ByUs,
                probe: client.probe,
            };
            let undo = Undo {
                caller,
                operation,
                made: Target::Client,
                is_aborted: false,
            };
            if let Err(gone) = awaited::still() {
                return Err(shared.made_nothing(&mark.caller, operation, gone));
            }
            let created = match shared.idp.create(deadline, &mark, &client).await {
                Ok(created) => created,
                Err(fault) => {
                    // The gateway aborts it as well, unless it dies first.
                    return Err(shared.failed(fault, undo));
                }
            };
            match deliverable(created) {
                Ok(created) => shared.armed(created, Known::Ended, undo),
                Err(rule) => {
                    let fault = unusable("the client id or secret", &rule);
                    Err(shared.unusable(fault, undo).await)
                }
            }
        };
        self.shared()
            .operations
            .run(call.deadline, operation, task)
            .await
    }

    async fn delete_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<Deletion, Fault> {
        self.detached(call, operation, client_id, |shared, call, client_id| async move {
            let Some((owned, standing)) = shared.judge(&call.caller, call.deadline, &client_id).await? else {
                return Ok(Deletion::Absent);
            };
            let deletion = match standing.may_be_deleted()? {
                DeleteAs::Deleted => {
                    shared.idp.delete(call.deadline, &owned).await?;
                    Deletion::Deleted
                }
                DeleteAs::LeftInPlace => {
                    tracing::info!(%client_id, "a client that the bridge did not make is left in place");
                    Deletion::LeftInPlace
                }
            };
            Ok(deletion)
        })
        .await
    }

    async fn rotate_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<RotatedSecret, Fault> {
        // Its end is of no interest: nobody aborts a rotation, another one heals it.
        self.shared().begin(&call.caller, operation)?;
        self.detached(
            call,
            operation,
            client_id,
            |shared, call, client_id| async move {
                let owned = shared.own(&call.caller, call.deadline, &client_id).await?;
                let rotated = shared.idp.rotate_secret(call.deadline, &owned).await?;
                let (secret, secret_id) =
                    checked_secret(rotated.secret, rotated.secret_id.as_deref())?;
                let expires_at = rotated.expires_at;
                Ok(RotatedSecret {
                    secret,
                    secret_id,
                    expires_at,
                })
            },
        )
        .await
    }

    async fn list_client_secrets(
        &self,
        call: &Call,
        client_id: &ClientId,
    ) -> Result<Vec<SecretMetadata>, Fault> {
        let shared = self.shared();
        let owned = shared.own(&call.caller, call.deadline, client_id).await?;
        shared.idp.list_secrets(call.deadline, &owned).await
    }

    async fn add_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
    ) -> Result<AddedSecret, Fault> {
        let shared = self.shared();
        shared.begin(&call.caller, operation)?;
        let (caller, deadline) = (call.caller.clone(), call.deadline);
        let client_id = client_id.clone();
        let task = async move {
            let undo = |made| Undo {
                caller: caller.clone(),
                operation,
                made,
                is_aborted: false,
            };
            let labelled = undo(Target::LabelledSecret(client_id.clone()));
            let owned = match shared.own(&caller, deadline, &client_id).await {
                Ok(owned) => owned,
                Err(fault) => return Err(shared.made_nothing(&caller, operation, fault)),
            };
            let added = match shared.idp.add_secret(deadline, &owned, operation).await {
                Ok(added) => added,
                Err(fault) => return Err(shared.failed(fault, labelled)),
            };
            drop(owned);
            let secret_id = match SecretId::parse(&added.secret_id) {
                Ok(secret_id) => secret_id,
                Err(rule) => {
                    let fault = unusable("the secret's id", &rule);
                    return Err(shared.failed(fault, labelled));
                }
            };
            let undo = undo(Target::Secret(client_id.clone(), secret_id.clone()));
            match ClientSecret::parse(added.secret) {
                Ok(secret) => {
                    let known = Known::Added(client_id, secret_id.clone());
                    let (created_at, expires_at) = (added.created_at, added.expires_at);
                    let added = AddedSecret {
                        secret_id,
                        secret,
                        created_at,
                        expires_at,
                    };
                    shared.armed(added, known, undo)
                }
                Err(rule) => Err(shared.unusable(unusable("the secret", &rule), undo).await),
            }
        };
        self.shared()
            .operations
            .run(deadline, operation, task)
            .await
    }

    async fn remove_client_secret(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        secret_id: &SecretId,
    ) -> Result<Removal, Fault> {
        let secret_id = secret_id.clone();
        self.detached(
            call,
            operation,
            client_id,
            |shared, call, client_id| async move {
                let owned = shared.own(&call.caller, call.deadline, &client_id).await?;
                shared
                    .idp
                    .remove_secret(call.deadline, &owned, &secret_id)
                    .await
            },
        )
        .await
    }

    async fn update_client(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        update: ClientUpdate,
    ) -> Result<Vec<Adjustment>, Fault> {
        self.detached(
            call,
            operation,
            client_id,
            |shared, call, client_id| async move {
                let owned = shared.own(&call.caller, call.deadline, &client_id).await?;
                shared.idp.update(call.deadline, &owned, &update).await
            },
        )
        .await
    }

    async fn add_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        origin: Origin,
    ) -> Result<RegistrationChange, Fault> {
        self.detached(
            call,
            operation,
            client_id,
            |shared, call, client_id| async move {
                let mut owned = shared.own(&call.caller, call.deadline, &client_id).await?;
                let recorded = owned.registrations().of(&registration.entity);
                let other = recorded.filter(|recorded| *recorded != registration);
                if let Some(other) = &other {
                    // Konnect names another audience now: what the old one granted ends first.
                    let mut without = owned.registrations().clone();
                    without.remove(&other.entity);
                    let idp = &shared.idp;
                    idp.unregister(call.deadline, &owned, other, &without)
                        .await?;
                    awaited::has_begun();
                    drop(owned);
                    owned = shared.own(&call.caller, call.deadline, &client_id).await?;
                }
                if !shared.idp.maps(&registration) {
                    let changed = other.map(|_| RegistrationChange::Changed);
                    return Ok(changed.unwrap_or(RegistrationChange::NotMapped));
                }
                let mut after = owned.registrations().clone();
                after.insert(registration.clone());
                // Asked of the IdP even when it is recorded: an earlier attempt may have ended halfway.
                let register =
                    shared
                        .idp
                        .register(call.deadline, &owned, &registration, &after, &origin);
                let change = if register.await? || other.is_some() {
                    RegistrationChange::Changed
                } else {
                    RegistrationChange::Unchanged
                };
                Ok(change)
            },
        )
        .await
    }

    async fn remove_registration(
        &self,
        call: &Call,
        operation: OperationId,
        client_id: &ClientId,
        registration: Registration,
        _origin: Origin,
    ) -> Result<RegistrationChange, Fault> {
        self.detached(
            call,
            operation,
            client_id,
            |shared, call, client_id| async move {
                let owned = shared.own(&call.caller, call.deadline, &client_id).await?;
                // What was recorded counts, also where Konnect names another audience now.
                let Some(recorded) = owned.registrations().of(&registration.entity) else {
                    let mapped = shared.idp.maps(&registration);
                    let nothing = RegistrationChange::NotMapped;
                    let change = if mapped {
                        RegistrationChange::Unchanged
                    } else {
                        nothing
                    };
                    return Ok(change);
                };
                let mut after = owned.registrations().clone();
                after.remove(&registration.entity);
                shared
                    .idp
                    .unregister(call.deadline, &owned, &recorded, &after)
                    .await?;
                Ok(RegistrationChange::Changed)
            },
        )
        .await
    }

    async fn abort_operation(
        &self,
        call: &Call,
        operation: OperationId,
        target: AbortTarget,
    ) -> Result<Abort, Fault> {
        let (shared, caller) = (self.shared(), call.caller.clone());
        let deadline = call.deadline;
        let task = async move {
            let operations = shared.operations.clone();
            let abort = shared.abort(caller, operation, target, deadline).await?;
            Ok(operations.plain(abort))
        };
        self.shared()
            .operations
            .run(deadline, operation, task)
            .await
    }

    async fn list_managed_clients(&self, call: &Call, page: Page) -> Result<ManagedClients, Fault> {
        self.shared()
            .idp
            .list_marked(call.deadline, &call.caller.installation, &page)
            .await
    }
}
