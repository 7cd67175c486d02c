//! What a connector last said of itself.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::fault::{Fault, FaultKind};
use crate::model::{CONTRACT_MINOR, ConnectorInfo};

/// More descriptions than this are no longer told; a connector has one, and two while it is replaced.
const MOST_TOLD: usize = 32;

/// What the log is told once.
#[derive(Debug, PartialEq)]
enum Told {
    /// That there is one of this name, version and minor version of the contract.
    Info(String, String, u32),
    /// What is wrong with what it says.
    Mistake(String),
}

/// What a connector last said of itself, and what the log was told of it.
#[derive(Debug, Default)]
pub(super) struct Described {
    last: ArcSwapOption<ConnectorInfo>,
    told: Mutex<Vec<Told>>,
}

impl Described {
    /// What it said last; `None` until it has said something.
    pub(super) fn last(&self) -> Option<Arc<ConnectorInfo>> {
        self.last.load_full()
    }

    /// Keeps what it said, and tells the log what was not told before.
    pub(super) fn keep(&self, connector: &str, said: Result<ConnectorInfo, Fault>) {
        match said {
            Ok(info) => {
                let last = self.last.load();
                if last.as_deref() != Some(&info) {
                    self.tell(connector, &info, last.is_some());
                    self.last.store(Some(Arc::new(info)));
                }
            }
            // Calls that fail like this tell it themselves.
            Err(fault)
                if matches!(
                    fault.kind(),
                    FaultKind::Unavailable { .. } | FaultKind::TimedOut
                ) =>
            {
                tracing::debug!(connector, cause = %fault, "the connector could not be asked what it is");
            }
            Err(fault) if self.is_news(Told::Mistake(fault.to_string())) => {
                tracing::warn!(connector, cause = %fault, "the connector does not describe itself as the contract says");
            }
            Err(_) => {}
        }
    }

    fn tell(&self, connector: &str, info: &ConnectorInfo, differs: bool) {
        let ConnectorInfo {
            name,
            version,
            contract_minor,
            ..
        } = info;
        if !self.is_news(Told::Info(name.clone(), version.clone(), *contract_minor)) {
            return;
        }
        if differs {
            tracing::warn!(
                connector,
                name,
                version,
                contract_minor,
                "the connector describes itself differently than before; unless it is being replaced, its replicas are \
                 not of one version"
            );
        } else {
            tracing::info!(connector, name, version, contract_minor, "connector");
        }
        if *contract_minor != CONTRACT_MINOR {
            tracing::warn!(
                connector,
                name,
                version,
                contract_minor,
                ours = CONTRACT_MINOR,
                "the connector knows another minor version of the contract; both sides leave out what the other does \
                 not know"
            );
        }
    }

    fn is_news(&self, new: Told) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.len() < MOST_TOLD && !told.contains(&new);
        if is_news {
            told.push(new);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_that_take_turns_are_told_once_each_and_the_last_is_kept() {
        let described = Described::default();
        let said = |version: &str| ConnectorInfo {
            name: "test".to_owned(),
            version: version.to_owned(),
            contract_minor: CONTRACT_MINOR,
            capabilities: Vec::new(),
            max_secrets: None,
            settle_after: std::time::Duration::ZERO,
        };
        for version in ["1", "2", "1", "2"] {
            described.keep("http://test:1", Ok(said(version)));
            assert_eq!(described.last().unwrap().version, version);
        }
        described.keep("http://test:1", Err(Fault::internal("nonsense")));
        assert_eq!(described.last().unwrap().version, "2");
        assert_eq!(described.told.lock().unwrap().len(), 3);
        for version in 0..100 {
            described.keep("http://test:1", Ok(said(&format!("x{version}"))));
        }
        assert_eq!(described.told.lock().unwrap().len(), MOST_TOLD);
    }
}
