//! One provider's file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dcr_contract::ConnectorAddress;
use dcr_contract::model::{Malformed, ProviderId};
use dcr_runtime::config::{Located, Problems, load};
use dcr_runtime::tls::PeerIdentity;
use serde::Deserialize;

use super::limits::{Brake, LimitMembers, PerSecond};
use super::{ProviderConfig, konnect, parsed, required, time};
use crate::keys::{ApiKey, KeyHash};
use crate::providers::ProviderPath;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    id: Option<Located<String>>,
    path: Option<Located<String>>,
    connector: Option<Located<String>>,
    connector_identity: Option<Located<String>>,
    #[serde(default)]
    insecure_plaintext: bool,
    #[serde(default)]
    api_keys: Vec<KeyEntry>,
    rate_limit: Option<PerSecond>,
    alarm_per_hour: Option<u32>,
    brake: Option<Brake>,
    organizations: Option<Vec<Located<String>>>,
    record: Option<Record>,
    konnect: Option<konnect::Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    directory: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    hash: Option<Located<String>>,
    expires_at: Option<Located<String>>,
}

/// Reads one file and judges it alone, beside whether the gateway has a certificate to show to connectors.
pub(super) fn provider(file: &Path, has_connector_tls: bool) -> Result<ProviderConfig, Problems> {
    let read: ProviderFile = load(file)?;
    let mut problems = Problems::in_file(file);
    let id = required(read.id.clone(), "id", &mut problems, ProviderId::parse);
    if let (Some(id), Some(written)) = (&id, &read.id)
        && file.file_stem() != Some(OsStr::new(id.as_str()))
    {
        // So no file can take another's provider, whoever is read first.
        let sentence =
            format!("must be the file's name: rename the file to {id}.yaml, or change the id");
        problems.at(written, "id", sentence);
    }
    let path = match read.path {
        Some(written) => path(&written, id.as_ref(), &mut problems),
        None => id.as_ref().map(ProviderPath::of),
    };
    let connector = required(
        read.connector.clone(),
        "connector",
        &mut problems,
        ConnectorAddress::parse,
    );
    if let (Some(connector), Some(written)) = (&connector, &read.connector)
        && !connector.is_tls()
        && !connector.is_loopback()
        && !read.insecure_plaintext
    {
        let sentence = "sends clients' secrets to another machine in plain text, which anyone between can read: use \
            https://, or say `insecure_plaintext: true` if the network between is trusted";
        problems.at(written, "connector", sentence);
    }
    let connector_identity = match &connector {
        Some(connector) if connector.is_tls() => required(
            read.connector_identity,
            "connector_identity",
            &mut problems,
            identity,
        ),
        _ => {
            if let Some(written) = &read.connector_identity {
                let sentence = "has a meaning only where `connector` begins with https://";
                problems.at(written, "connector_identity", sentence);
            }
            None
        }
    };
    if let (Some(_), Some(written)) = (&connector_identity, &read.connector)
        && !has_connector_tls
    {
        let sentence = "is to be reached over TLS, for which the gateway has no `connector_tls`; add it to gateway.yaml and restart";
        problems.at(written, "connector", sentence);
    }
    if read.api_keys.is_empty() {
        problems.anywhere(
            "api_keys",
            "must hold at least one key; `dcr-gateway new-key` makes one",
        );
    }
    let mut api_keys: Vec<ApiKey> = Vec::new();
    for (n, entry) in read.api_keys.into_iter().enumerate() {
        let member = |name| format!("api_keys[{n}].{name}");
        let written = entry.hash.clone();
        let hash = required(entry.hash, &member("hash"), &mut problems, KeyHash::parse);
        let is_known = |key: &ApiKey| hash.as_ref() == Some(&key.hash);
        if let Some(written) = written.filter(|_| api_keys.iter().any(is_known)) {
            let sentence = "is in this file already; leave one of the two";
            problems.at(&written, member("hash"), sentence);
        }
        let expires_at = entry
            .expires_at
            .and_then(|written| parsed(&written, &member("expires_at"), &mut problems, time));
        api_keys.extend(hash.map(|hash| ApiKey { hash, expires_at }));
    }
    let limits = LimitMembers {
        rate_limit: read.rate_limit,
        alarm_per_hour: read.alarm_per_hour,
        brake: read.brake,
        organizations: read.organizations,
    };
    let limits = limits.judged(&mut problems);
    let konnect = read.konnect.and_then(|section| section.read(&mut problems));
    match (id, path, connector) {
        (Some(id), Some(path), Some(connector)) => problems.or(ProviderConfig {
            record: read.record.map(|record| record.directory),
            id,
            path,
            connector,
            connector_identity,
            api_keys,
            limits,
            konnect,
        }),
        _ => Err(problems),
    }
}

/// A path that no other provider's file can claim as well.
fn path(
    written: &Located<String>,
    id: Option<&ProviderId>,
    problems: &mut Problems,
) -> Option<ProviderPath> {
    let path = parsed(written, "path", problems, ProviderPath::parse)?;
    if let Some(id) = id.filter(|id| !path.is_below(id)) {
        let sentence = format!("must be {id}, or begin with {id}/: leave it out, or change it");
        problems.at(written, "path", sentence);
    }
    Some(path)
}

fn identity(text: &str) -> Result<PeerIdentity, Malformed> {
    PeerIdentity::parse(text).map_err(|error| Malformed::new(error.to_string()))
}
