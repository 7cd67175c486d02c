//! The gateway's metrics. Every label is one of a few values that we chose, or a configured provider.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dcr_contract::model::ProviderId;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// A provider's id as a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProviderLabel(Arc<str>);

impl ProviderLabel {
    pub(crate) fn new(id: &ProviderId) -> Self {
        Self(id.as_str().into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl EncodeLabelValue for ProviderLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(&self.0)
    }
}

/// Labels of `http_server_request_duration_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

/// Labels of `dcr_operations_total` and `dcr_aborts_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OperationLabels {
    pub(crate) operation: &'static str,
    pub(crate) provider: ProviderLabel,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemberLabels {
    member: &'static str,
}

/// What the gateway counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    operations: Family<OperationLabels, Counter>,
    aborts: Family<OperationLabels, Counter>,
    auth_failures: Family<ReasonLabels, Counter>,
    unknown_members: Counter,
    unknown_events: Counter,
    ignored_values: Family<MemberLabels, Counter>,
    named: Mutex<BTreeSet<(&'static str, String)>>,
}

/// More odd names than this are counted, but no longer logged.
const MOST_NAMED: usize = 256;

impl Metrics {
    /// Metrics that show in the registry.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || {
            Histogram::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0,
            ])
        };
        let new = Self {
            requests: Family::new_with_constructor(histogram),
            operations: Family::default(),
            aborts: Family::default(),
            auth_failures: Family::default(),
            unknown_members: Counter::default(),
            unknown_events: Counter::default(),
            ignored_values: Family::default(),
            named: Mutex::default(),
        };
        registry.register_with_unit(
            "http_server_request_duration",
            "From the head of a request of Konnect's to its answer",
            Unit::Seconds,
            new.requests.clone(),
        );
        registry.register(
            "dcr_operations",
            "Calls of Konnect's whose key was right, by what came of them",
            new.operations.clone(),
        );
        registry.register(
            "dcr_aborts",
            "Creating calls that had to be undone because nobody can have their answer",
            new.aborts.clone(),
        );
        registry.register(
            "dcr_auth_failures",
            "Calls without a key that opens the provider",
            new.auth_failures.clone(),
        );
        registry.register(
            "dcr_unknown_members",
            "Members of Konnect's bodies that this version does not know",
            new.unknown_members.clone(),
        );
        registry.register(
            "dcr_unknown_events",
            "Events of Konnect's that this version does not know",
            new.unknown_events.clone(),
        );
        registry.register(
            "dcr_ignored_values",
            "Values in Konnect's bodies that were left out, by member",
            new.ignored_values.clone(),
        );
        new
    }

    pub(crate) fn request(&self, labels: &RequestLabels, took: Duration) {
        self.requests
            .get_or_create(labels)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn operation(&self, labels: &OperationLabels) {
        self.operations.get_or_create(labels).inc();
    }

    pub(crate) fn abort(&self, labels: &OperationLabels) {
        self.aborts.get_or_create(labels).inc();
    }

    pub(crate) fn auth_failure(&self, reason: &'static str) {
        self.auth_failures
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    /// Counts a member that nobody knows, and names it in the log the first time.
    pub(crate) fn unknown_member(&self, name: &str) {
        self.unknown_members.inc();
        if self.is_new("member", name) {
            tracing::info!(member = ?name, "Konnect sent a member that this version does not know; it is ignored");
        }
    }

    /// Counts an event that nobody knows, and names it in the log the first time.
    pub(crate) fn unknown_event(&self, name: &str) {
        self.unknown_events.inc();
        let name: String = name.chars().take(64).collect();
        if self.is_new("event", &name) {
            tracing::warn!(event_type = ?name, "Konnect sent an event that this version does not know; it is ignored");
        }
    }

    /// Counts a value that was left out.
    pub(crate) fn ignored_value(&self, member: &'static str) {
        self.ignored_values
            .get_or_create(&MemberLabels { member })
            .inc();
    }

    fn is_new(&self, what: &'static str, name: &str) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.len() < MOST_NAMED && named.insert((what, name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_is_named_once_and_never_without_bound() {
        let metrics = Metrics::new(&mut Registry::default());
        assert!(metrics.is_new("member", "a"));
        assert!(!metrics.is_new("member", "a"));
        assert!(metrics.is_new("event", "a"));
        let named = (0..1000)
            .filter(|n| metrics.is_new("member", &n.to_string()))
            .count();
        assert_eq!(named, MOST_NAMED - 2);
    }

    #[test]
    fn the_names_are_those_that_dashboards_ask_for() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let provider = ProviderLabel::new(&ProviderId::parse("okta").unwrap());
        let labels = OperationLabels {
            operation: "create_client",
            provider,
            outcome: "ok",
        };
        metrics.operation(&labels);
        metrics.auth_failure("unknown_key");
        metrics.request(
            &RequestLabels {
                route: "/",
                method: "POST",
                status: 201,
            },
            Duration::from_millis(3),
        );
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"dcr_operations_total{operation="create_client",provider="okta",outcome="ok"} 1"#,
            r#"dcr_auth_failures_total{reason="unknown_key"} 1"#,
            r#"http_server_request_duration_seconds_count{route="/",method="POST",status="201"} 1"#,
            "dcr_unknown_members_total 0",
            "dcr_unknown_events_total 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
