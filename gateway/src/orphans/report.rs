//! What was found, as a table and as JSON.

use std::fmt::{self, Write as _};

use dcr_contract::model::{ManagedClient, ProviderId, Sentence};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::compare::{Candidates, SetApart};
use super::konnect::Application;
use crate::config::Konnect;

/// All that was found. Displayed as a table, with a line for each provider below.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) providers: Vec<ProviderReport>,
    /// What is wrong with the files of providers that could not be compared.
    pub(super) held_up: Vec<String>,
}

/// One provider.
#[derive(Debug)]
pub(super) struct ProviderReport {
    pub(super) provider: ProviderId,
    pub(super) konnect: Option<Konnect>,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Compared(Comparison),
    /// Its file does not say what to compare with.
    NotConfigured,
    /// A list failed or is not whole.
    Unclear(String),
}

/// Two whole lists, compared.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    clients: usize,
    applications: usize,
    set_apart: SetApart,
    findings: Vec<Finding>,
}

/// A client without an application, or an application without a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    kind: Kind,
    client_id: Option<String>,
    operation_id: Option<String>,
    /// When the client was made, or the application.
    created_at: Option<Timestamp>,
    application_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A client that no application has.
    Orphan,
    /// An application whose client is gone.
    ClientGone,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::ClientGone => "client_gone",
        }
    }
}

impl Finding {
    fn orphan(client: &ManagedClient) -> Self {
        let by_mark = || Timestamp::now().checked_sub(client.operation_id.age()).ok();
        Self {
            kind: Kind::Orphan,
            client_id: Some(client.client_id.to_string()),
            operation_id: Some(client.operation_id.to_string()),
            created_at: client.created_at.or_else(by_mark),
            application_id: None,
        }
    }

    fn client_gone(application: &Application) -> Self {
        let clean = |text: &str| Sentence::new(text).to_string();
        Self {
            kind: Kind::ClientGone,
            client_id: application.client_id.as_deref().map(clean),
            operation_id: None,
            created_at: application.created_at,
            application_id: Some(clean(&application.id)),
        }
    }

    fn cells(&self, provider: &ProviderId) -> [String; 6] {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let created = self
            .created_at
            .map(|time| time.round(jiff::Unit::Second).unwrap_or(time));
        [
            provider.to_string(),
            self.kind.name().to_owned(),
            or_dash(&self.client_id),
            or_dash(&self.operation_id),
            or_dash(&created.map(|time| time.to_string())),
            or_dash(&self.application_id),
        ]
    }
}

impl Comparison {
    pub(super) fn of(found: &Candidates) -> Self {
        let orphans = found.orphans.iter().map(Finding::orphan);
        let gone = found.gone.iter().map(Finding::client_gone);
        Self {
            findings: orphans.chain(gone).collect(),
            clients: found.clients,
            applications: found.applications,
            set_apart: found.set_apart,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            clients,
            applications,
            findings,
            set_apart,
        } = self;
        let count = |kind| {
            findings
                .iter()
                .filter(|finding| finding.kind == kind)
                .count()
        };
        write!(
            f,
            "clients {clients}, applications {applications}: orphan {}, client_gone {}",
            count(Kind::Orphan),
            count(Kind::ClientGone),
        )?;
        let SetApart {
            probes,
            young,
            not_admitted,
            of_other_providers,
        } = *set_apart;
        write!(
            f,
            "; set apart: clients of Verify {probes}, clients younger than 15 minutes {young}, applications with a \
             client that was never admitted {not_admitted}, or of another provider {of_other_providers}"
        )
    }
}

impl ProviderReport {
    fn findings(&self) -> &[Finding] {
        match &self.outcome {
            Outcome::Compared(comparison) => &comparison.findings,
            Outcome::NotConfigured | Outcome::Unclear(_) => &[],
        }
    }

    /// Why it was not compared, and what to do.
    fn why_not(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Compared(_) => None,
            Outcome::NotConfigured => Some(
                "not compared: its file does not say with what; add `konnect: {api: https://REGION.api.konghq.com, \
                 portals: [ID, …], dcr_providers: [ID]}`, with every portal whose applications use the provider"
                    .to_owned(),
            ),
            Outcome::Unclear(sentence) => Some(format!("not compared, nobody is accused: {sentence}")),
        }
    }

    fn json(&self) -> Value {
        let compared_with = self.konnect.as_ref().map(|konnect| {
            let texts =
                |ids: &[uuid::Uuid]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            json!({
                "api": konnect.api.to_string(),
                "portals": texts(&konnect.portals),
                "dcr_providers": texts(&konnect.dcr_providers),
            })
        });
        let comparison = match &self.outcome {
            Outcome::Compared(comparison) => Some(comparison),
            Outcome::NotConfigured | Outcome::Unclear(_) => None,
        };
        json!({
            "provider": self.provider.as_str(),
            "compared_with": compared_with,
            "comparison": comparison,
            "why_not": self.why_not(),
        })
    }
}

impl Report {
    /// Whether somebody is without the other.
    pub(crate) fn has_findings(&self) -> bool {
        self.providers
            .iter()
            .any(|provider| !provider.findings().is_empty())
    }

    /// Whether every provider was compared.
    pub(crate) fn is_whole(&self) -> bool {
        self.held_up.is_empty()
            && self
                .providers
                .iter()
                .all(|provider| provider.why_not().is_none())
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Value {
        let providers: Vec<_> = self.providers.iter().map(ProviderReport::json).collect();
        json!({ "providers": providers, "held_up": self.held_up })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = [
            "PROVIDER",
            "KIND",
            "CLIENT",
            "OPERATION",
            "CREATED",
            "APPLICATION",
        ];
        let mut rows = vec![title.map(str::to_owned)];
        for provider in &self.providers {
            rows.extend(
                provider
                    .findings()
                    .iter()
                    .map(|finding| finding.cells(&provider.provider)),
            );
        }
        if rows.len() > 1 {
            let widths: [usize; 6] = std::array::from_fn(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
            });
            for row in &rows {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(widths) {
                    let _ = write!(line, "{cell:width$}  ");
                }
                writeln!(f, "{}", line.trim_end())?;
            }
            writeln!(f)?;
        }
        for (number, provider) in self.providers.iter().enumerate() {
            let newline = if number > 0 { "\n" } else { "" };
            write!(f, "{newline}{}: ", provider.provider)?;
            match (&provider.outcome, provider.why_not()) {
                (Outcome::Compared(comparison), _) => write!(f, "{comparison}")?,
                (_, why_not) => f.write_str(&why_not.unwrap_or_default())?,
            }
        }
        for problem in &self.held_up {
            write!(f, "\nnot compared: {problem}")?;
        }
        Ok(())
    }
}
