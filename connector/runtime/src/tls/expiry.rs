//! When certificates expire, as a metric.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{ClientIdentity, ServerIdentity};

/// The end of the certificate in use, in whole seconds. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct NotAfter(Arc<AtomicU64>);

impl NotAfter {
    pub(super) fn new(time: SystemTime) -> Self {
        Self(Arc::new(AtomicU64::new(seconds(time))))
    }

    pub(super) fn set(&self, time: SystemTime) {
        self.0.store(seconds(time), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Registers `tls_not_after_timestamp_seconds{certificate}` for a process's certificates; `certificate` is the section
/// of the configuration: the server's is `tls`, the client's `connector_tls`.
pub fn register(
    registry: &mut Registry,
    server: Option<&ServerIdentity>,
    client: Option<&ClientIdentity>,
) {
    let server = server.map(|identity| ("tls", identity.expiry()));
    let client = client.map(|identity| ("connector_tls", identity.expiry()));
    let certificates: Vec<_> = server.into_iter().chain(client).collect();
    if !certificates.is_empty() {
        registry.register_collector(Box::new(Expiries(certificates)));
    }
}

#[derive(Debug)]
struct Expiries(Vec<(&'static str, NotAfter)>);

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "tls_not_after_timestamp_seconds",
            "When the certificate in use expires",
            None,
            MetricType::Gauge,
        )?;
        for (certificate, not_after) in &self.0 {
            let seconds = i64::try_from(seconds(not_after.get())).unwrap_or(i64::MAX);
            let labels = [("certificate", *certificate)];
            ConstGauge::new(seconds).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
