//! What is still to be undone: a bounded number, counted, and shown in the metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dcr_runtime::shutdown::Unfinished;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric as _, LabelValueEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::Instant;

/// The most that waits to be undone; each takes about 2 KB.
pub(super) const MOST: usize = 10_000;
/// How many are undone at one time, so that a provider that comes back is not thrown over again.
const AT_ONCE: usize = 16;

/// What came of undoing an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// What it made is gone.
    Gone,
    /// There was nothing, also when a late commit would have shown itself.
    Nothing,
    /// What is there was left alone.
    Left,
    /// The provider did not let it be undone for too long, or too much was to be undone.
    GivenUp,
}

impl EncodeLabelValue for End {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let name = match self {
            Self::Gone => "gone",
            Self::Nothing => "nothing",
            Self::Left => "left",
            Self::GivenUp => "given_up",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: End,
}

/// What is to be undone.
#[derive(Debug)]
pub(super) struct Pending {
    waiting: Mutex<Waiting>,
    most: usize,
    few: Semaphore,
    many: Arc<Semaphore>,
    ended: Family<Labels, Counter>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Since when, in the order of their coming.
    since: BTreeMap<u64, Instant>,
}

/// Counts for one that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pending: Arc<Pending>,
    number: u64,
    /// The drain waits for it, or names it.
    _unfinished: Unfinished,
}

impl Pending {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            most,
            few: Semaphore::new(AT_ONCE),
            many: Arc::new(Semaphore::new(most)),
            ended: Family::default(),
        }
    }

    /// A place among what waits; `None` when there are too many.
    pub(super) fn place(self: &Arc<Self>, unfinished: Unfinished) -> Option<Place> {
        let mut waiting = self.lock();
        if waiting.since.len() >= self.most {
            return None;
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, Instant::now());
        Some(Place {
            pending: Arc::clone(self),
            number,
            _unfinished: unfinished,
        })
    }

    /// The right to be one of the few that undo now.
    pub(super) async fn one_of_few(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.few.acquire().await.ok()
    }

    /// The same, unless others wait for it.
    pub(super) fn one_of_few_now(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.few.try_acquire()
    }

    /// Room for one more look at what was undone; `None` when too many are to come.
    pub(super) fn one_of_many(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.many).try_acquire_owned().ok()
    }

    /// Counts an end.
    pub(super) fn count(&self, outcome: End) {
        self.ended.get_or_create(&Labels { outcome }).inc();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.lock().since.remove(&self.number);
    }
}

/// Registers `dcr_undos_total{outcome}`, `dcr_undos_pending` and `dcr_undos_oldest_seconds`.
pub(super) fn register(pending: &Arc<Pending>, registry: &mut Registry) {
    registry.register(
        "dcr_undos",
        "Operations that nobody got the answer to, by what came of undoing them",
        pending.ended.clone(),
    );
    registry.register_collector(Box::new(Shown(Arc::clone(pending))));
}

#[derive(Debug)]
struct Shown(Arc<Pending>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (count, oldest) = {
            let waiting = self.0.lock();
            let oldest = waiting.since.first_key_value();
            (
                waiting.since.len(),
                oldest.map(|(_, since)| since.elapsed()),
            )
        };
        let gauges = [
            (
                "dcr_undos_pending",
                "Operations that are still to be undone",
                u64::try_from(count).unwrap_or(u64::MAX),
            ),
            (
                "dcr_undos_oldest_seconds",
                "How long the oldest of them has been waiting; 0 when there is none",
                oldest.unwrap_or_default().as_secs(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge.encode(descriptor)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dcr_runtime::Shutdown;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_and_shown_with_its_age() {
        let (pending, shutdown) = (Arc::new(Pending::new(MOST)), Shutdown::new());
        let mut registry = Registry::default();
        register(&pending, &mut registry);
        let shown = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let place = || pending.place(shutdown.unfinished("undo", "operation"));
        let mut places = vec![place().unwrap()];
        tokio::time::advance(Duration::from_secs(7)).await;
        places.push(place().unwrap());
        assert!(shown().contains("dcr_undos_pending 2\n"), "{}", shown());
        assert!(shown().contains("dcr_undos_oldest_seconds 7\n"));
        places.extend(std::iter::from_fn(place));
        assert_eq!(places.len(), MOST);
        places.clear();
        assert!(shown().contains("dcr_undos_pending 0\n"));
        assert!(shown().contains("dcr_undos_oldest_seconds 0\n"));
        assert!(place().is_some());
        pending.count(End::GivenUp);
        assert!(shown().contains("dcr_undos_total{outcome=\"given_up\"} 1\n"));
    }
}
