//! What the store shows: the process's own, for a store is opened before there is a registry.

use std::sync::LazyLock;
use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the last look at the store found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Live rows.
    pub rows: i64,
    /// Intents whose registration has not ended.
    pub intents: i64,
    /// Rows whose last rotating call did not end: the token may have been rotated.
    pub doubtful: i64,
    /// Rows that are not sealed with the current key.
    pub old_keys: i64,
}

#[derive(Debug, Default)]
struct Metrics {
    rows: Gauge,
    intents: Gauge,
    doubtful: Gauge,
    old_keys: Gauge,
    failures: Counter,
    damaged: Counter,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);
static OPENED: OnceLock<()> = OnceLock::new();

/// A store was opened in this process.
pub(super) fn opened() {
    let _ = OPENED.set(());
}

/// Shows the store in a registry, if one was opened.
pub(crate) fn register(registry: &mut Registry) {
    if OPENED.get().is_none() {
        return;
    }
    let gauges = [
        (
            "dcr_store_rows",
            "Clients whose row is live, as the last examination found",
            &METRICS.rows,
        ),
        (
            "dcr_store_open_intents",
            "Registrations that began and of which no end is known, as the last examination found",
            &METRICS.intents,
        ),
        (
            "dcr_store_doubtful_rows",
            "Clients whose last call that may rotate the registration token did not end, as the last examination found",
            &METRICS.doubtful,
        ),
        (
            "dcr_store_rows_with_old_key",
            "Rows that are not sealed with the current key, as the last examination found",
            &METRICS.old_keys,
        ),
    ];
    for (name, help, gauge) in gauges {
        registry.register(name, help, gauge.clone());
    }
    let counters = [
        (
            "dcr_store_failures",
            "Attempts on the store's database or witness that failed",
            &METRICS.failures,
        ),
        (
            "dcr_store_refused_rows",
            "Rows that did not open",
            &METRICS.damaged,
        ),
    ];
    for (name, help, counter) in counters {
        registry.register(name, help, counter.clone());
    }
}

pub(super) fn counted(counts: Counts) {
    METRICS.rows.set(counts.rows);
    METRICS.intents.set(counts.intents);
    METRICS.doubtful.set(counts.doubtful);
    METRICS.old_keys.set(counts.old_keys);
}

pub(super) fn failed() {
    METRICS.failures.inc();
}

pub(super) fn refused() {
    METRICS.damaged.inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_opened_is_shown() {
        let shown = || {
            let mut registry = Registry::default();
            register(&mut registry);
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        assert!(!shown().contains("dcr_store"));
        opened();
        counted(Counts {
            rows: 5,
            intents: 1,
            doubtful: 2,
            old_keys: 3,
        });
        failed();
        refused();
        for line in [
            "dcr_store_rows 5\n",
            "dcr_store_open_intents 1\n",
            "dcr_store_doubtful_rows 2\n",
            "dcr_store_rows_with_old_key 3\n",
            "dcr_store_failures_total 1\n",
            "dcr_store_refused_rows_total 1\n",
        ] {
            assert!(shown().contains(line), "{line}: {}", shown());
        }
    }
}
