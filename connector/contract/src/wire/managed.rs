//! Clean-up: aborts, and the list of clients that bear a mark.

use dcr_proto::v1;
use dcr_proto::v1::abort_operation_request::Target;

use super::{
    Envelope, broken, caller_from_proto, caller_to_proto, client_id_from_proto, complete,
    time_from_proto, time_to_proto,
};
use crate::fault::{Fault, Violations};
use crate::model::{
    Abort, AbortTarget, Call, ClientId, Field, Malformed, ManagedClient, ManagedClients,
    OperationId, Page, ProviderId,
};

const LARGEST_PAGE: u16 = 500;
const LONGEST_TOKEN: usize = 1024;

pub(crate) fn abort_to_proto(
    call: &Call,
    operation: OperationId,
    target: &AbortTarget,
) -> v1::AbortOperationRequest {
    v1::AbortOperationRequest {
        caller: Some(caller_to_proto(&call.caller)),
        operation_id: operation.to_string(),
        target: Some(match target {
            AbortTarget::Create => Target::Create(v1::AbortCreate {}),
            AbortTarget::AddSecret(id) => Target::AddSecret(v1::AbortAddSecret {
                client_id: id.to_string(),
            }),
        }),
    }
}

pub(crate) fn abort_from_proto(
    request: v1::AbortOperationRequest,
    envelope: Envelope,
) -> Result<(Call, OperationId, AbortTarget), Fault> {
    let mut v = Violations::default();
    let caller = caller_from_proto(request.caller, &mut v);
    let operation = v.check(Field::Operation, OperationId::parse(&request.operation_id));
    let target = match request.target {
        Some(Target::Create(_)) => Some(AbortTarget::Create),
        Some(Target::AddSecret(secret)) => {
            client_id_from_proto(&secret.client_id, &mut v).map(AbortTarget::AddSecret)
        }
        None => {
            v.note(Field::Request, "must name what the operation made");
            None
        }
    };
    let parts = caller.zip(operation).zip(target);
    complete(
        v,
        parts.map(|((caller, operation), target)| (envelope.with(caller), operation, target)),
    )
}

pub(crate) fn aborted_to_proto(abort: Abort) -> v1::AbortOperationResponse {
    let abort = match abort {
        Abort::Undone => v1::Abort::Undone,
        Abort::Accepted => v1::Abort::Accepted,
        Abort::Cannot => v1::Abort::Cannot,
        Abort::Left => v1::Abort::Left,
    };
    v1::AbortOperationResponse {
        abort: abort.into(),
    }
}

pub(crate) fn aborted_from_proto(answer: v1::AbortOperationResponse) -> Result<Abort, Fault> {
    match answer.abort() {
        v1::Abort::Undone => Ok(Abort::Undone),
        v1::Abort::Accepted => Ok(Abort::Accepted),
        v1::Abort::Cannot => Ok(Abort::Cannot),
        v1::Abort::Left => Ok(Abort::Left),
        v1::Abort::Unspecified => Err(broken(
            "AbortOperation",
            "abort",
            &Malformed::new("must be specified"),
        )),
    }
}

pub(crate) fn list_to_proto(call: &Call, page: &Page) -> v1::ListManagedClientsRequest {
    v1::ListManagedClientsRequest {
        caller: Some(caller_to_proto(&call.caller)),
        page_size: page.size.into(),
        page_token: page.token.clone().unwrap_or_default(),
    }
}

pub(crate) fn list_from_proto(
    request: v1::ListManagedClientsRequest,
    envelope: Envelope,
) -> Result<(Call, Page), Fault> {
    let mut v = Violations::default();
    let caller = caller_from_proto(request.caller, &mut v);
    let size = match request.page_size {
        0 => Page::default().size,
        wanted => u16::try_from(wanted)
            .ok()
            .filter(|s| *s <= LARGEST_PAGE)
            .unwrap_or_else(|| {
                v.note(Field::Page, "must ask for 0 to 500 clients");
                0
            }),
    };
    if request.page_token.len() > LONGEST_TOKEN {
        v.note(Field::Page, "must have at most 1,024 characters");
    }
    let token = (!request.page_token.is_empty()).then_some(request.page_token);
    complete(
        v,
        caller.map(|caller| (envelope.with(caller), Page { size, token })),
    )
}

pub(crate) fn listed_to_proto(listed: ManagedClients) -> v1::ListManagedClientsResponse {
    let client = |c: ManagedClient| v1::ManagedClient {
        client_id: c.client_id.to_string(),
        provider_id: c.provider_id.to_string(),
        operation_id: c.operation_id.to_string(),
        created_at: time_to_proto(c.created_at),
        probe: c.probe,
    };
    v1::ListManagedClientsResponse {
        clients: listed.clients.into_iter().map(client).collect(),
        next_page_token: listed.next.unwrap_or_default(),
        complete: listed.complete,
    }
}

pub(crate) fn listed_from_proto(
    answer: v1::ListManagedClientsResponse,
) -> Result<ManagedClients, Fault> {
    let wrong = |field: &'static str| move |m: Malformed| broken("ListManagedClients", field, &m);
    if answer.clients.len() > LARGEST_PAGE.into() {
        return Err(wrong("clients")(Malformed::new(
            "must be at most as many as were asked for",
        )));
    }
    if answer.next_page_token.len() > LONGEST_TOKEN {
        return Err(wrong("next_page_token")(Malformed::new(
            "must have at most 1,024 characters",
        )));
    }
    let client = |c: v1::ManagedClient| {
        Ok(ManagedClient {
            client_id: ClientId::parse(&c.client_id).map_err(wrong("client_id"))?,
            provider_id: ProviderId::parse(&c.provider_id).map_err(wrong("provider_id"))?,
            operation_id: OperationId::parse(&c.operation_id).map_err(wrong("operation_id"))?,
            created_at: time_from_proto(c.created_at).map_err(wrong("created_at"))?,
            probe: c.probe,
        })
    };
    Ok(ManagedClients {
        clients: answer
            .clients
            .into_iter()
            .map(client)
            .collect::<Result<_, Fault>>()?,
        next: (!answer.next_page_token.is_empty()).then_some(answer.next_page_token),
        complete: answer.complete,
    })
}
