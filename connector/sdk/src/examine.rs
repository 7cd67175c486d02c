//! The examination of the IdP on a timer: what `check` prints, as metrics, and in the log when it changes.

use std::sync::Arc;
use std::time::Duration;

use dcr_runtime::{Shutdown, jittered};

use crate::Connector;
use crate::idp::Idp;
use crate::managed::Managed;
use crate::metrics::Metrics;
use crate::model::{Deadline, Finding, Severity};

/// Between the end of one examination and the next, less up to a tenth at random: replicas started together must not
/// stay together.
const PAUSE: Duration = Duration::from_secs(60);
/// For one examination.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Examines the IdP now and about once a minute, until the process stops.
pub(crate) fn regularly<I: Idp>(
    connector: Arc<Managed<I>>,
    metrics: Arc<Metrics>,
    shutdown: &Shutdown,
) {
    shutdown.spawn_until_stopping(async move {
        let mut before = Vec::new();
        loop {
            if let Ok(findings) = connector.check(Deadline::after(PATIENCE)).await {
                metrics.examined(&findings);
                tracing::debug!(findings = findings.len(), "identity provider examined");
                let now = codes(&findings);
                if now != before {
                    findings.iter().for_each(log);
                    before = now;
                }
            }
            tokio::time::sleep(jittered(PAUSE)).await;
        }
    });
}

/// Sentences may hold times and counts; a finding is the same as long as its code and severity are.
fn codes(findings: &[Finding]) -> Vec<(String, Severity)> {
    let code = |finding: &Finding| (finding.code.clone(), finding.severity);
    findings.iter().map(code).collect()
}

fn log(finding: &Finding) {
    let (code, sentence) = (&finding.code, &finding.sentence);
    match finding.severity {
        Severity::Ok => tracing::info!(code, "identity provider: {sentence}"),
        Severity::Warning => tracing::warn!(code, "identity provider: {sentence}"),
        Severity::Error => tracing::error!(code, "identity provider: {sentence}"),
    }
}
