//! What every call carries beside its subject.

use std::time::Duration;

use tokio::time::Instant;

use super::{Installation, ProviderId, Reference};

/// Who asks: clients of different callers are kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The installation of the bridge.
    pub installation: Installation,
    /// The provider in it.
    pub provider_id: ProviderId,
}

/// One call about clients.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// The call's name in the logs.
    pub reference: Reference,
}

/// The moment at which whoever waits gives up; each inner deadline is shorter than its outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment that is `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// What remains; zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// An inner deadline that leaves the outer one `margin` to answer.
    #[must_use]
    pub fn earlier_by(&self, margin: Duration) -> Self {
        Self(self.0.checked_sub(margin).unwrap_or(self.0))
    }

    /// An inner deadline that lasts at most `limit`.
    #[must_use]
    pub fn at_most(&self, limit: Duration) -> Self {
        Self(self.0.min(Instant::now() + limit))
    }

    /// The moment itself, for timers.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.0
    }
}
