//! What went by between gateways and connectors: who was asked to make or to undo something, and what it said.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dcr_proto::v1;
use prost::Message;
use uuid::Uuid;

use crate::journal::now;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    Create,
    Add,
    Abort,
}

/// What a connector said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// It has made the client or secret, and gives it away.
    Made,
    /// It sees to the undoing.
    Accepted,
    /// What was made is gone, or must stay; by its name in the contract.
    Settled(&'static str),
    /// Anything else, by its gRPC status.
    Failed(String),
}

/// One call that came to the balancer.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    pub(crate) operation: Uuid,
    pub(crate) rpc: Rpc,
    /// The client: its name where it is to be made, its id where a secret is; nobody where it is aborted.
    pub(crate) whose: String,
    /// Which connector.
    pub(crate) by: usize,
    /// When it came (microseconds since 1970).
    pub(crate) came: u64,
    /// When it got through to the connector, if it did.
    pub(crate) through: Option<u64>,
    /// What the connector said, and when; nothing when it was cut before.
    pub(crate) answer: Option<(u64, Said)>,
    /// When the line to the connector was cut, if it said nothing before.
    pub(crate) cut: Option<u64>,
    /// Whether the answer was handed on to the gateway.
    pub(crate) heard: bool,
}

/// All that went by.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Passed>>);

impl Log {
    /// Notes a call, if it is one that makes or undoes something; its number.
    pub(crate) fn came(&self, path: &str, frame: &[u8], by: usize) -> Option<usize> {
        let (rpc, operation, whose) = match path.rsplit('/').next()? {
            "CreateClient" => {
                let request: v1::CreateClientRequest = message(frame)?;
                (Rpc::Create, request.operation?.operation_id, request.name)
            }
            "AddClientSecret" => {
                let request: v1::AddClientSecretRequest = message(frame)?;
                let operation = request.operation?.operation_id;
                (Rpc::Add, operation, request.client_id)
            }
            "AbortOperation" => {
                let request: v1::AbortOperationRequest = message(frame)?;
                (Rpc::Abort, request.operation_id, String::new())
            }
            _ => return None,
        };
        let passed = Passed {
            operation: operation.parse().ok()?,
            rpc,
            whose,
            by,
            came: now(),
            through: None,
            answer: None,
            cut: None,
            heard: false,
        };
        let mut log = self.lock();
        log.push(passed);
        Some(log.len() - 1)
    }

    /// Notes that a call gets through; and that its line is cut, when what this gives is dropped before an answer has come.
    pub(crate) fn through(&self, number: Option<usize>) -> UntilCut<'_> {
        let mut log = self.lock();
        if let Some(passed) = number.and_then(|number| log.get_mut(number)) {
            passed.through = Some(now());
        }
        UntilCut { log: self, number }
    }

    /// Notes the answer to a call.
    pub(crate) fn answered(&self, number: Option<usize>, grpc_status: &str, frame: &[u8]) {
        let mut log = self.lock();
        if let Some(passed) = number.and_then(|number| log.get_mut(number)) {
            passed.answer = Some((now(), said(passed.rpc, grpc_status, frame)));
        }
    }

    /// Notes that the gateway gets the answer.
    pub(crate) fn heard(&self, number: Option<usize>) {
        let mut log = self.lock();
        if let Some(passed) = number.and_then(|number| log.get_mut(number)) {
            passed.heard = true;
        }
    }

    pub(crate) fn all(&self) -> Vec<Passed> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that got through.
pub(crate) struct UntilCut<'a> {
    log: &'a Log,
    number: Option<usize>,
}

impl Drop for UntilCut<'_> {
    fn drop(&mut self) {
        let mut log = self.log.lock();
        if let Some(passed) = self.number.and_then(|number| log.get_mut(number)) {
            passed.cut = passed.answer.is_none().then(now);
        }
    }
}

fn said(rpc: Rpc, grpc_status: &str, frame: &[u8]) -> Said {
    match rpc {
        _ if grpc_status != "0" => Said::Failed(grpc_status.to_owned()),
        Rpc::Create | Rpc::Add => Said::Made,
        Rpc::Abort => {
            let answer = message::<v1::AbortOperationResponse>(frame);
            match answer.map_or(v1::Abort::Unspecified, |answer| answer.abort()) {
                v1::Abort::Accepted => Said::Accepted,
                settled => Said::Settled(settled.as_str_name()),
            }
        }
    }
}

/// The message in a frame of gRPC: a byte that says that it is not compressed, its length in four, itself.
fn message<M: Message + Default>(frame: &[u8]) -> Option<M> {
    match frame.split_at_checked(5)? {
        ([0, ..], message) => M::decode(message).ok(),
        _ => None,
    }
}
