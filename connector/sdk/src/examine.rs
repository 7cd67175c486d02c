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
const PAUSE: Duration = Duration::from_mins(1);
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

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::managed::Imported;
    use crate::managed::tests::scripted::Scripted;

    #[tokio::test(start_paused = true)]
    async fn the_idp_is_examined_about_once_a_minute_until_the_process_stops() {
        let (idp, shutdown) = (Scripted::new(true), Shutdown::new());
        let connector = Managed::new(idp.clone(), Imported::default(), &shutdown);
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry, "scripted", "1"));
        let shown = |code: &str| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text.contains(&format!(r#"dcr_idp_check{{code="{code}""#))
        };
        let found = |code: &str| vec![Finding::new(Severity::Warning, code, "So it is.")];

        idp.table().findings = found("BEFORE");
        regularly(Arc::new(connector), metrics, &shutdown);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(shown("BEFORE"));
        idp.table().findings = found("AFTER");
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!(idp.table().checks, 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(idp.table().checks, 2);
        assert!(shown("AFTER") && !shown("BEFORE"));

        tokio::time::sleep(Duration::from_mins(10)).await;
        let checks = idp.table().checks;
        assert!((12..=14).contains(&checks), "{checks}");
        shutdown.drain(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(idp.table().checks, checks);
    }
}
