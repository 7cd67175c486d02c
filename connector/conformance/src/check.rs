//! What a check is: a rule of `connector.proto`, how it is tried, and what to do where it is broken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dcr_proto::v1::Capability;

use crate::bridge::Bridge;
use crate::options::{Options, Profile};

/// Why a check ended without success.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The rule is broken: what was seen.
    Broken(String),
    /// The rule could not be judged: why.
    Skipped(String),
}

/// What a check found.
pub(crate) type Verdict = Result<(), Stop>;

type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One rule of the contract.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    pub(crate) needs: &'static [Need],
    pub(crate) rule: &'static str,
    pub(crate) advice: &'static str,
    pub(crate) run: fn(Arc<Bridge>) -> Running,
}

/// The checks of one subject.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) checks: &'static [Check],
}

/// What a check cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Rotate,
    Add,
    Remove,
    Update,
    Registrations,
    List,
    AbortCreate,
    AbortAdd,
    MaxSecrets,
    Tokens,
    MappedAudience,
    MappedScope,
    Unmarked,
    Admitted,
    Own,
    Settle,
    Terminate,
}

impl Need {
    /// What the connector, or the command line, does not have; `None` when it is there.
    pub(crate) fn missing(self, bridge: &Bridge) -> Option<String> {
        let options: &Options = bridge.options();
        let capability = |wanted: Capability| {
            let sentence = format!("the connector does not have {}", wanted.as_str_name());
            (!bridge.can(wanted)).then_some(sentence)
        };
        let flag = |given: bool, name: &str| (!given).then(|| format!("needs {name}"));
        match self {
            Self::Rotate => capability(Capability::RotateSecret),
            Self::Add => capability(Capability::AddSecret),
            Self::Remove => capability(Capability::RemoveSecret),
            Self::Update => capability(Capability::Update),
            Self::Registrations => capability(Capability::Registrations),
            Self::List => capability(Capability::ListManaged),
            Self::AbortCreate => capability(Capability::AbortCreate),
            Self::AbortAdd => capability(Capability::AbortAddSecret),
            Self::MaxSecrets => {
                let none = bridge.described().max_secrets.is_none();
                none.then(|| "the connector names no max_secrets".to_owned())
            }
            Self::Tokens => flag(options.tokens.token_url.is_some(), "--token-url"),
            Self::MappedAudience => flag(options.mapped_audience.is_some(), "--mapped-audience"),
            Self::MappedScope => flag(options.mapped_scope.is_some(), "--mapped-scope"),
            Self::Unmarked => flag(options.unmarked_client.is_some(), "--unmarked-client"),
            Self::Admitted => flag(options.admitted_client.is_some(), "--admitted-client"),
            Self::Own => flag(options.own_client.is_some(), "--own-client"),
            Self::Settle => flag(options.settle, "--settle"),
            Self::Terminate => flag(options.terminate.is_some(), "--terminate"),
        }
    }
}

/// The table of a group: name and needs of each check, its rule, and what to do where it is broken. The function of
/// that name in the same file tries it.
macro_rules! group {
    ($group:literal, $($name:ident [$profile:ident $(, $need:ident)*] $rule:literal => $advice:literal;)+) => {
        /// The group.
        pub(crate) const GROUP: $crate::check::Group = $crate::check::Group {
            name: $group,
            checks: &[$($crate::check::Check {
                name: stringify!($name),
                profile: $crate::options::Profile::$profile,
                needs: &[$($crate::check::Need::$need),*],
                rule: $rule,
                advice: $advice,
                run: |bridge| Box::pin(async move { $name(&bridge).await }),
            }),+],
        };
    };
}

/// Ends the check when something is not as the rule says.
macro_rules! ensure {
    ($condition:expr, $($seen:tt)+) => {
        if !$condition {
            return Err($crate::check::Stop::Broken(format!($($seen)+)));
        }
    };
}

pub(crate) use {ensure, group};

/// The same end, telling what was tried.
pub(crate) fn about(stop: Stop, what: &str) -> Stop {
    match stop {
        Stop::Broken(seen) => broken(format!("{what}: {seen}")),
        skipped @ Stop::Skipped(_) => skipped,
    }
}

/// Ends the check: what was seen.
pub(crate) fn broken(seen: impl Into<String>) -> Stop {
    Stop::Broken(seen.into())
}
