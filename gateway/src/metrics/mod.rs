//! The gateway's metrics. Every label is one of a few values that we chose, or a configured provider.

mod providers;
mod rpcs;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::providers::ProviderLabel;
use self::providers::{Providers, labels_of_a_provider};
pub(crate) use self::rpcs::Rpcs;

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: ProviderLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    provider: ProviderLabel,
    reason: &'static str,
}

labels_of_a_provider!(OperationLabels, ProviderLabels, ShedLabels);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// In the buckets of OpenTelemetry's conventions for HTTP.
fn duration() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0,
    ])
}

/// What the gateway counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Providers<ProviderLabels, Gauge>,
    operations: Providers<OperationLabels, Counter>,
    aborts: Providers<OperationLabels, Counter>,
    shed: Providers<ShedLabels, Counter>,
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
        let new = Self {
            requests: Family::new_with_constructor(duration),
            in_flight: Providers::new(Gauge::default),
            operations: Providers::new(Counter::default),
            aborts: Providers::new(Counter::default),
            shed: Providers::new(Counter::default),
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
        let build = Family::<BuildLabels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        registry.register("dcr_build_info", "What runs here", build);
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

    /// A call of a provider's is in flight until what is returned is dropped.
    pub(crate) fn in_flight(&self, provider: &ProviderLabel) -> InFlight {
        let provider = provider.clone();
        let gauge = self.in_flight.get(&ProviderLabels { provider });
        gauge.inc();
        InFlight(gauge)
    }

    pub(crate) fn operation(&self, labels: &OperationLabels) {
        self.operations.get(labels).inc();
    }

    pub(crate) fn abort(&self, labels: &OperationLabels) {
        self.aborts.get(labels).inc();
    }

    pub(crate) fn shed(&self, provider: &ProviderLabel, reason: &'static str) {
        let provider = provider.clone();
        self.shed.get(&ShedLabels { provider, reason }).inc();
    }

    /// Tells what has been counted of these providers, and forgets what was of others.
    pub(crate) fn encode_providers(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        is_served: impl Fn(&ProviderLabel) -> bool,
    ) -> fmt::Result {
        self.in_flight.encode(
            encoder,
            "dcr_inflight",
            "Calls of Konnect's that are being answered",
            None,
            &is_served,
        )?;
        self.operations.encode(
            encoder,
            "dcr_operations",
            "Calls of Konnect's whose key was right, by what came of them",
            None,
            &is_served,
        )?;
        self.aborts.encode(
            encoder,
            "dcr_aborts",
            "Creating calls that had to be undone because nobody can have their answer",
            None,
            &is_served,
        )?;
        self.shed.encode(
            encoder,
            "dcr_shed",
            "Calls refused for nothing but their number: too many with one key, in flight, or still to be undone",
            None,
            &is_served,
        )
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

/// One call that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
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
            r#"dcr_auth_failures_total{reason="unknown_key"} 1"#,
            r#"http_server_request_duration_seconds_count{route="/",method="POST",status="201"} 1"#,
            "dcr_unknown_members_total 0",
            "dcr_unknown_events_total 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
