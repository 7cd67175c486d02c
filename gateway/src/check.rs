//! `check`: is the configuration right, and does every connector and its identity provider answer as they should?

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dcr_contract::Connector;
use dcr_contract::model::{ConnectorInfo, Deadline, Severity};
use dcr_runtime::config::Problem;
use dcr_runtime::tls::ClientIdentity;
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::config::{Config, Loaded, ProviderConfig, Sink, load_dir};
use crate::providers;

/// For each question to a connector.
const PATIENCE: Duration = Duration::from_secs(15);
/// What ends within this is worth a warning.
const SOON: Duration = Duration::from_hours(336);

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whom it is about; `-` for the gateway itself.
    pub provider: String,
    /// How bad it is.
    pub severity: Severity,
    /// A stable name, UPPER_SNAKE.
    pub code: String,
    /// What was found, and what to do.
    pub sentence: String,
}

/// What was found, displayed as a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Row>);

impl Findings {
    /// Whether something is wrong; warnings are not.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|row| row.severity == Severity::Error)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |title: &str, cell: fn(&Row) -> &str| {
            self.0
                .iter()
                .map(|row| cell(row).len())
                .chain([title.len()])
                .max()
                .unwrap_or_default()
        };
        let provider = width("PROVIDER", |row| &row.provider);
        let code = width("CODE", |row| &row.code);
        write!(
            f,
            "{:provider$}  {:8}  {:code$}  FINDING",
            "PROVIDER", "SEVERITY", "CODE"
        )?;
        for row in &self.0 {
            let severity = severity(row.severity);
            write!(
                f,
                "\n{:provider$}  {severity:8}  {:code$}  {}",
                row.provider, row.code, row.sentence
            )?;
        }
        Ok(())
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Examines the configuration in a directory: every mistake in it, its keys, and (all at once) its connectors and their identity
/// providers.
pub async fn check(dir: &Path) -> Findings {
    let row = |severity, code: &str, sentence: String| Row {
        provider: "-".to_owned(),
        severity,
        code: code.to_owned(),
        sentence,
    };
    let mistake = |problem: &Problem| row(Severity::Error, "CONFIGURATION", problem.to_string());
    let oddity = |problem: &Problem| row(Severity::Warning, "CONFIGURATION", problem.to_string());
    let Loaded {
        config,
        held_up,
        warnings,
        ..
    } = match load_dir(dir) {
        Ok(loaded) => loaded,
        Err(problems) => return Findings(problems.iter().map(mistake).collect()),
    };
    let mut rows: Vec<Row> = held_up.values().flatten().map(mistake).collect();
    rows.extend(warnings.iter().map(oddity));
    let here = here(&config, SystemTime::now());
    rows.extend(here.map(|(severity, code, sentence)| row(severity, code, sentence)));
    let Config {
        providers,
        connector_tls,
        ..
    } = config;
    if providers.is_empty() {
        let sentence = if held_up.is_empty() {
            "no provider is served: add its file to providers.d/"
        } else {
            "no provider is served: correct what is said above"
        };
        rows.push(row(Severity::Error, "NO_PROVIDER", sentence.to_owned()));
    }
    let mut asked: JoinSet<(usize, Vec<Row>)> = JoinSet::new();
    for (number, provider) in providers.into_iter().enumerate() {
        let identity = connector_tls.clone();
        asked.spawn(async move { (number, examine(&provider, identity.as_ref()).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    rows.extend(answers.into_iter().flat_map(|(_, rows)| rows));
    Findings(rows)
}

async fn examine(provider: &ProviderConfig, identity: Option<&Arc<ClientIdentity>>) -> Vec<Row> {
    let row = |severity, code: &str, sentence: String| Row {
        provider: provider.id.to_string(),
        severity,
        code: code.to_owned(),
        sentence,
    };
    let mut rows = Vec::new();
    if let Some((severity, sentence)) = keys(provider, Timestamp::now()) {
        rows.push(row(severity, "API_KEYS", sentence));
    }
    if let Some(directory) = &provider.record
        && !directory.is_dir()
    {
        let sentence = format!(
            "record.directory {} is no directory: make it, or nothing is recorded",
            directory.display()
        );
        rows.push(row(Severity::Error, "RECORD", sentence));
    }
    let connector = match providers::connector(provider, identity) {
        Ok(connector) => connector,
        Err(malformed) => {
            let sentence = format!("the address {} {malformed}", provider.connector);
            rows.push(row(Severity::Error, "CONNECTOR_ADDRESS", sentence));
            return rows;
        }
    };
    match connector.describe(Deadline::after(PATIENCE)).await {
        Ok(info) => rows.push(row(Severity::Ok, "CONNECTOR", described(&info))),
        Err(fault) => {
            let sentence = format!(
                "{} does not answer as a connector does; start it, or correct `connector`: {fault}",
                provider.connector
            );
            rows.push(row(Severity::Error, "CONNECTOR", sentence));
            return rows;
        }
    }
    match connector.check(Deadline::after(PATIENCE)).await {
        Ok(findings) => rows.extend(findings.into_iter().map(|finding| {
            row(
                finding.severity,
                &finding.code,
                finding.sentence.to_string(),
            )
        })),
        Err(fault) => {
            let sentence =
                format!("the connector could not examine its identity provider: {fault}");
            rows.push(row(Severity::Error, "IDENTITY_PROVIDER", sentence));
        }
    }
    rows
}

fn described(info: &ConnectorInfo) -> String {
    let secrets = match info.max_secrets {
        Some(1) => {
            "one secret a client: leave allow_multiple_credentials off in Konnect".to_owned()
        }
        Some(most) => format!(
            "up to {most} secrets a client: allow_multiple_credentials may be on in Konnect"
        ),
        None => "the most secrets of a client are not known".to_owned(),
    };
    format!("{} {} answers; {secrets}", info.name, info.version)
}

/// What is wrong, or will be soon, with what `gateway.yaml` names on this machine.
fn here(
    config: &Config,
    now: SystemTime,
) -> impl Iterator<Item = (Severity, &'static str, String)> + use<> {
    let ends = |section, identity: Option<SystemTime>| {
        let end = identity.filter(|end| *end < now + SOON)?;
        let end = Timestamp::try_from(end).ok()?;
        let sentence = format!("the certificate of `{section}` ends at {end}: renew it");
        Some((Severity::Warning, "CERTIFICATE", sentence))
    };
    let audit = match &config.audit {
        Some(Sink::File(file)) => Some(file).filter(|file| {
            let directory = file.parent().unwrap_or(Path::new(""));
            file.is_dir() || !Path::new(".").join(directory).is_dir()
        }),
        Some(Sink::Stdout) | None => None,
    };
    let audit = audit.map(|file| {
        let sentence = format!(
            "audit.file {} cannot be written: make the directory that it is to be in; without it the gateway does not start",
            file.display()
        );
        (Severity::Error, "AUDIT", sentence)
    });
    let tls = config.tls.as_ref().map(|tls| tls.not_after());
    let connector_tls = config.connector_tls.as_ref().map(|tls| tls.not_after());
    let certificates = [ends("tls", tls), ends("connector_tls", connector_tls)];
    audit.into_iter().chain(certificates.into_iter().flatten())
}

/// Whether keys have ended, or do so soon.
fn keys(provider: &ProviderConfig, now: Timestamp) -> Option<(Severity, String)> {
    let ended = |at: Timestamp| {
        let keys = provider.api_keys.iter();
        keys.filter(|key| key.is_expired(at)).count()
    };
    let soon = now.checked_add(SOON).unwrap_or(now);
    let all = provider.api_keys.len();
    let (severity, what) = match (ended(now), ended(soon)) {
        (now, _) if now == all => (Severity::Error, "every API key has expired".to_owned()),
        (_, soon) if soon == all => {
            let what = "every API key will have expired within 14 days";
            (Severity::Warning, what.to_owned())
        }
        (0, 0) => return None,
        (0, soon) => {
            let what = format!("{soon} of {all} API keys will have expired within 14 days");
            (Severity::Warning, what)
        }
        (now, _) => {
            let what = format!("{now} of {all} API keys have expired: take them out");
            return Some((Severity::Warning, what));
        }
    };
    let sentence = format!("{what}; make another with `dcr-gateway new-key`");
    Some((severity, sentence))
}

#[cfg(test)]
mod tests {
    use dcr_contract::ConnectorAddress;
    use dcr_contract::model::ProviderId;

    use super::*;
    use crate::keys::{ApiKey, KeyHash};
    use crate::providers::ProviderPath;

    fn provider(expiries: &[Option<&str>]) -> ProviderConfig {
        let key = |end: Option<&str>| ApiKey {
            hash: KeyHash::of(b"some_key_0123456789"),
            expires_at: end.map(|end| end.parse().unwrap()),
        };
        let mut provider = ProviderConfig::new(
            ProviderId::parse("okta").unwrap(),
            ProviderPath::parse("okta").unwrap(),
            // Nobody listens on the discard port.
            ConnectorAddress::parse("http://127.0.0.1:9").unwrap(),
        );
        provider.api_keys = expiries.iter().copied().map(key).collect();
        provider
    }

    #[test]
    fn keys_that_end_are_told_in_time() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let told = |expiries: &[_]| keys(&provider(expiries), now);
        let (ended, soon, late) = (
            Some("2025-12-31T00:00:00Z"),
            Some("2026-01-10T00:00:00Z"),
            Some("2026-02-01T00:00:00Z"),
        );
        assert_eq!(told(&[None]), None);
        assert_eq!(told(&[late, None]), None);
        for (expiries, severity, beginning) in [
            (&[ended][..], Severity::Error, "every API key has expired"),
            (&[soon, ended], Severity::Warning, "every API key will"),
            (&[soon, late], Severity::Warning, "1 of 2 API keys will"),
            (&[ended, late], Severity::Warning, "1 of 2 API keys have"),
        ] {
            let (found, sentence) = told(expiries).unwrap();
            assert_eq!(found, severity, "{sentence}");
            assert!(sentence.starts_with(beginning), "{sentence}");
        }
    }

    #[tokio::test]
    async fn a_connector_that_does_not_answer_is_an_error() {
        let rows = examine(&provider(&[None]), None).await;
        let [row] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        assert_eq!(
            (row.severity, row.code.as_str()),
            (Severity::Error, "CONNECTOR")
        );
        assert!(Findings(rows).has_errors());
    }

    #[test]
    fn the_table_is_aligned() {
        let row = |provider: &str, severity, code: &str| Row {
            provider: provider.to_owned(),
            severity,
            code: code.to_owned(),
            sentence: "text".to_owned(),
        };
        let findings = Findings(vec![
            row("a-long-provider", Severity::Ok, "A"),
            row("b", Severity::Warning, "B_LONG"),
        ]);
        assert_eq!(
            findings.to_string(),
            "PROVIDER         SEVERITY  CODE    FINDING\n\
             a-long-provider  ok        A       text\n\
             b                warning   B_LONG  text"
        );
        assert!(!findings.has_errors());
    }
}
