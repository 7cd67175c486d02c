//! What a process counts of its configuration's changes.

use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The part of a configuration that is neither certificate nor key.
pub const CONFIGURATION: &str = "configuration";

/// `config_reloads_total{part,outcome}` and `config_last_reload_timestamp_seconds`. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Reloads {
    reloads: Family<Labels, Counter>,
    read_at: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    part: &'static str,
    outcome: &'static str,
}

impl Reloads {
    /// Metrics that show in a registry with our prefix. The configuration was read for the first time just now.
    pub fn new(registry: &mut Registry) -> Self {
        let new = Self {
            reloads: Family::default(),
            read_at: Gauge::default(),
        };
        registry.register(
            "config_reloads",
            "Changes of the configuration and of certificates that were read, by what came of them: ok, refused, or held_up when files of providers are",
            new.reloads.clone(),
        );
        registry.register(
            "config_last_reload_timestamp_seconds",
            "When the configuration was last read",
            new.read_at.clone(),
        );
        new.read_now();
        new
    }

    /// A part was read again: [`CONFIGURATION`], or the section that names a certificate. `outcome` is one of a few
    /// words.
    pub fn count(&self, part: &'static str, outcome: &'static str) {
        let labels = Labels { part, outcome };
        self.reloads.get_or_create(&labels).inc();
        if part == CONFIGURATION {
            self.read_now();
        }
    }

    fn read_now(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        self.read_at.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
