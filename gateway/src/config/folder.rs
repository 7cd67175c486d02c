//! A directory of configuration as it is at one moment, each file judged alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use dcr_runtime::config::{Problem, Problems};

use super::{Config, ProviderConfig, provider};

/// What stands in the directory beside `gateway.yaml`.
pub(super) struct Folder {
    /// The files of `providers.d/`; `None` when it is not there.
    pub(super) providers: Result<Option<Read>, Problems>,
    /// Files that nobody reads although they look as if somebody should.
    pub(super) ignored: Problems,
}

type Read = BTreeMap<PathBuf, Result<ProviderConfig, Problems>>;

impl Folder {
    /// `known` is the configuration that the process was or is to be started with, which says what it can do; where it
    /// cannot be read, nobody else is blamed for it.
    pub(super) fn read(dir: &Path, known: Option<&Config>) -> Self {
        let mut ignored = Problems::in_file(dir);
        let has_connector_tls = known.is_none_or(|config| config.connector_tls.is_some());
        let providers = providers(&providers_dir(dir), has_connector_tls, &mut ignored);
        misplaced(dir, &mut ignored);
        Self { providers, ignored }
    }
}

pub(super) fn gateway_file(dir: &Path) -> PathBuf {
    dir.join("gateway.yaml")
}

pub(super) fn providers_dir(dir: &Path) -> PathBuf {
    dir.join("providers.d")
}

fn providers(
    dir: &Path,
    has_connector_tls: bool,
    ignored: &mut Problems,
) -> Result<Option<Read>, Problems> {
    let entries = match entries(dir) {
        Ok(entries) => entries,
        // A gateway may be there before its first provider is.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let mut problems = Problems::in_file(dir);
            let advice = "make it a directory that the gateway may read";
            problems.anywhere("", format!("cannot be listed ({error}); {advice}"));
            return Err(problems);
        }
    };
    let (yaml, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|file| is_yaml(file));
    for file in others.into_iter().filter(|file| looks_meant(file)) {
        let sentence = "is not read: only files whose names end in .yaml are; rename it, or begin its name with a dot";
        ignored.push(whole(file, sentence));
    }
    Ok(Some(
        yaml.into_iter()
            .map(|file| (file.clone(), provider::provider(&file, has_connector_tls)))
            .collect(),
    ))
}

/// Files beside `gateway.yaml` that have no meaning there.
fn misplaced(dir: &Path, ignored: &mut Problems) {
    // Where it cannot be listed, `gateway.yaml` cannot be read either, which is told.
    for file in entries(dir).unwrap_or_default() {
        let extension = file.extension().unwrap_or_default();
        let yaml = extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml");
        if yaml && file != gateway_file(dir) {
            let sentence = "is not read: here only gateway.yaml is; a provider's file belongs into providers.d/";
            ignored.push(whole(file, sentence));
        }
    }
}

fn whole(file: PathBuf, sentence: &str) -> Problem {
    Problem {
        file,
        line: None,
        path: String::new(),
        sentence: sentence.to_owned(),
    }
}

/// What stands in a directory, by name. What begins with a dot is left out: editors' files and Kubernetes' own.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".")
    });
    entries.sort();
    Ok(entries)
}

fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "yaml")
}

/// Whether somebody may have thought that this is read: no name of another kind, as a note's or a backup's.
fn looks_meant(file: &Path) -> bool {
    file.extension().is_none_or(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|e| extension.eq_ignore_ascii_case(e))
    })
}
