//! The members about limits, of both files.

use dcr_contract::model::OpaqueId;
use dcr_runtime::config::{Located, Problems};
use serde::Deserialize;

use super::parsed;
use crate::limits::{Limits, Rate};

/// Above this a limit is none.
const MOST: u32 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PerSecond {
    per_second: Option<Located<u32>>,
    burst: Option<Located<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PerMinute {
    per_minute: Option<Located<u32>>,
    burst: Option<Located<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brake {
    deletes_per_hour: Option<u32>,
    rotations_per_hour: Option<u32>,
}

/// What a provider's file says.
pub(super) struct LimitMembers {
    pub(super) rate_limit: Option<PerSecond>,
    pub(super) alarm_per_hour: Option<u32>,
    pub(super) brake: Option<Brake>,
    pub(super) organizations: Option<Vec<Located<String>>>,
}

impl LimitMembers {
    pub(super) fn judged(self, problems: &mut Problems) -> Limits {
        let mut limits = Limits::default();
        if let Some(PerSecond { per_second, burst }) = self.rate_limit {
            let per_second = number(per_second, "rate_limit.per_second", problems);
            let burst = number(burst, "rate_limit.burst", problems);
            if let (Some(times), Some(burst)) = (per_second, burst) {
                limits.rate = Rate::per_second(times, burst);
            }
        }
        if let Some(alarm) = self.alarm_per_hour {
            limits.alarm_per_hour = alarm;
        }
        if let Some(brake) = self.brake {
            limits.deletes_per_hour = brake.deletes_per_hour;
            limits.rotations_per_hour = brake.rotations_per_hour;
        }
        limits.organizations = self
            .organizations
            .map(|written| organizations(written, problems));
        limits
    }
}

/// Failed authentications, in `gateway.yaml`.
pub(super) fn failed_authentications(written: PerMinute, problems: &mut Problems) -> Option<Rate> {
    let PerMinute { per_minute, burst } = written;
    let times = number(per_minute, "failed_authentications.per_minute", problems);
    let burst = number(burst, "failed_authentications.burst", problems);
    times
        .zip(burst)
        .map(|(times, burst)| Rate::per_minute(times, burst))
}

fn number(value: Option<Located<u32>>, path: &str, problems: &mut Problems) -> Option<u32> {
    match value {
        Some(Located { value, .. }) if (1..=MOST).contains(&value) => Some(value),
        Some(value) => {
            problems.at(&value, path, format!("must be from 1 to {MOST}"));
            None
        }
        None => {
            problems.anywhere(path, "must be given");
            None
        }
    }
}

fn organizations(written: Vec<Located<String>>, problems: &mut Problems) -> Vec<OpaqueId> {
    if written.is_empty() {
        let sentence = "must hold the id of at least one organization; leave it out to serve any";
        problems.anywhere("organizations", sentence);
    }
    let parse = |(n, id): (usize, Located<String>)| {
        parsed(
            &id,
            &format!("organizations[{n}]"),
            problems,
            OpaqueId::parse,
        )
    };
    written.into_iter().enumerate().filter_map(parse).collect()
}
