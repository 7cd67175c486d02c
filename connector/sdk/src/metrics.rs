//! A connector's metrics. Every label is one of a few values that we or the connector's author chose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dcr_contract::Observer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::http;
use crate::model::{Finding, Severity};

/// More findings than this are not shown: their codes are chosen by a connector's author, but nobody counts them.
const MOST_FINDINGS: usize = 64;

/// Durations by labels.
pub(crate) type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// Durations in the buckets of OpenTelemetry's conventions for HTTP, and 30 s for the answers to changes that are
/// waited for.
pub(crate) fn durations<L: Clone + Eq + std::hash::Hash>() -> Durations<L> {
    Family::new_with_constructor(|| {
        Histogram::new([
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0,
        ])
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    rpc: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct FindingLabels {
    code: String,
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    connector: &'static str,
    version: &'static str,
}

/// What a connector counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    calls: Durations<CallLabels>,
    examined: Examined,
    checked: Gauge,
}

impl Metrics {
    /// Metrics that show in the registry.
    pub(crate) fn new(
        registry: &mut Registry,
        connector: &'static str,
        version: &'static str,
    ) -> Self {
        let new = Self {
            calls: durations(),
            examined: Examined::default(),
            checked: Gauge::default(),
        };
        registry.register_with_unit(
            "rpc_server_call_duration",
            "From a call of the gateway's to its answer",
            Unit::Seconds,
            new.calls.clone(),
        );
        http::register(registry);
        #[cfg(feature = "store")]
        crate::store::register(registry);
        registry.register_collector(Box::new(new.examined.clone()));
        registry.register(
            "dcr_idp_check_timestamp_seconds",
            "When the IdP was last examined",
            new.checked.clone(),
        );
        let build = Family::<BuildLabels, Gauge>::default();
        build
            .get_or_create(&BuildLabels { connector, version })
            .set(1);
        registry.register("dcr_build_info", "What runs here", build);
        new
    }

    /// Shows what an examination found, and nothing of earlier ones.
    pub(crate) fn examined(&self, findings: &[Finding]) {
        let found = findings.iter().take(MOST_FINDINGS).cloned().collect();
        *self.examined.lock() = found;
        self.checked.set(jiff::Timestamp::now().as_second());
    }
}

/// What the last examination of the IdP found, told when metrics are asked for.
#[derive(Debug, Clone, Default)]
struct Examined(Arc<Mutex<Vec<Finding>>>);

impl Examined {
    fn lock(&self) -> MutexGuard<'_, Vec<Finding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Examined {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let findings = self.lock().clone();
        let labels = findings.iter().map(|finding| FindingLabels {
            code: finding.code.clone(),
            severity: match finding.severity {
                Severity::Ok => "ok",
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
        });
        let mut family = encoder.encode_descriptor(
            "dcr_idp_check",
            "What the last examination of the IdP found: 1 for each finding",
            None,
            MetricType::Gauge,
        )?;
        // Several findings may have one code.
        for labels in labels.collect::<BTreeSet<_>>() {
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        let ends = findings.into_iter();
        let ends = ends.filter_map(|finding| Some((finding.code, finding.expires_at?)));
        let mut family = encoder.encode_descriptor(
            "dcr_idp_credential_not_after_timestamp_seconds",
            "When a credential of the connector's own at the IdP ends, as the last examination found",
            None,
            MetricType::Gauge,
        )?;
        for (code, end) in ends.collect::<BTreeMap<_, _>>() {
            let labels = CodeLabel { code };
            ConstGauge::new(end.as_second()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Observer for Metrics {
    fn ended(&self, rpc: &'static str, code: &'static str, took: Duration) {
        let labels = CallLabels { rpc, code };
        self.calls
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(registry: &Registry, beginning: &str) -> Vec<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(beginning));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_examination_replaces_the_one_before_and_shows_a_bounded_number_of_findings() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, "kind", "1.0.0");
        let shown = |registry: &Registry| lines(registry, "dcr_idp_check{");
        let many: Vec<_> = (0..1000)
            .map(|n| Finding::new(Severity::Warning, &format!("ODD_{n}"), "odd"))
            .collect();
        metrics.examined(&many);
        assert_eq!(shown(&registry).len(), MOST_FINDINGS);
        let one = Finding::new(Severity::Ok, "REACHABLE", "It answers.");
        metrics.examined(&[one.clone(), one]);
        assert_eq!(
            shown(&registry),
            [r#"dcr_idp_check{code="REACHABLE",severity="ok"} 1"#]
        );
    }

    #[test]
    fn a_credential_that_ends_is_shown_until_it_does_not() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, "kind", "1.0.0");
        let name = "dcr_idp_credential_not_after_timestamp_seconds";
        let ends = Finding::new(Severity::Warning, "CREDENTIAL_EXPIRES", "It ends.")
            .expires_at("2027-01-01T00:00:00Z".parse().unwrap());
        metrics.examined(&[Finding::new(Severity::Ok, "REACHABLE", "It answers."), ends]);
        let line = format!(r#"{name}{{code="CREDENTIAL_EXPIRES"}} 1798761600"#);
        assert_eq!(lines(&registry, &format!("{name}{{")), [line]);
        metrics.examined(&[]);
        assert!(lines(&registry, &format!("{name}{{")).is_empty());
    }
}
