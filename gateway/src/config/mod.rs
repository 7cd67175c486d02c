//! The gateway's configuration: `gateway.yaml`, and one file for each provider in `providers.d/`.
//!
//! Each provider's file is judged alone: one team's mistake never holds up another's provider. Where two files claim
//! the same id, path or key, the first by name has it.

mod claims;
mod gateway;
mod provider;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dcr_contract::ConnectorAddress;
use dcr_contract::model::{Installation, Malformed, ProviderId};
use dcr_runtime::config::{Located, Problems};
use jiff::Timestamp;

use self::claims::Claims;
use crate::keys::ApiKey;
use crate::providers::ProviderPath;

/// What the gateway needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of this installation of the bridge: part of every mark, so it may never change.
    pub installation: Installation,
    /// Where Konnect is served.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub probe_listen: SocketAddr,
    /// The providers, by file name.
    pub providers: Vec<ProviderConfig>,
}

/// One DCR provider as configured in Konnect.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name: part of every mark, so it may never change.
    pub id: ProviderId,
    /// The path of its base URL.
    pub path: ProviderPath,
    /// The connector that serves it.
    pub connector: ConnectorAddress,
    /// The keys that open it.
    pub api_keys: Vec<ApiKey>,
}

/// A configuration, and the mistakes that hold up single providers.
#[derive(Debug)]
pub struct Loaded {
    /// The usable part.
    pub config: Config,
    /// What is wrong with the providers that are not in it.
    pub held_up: Problems,
}

/// Reads `gateway.yaml` and `providers.d/*.yaml` in a directory.
///
/// # Errors
/// Every mistake in `gateway.yaml`, or why `providers.d` cannot be listed. Mistakes in providers' files are in
/// [`Loaded::held_up`].
pub fn load_dir(dir: &Path) -> Result<Loaded, Problems> {
    let mut config = gateway::gateway(&dir.join("gateway.yaml"))?;
    let providers_dir = dir.join("providers.d");
    let mut held_up = Problems::in_file(&providers_dir);
    let mut claims = Claims::default();
    for file in yaml_files(&providers_dir)? {
        match provider::provider(&file).and_then(|provider| claims.admit(&file, provider)) {
            Ok(provider) => config.providers.push(provider),
            Err(problems) => held_up.append(problems),
        }
    }
    Ok(Loaded { config, held_up })
}

fn yaml_files(dir: &Path) -> Result<Vec<PathBuf>, Problems> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // A gateway may be there before its first provider is.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let mut problems = Problems::in_file(dir);
            let advice = "make it a directory that the gateway may read";
            problems.anywhere("", format!("cannot be listed ({error}); {advice}"));
            return Err(problems);
        }
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    Ok(files)
}

fn required<T>(
    value: Option<Located<String>>,
    path: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Option<T> {
    if let Some(value) = value {
        return parsed(&value, path, problems, parse);
    }
    problems.anywhere(path, "must be given");
    None
}

fn parsed<T>(
    value: &Located<String>,
    path: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Option<T> {
    parse(&value.value)
        .map_err(|malformed| problems.at(value, path, malformed.to_string()))
        .ok()
}

fn address(text: &str) -> Result<SocketAddr, Malformed> {
    text.parse()
        .map_err(|_| Malformed::new("must be an IP address and a port, as 0.0.0.0:8080"))
}

fn time(text: &str) -> Result<Timestamp, Malformed> {
    text.parse()
        .map_err(|_| Malformed::new("must be a time, as 2027-01-01T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const GATEWAY: &str = "installation: test\nlisten: 127.0.0.1:0\nprobe_listen: 0.0.0.0:0\n";

    /// A directory that is gone when dropped.
    struct Dir(PathBuf);

    impl Dir {
        fn new(gateway: &str, providers: &[(&str, &str)]) -> Self {
            let unique = dcr_contract::model::OperationId::generate();
            let dir = std::env::temp_dir().join(format!("dcr-gateway-{unique}"));
            fs::create_dir_all(dir.join("providers.d")).unwrap();
            fs::write(dir.join("gateway.yaml"), gateway).unwrap();
            for (name, text) in providers {
                fs::write(dir.join("providers.d").join(name), text).unwrap();
            }
            Self(dir)
        }

        fn load(&self) -> Result<Loaded, Problems> {
            load_dir(&self.0)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn provider(id: &str, path: &str, key: u8) -> String {
        let hash = HASH.replace("ba78", &format!("{key:04x}"));
        format!(
            "id: {id}\npath: {path}\nconnector: http://127.0.0.1:9000\napi_keys:\n- hash: {hash}\n"
        )
    }

    fn found(problems: &Problems) -> Vec<(String, Option<u64>, String)> {
        let file = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
        problems
            .iter()
            .map(|p| (file(&p.file), p.line, p.path.clone()))
            .collect()
    }

    #[test]
    fn a_directory_is_read_whole() {
        let mut keycloak = provider("keycloak", "v1/keycloak", 1);
        keycloak += "  expires_at: 2027-01-01T00:00:00Z\n";
        let dir = Dir::new(
            GATEWAY,
            &[
                ("a.yaml", &keycloak),
                ("b.yaml", &provider("okta", "okta", 2)),
                ("notes.txt", "?"),
            ],
        );
        let loaded = dir.load().unwrap();
        assert!(loaded.held_up.is_empty(), "{}", loaded.held_up);
        let [first, second] = loaded.config.providers.as_slice() else {
            panic!()
        };
        assert_eq!(loaded.config.installation.as_str(), "test");
        assert_eq!(first.path.to_string(), "v1/keycloak");
        assert_eq!(
            first.api_keys[0].expires_at,
            "2027-01-01T00:00:00Z".parse().ok()
        );
        assert_eq!(second.id.as_str(), "okta");
        assert_eq!(second.api_keys[0].expires_at, None);
    }

    #[test]
    fn a_gateway_without_providers_is_legal() {
        let dir = Dir::new(GATEWAY, &[]);
        fs::remove_dir(dir.0.join("providers.d")).unwrap();
        assert!(dir.load().unwrap().config.providers.is_empty());
    }

    #[test]
    fn every_mistake_of_the_gateways_file_is_told_with_its_line() {
        let dir = Dir::new("installation: A\nlisten: nowhere\n", &[]);
        let problems = dir.load().unwrap_err();
        let file = || "gateway.yaml".to_owned();
        assert_eq!(
            found(&problems),
            [
                (file(), Some(1), "installation".to_owned()),
                (file(), Some(2), "listen".to_owned()),
                (file(), None, "probe_listen".to_owned()),
            ]
        );
        assert!(
            Dir::new(&format!("{GATEWAY}surprise: 1\n"), &[])
                .load()
                .is_err()
        );
        assert!(load_dir(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn one_providers_mistakes_hold_up_no_other() {
        let bad = "id: X\npath: /x\nconnector: nowhere\napi_keys:\n- hash: planted\n  expires_at: soon\n- {}\n";
        let keyless = provider("k", "k", 4);
        let keyless = keyless
            .split("- hash")
            .next()
            .unwrap()
            .replace("api_keys:", "api_keys: []");
        let dir = Dir::new(
            GATEWAY,
            &[
                ("bad.yaml", bad),
                ("empty.yaml", ""),
                ("keyless.yaml", &keyless),
                ("good.yaml", &provider("okta", "okta", 2)),
                (
                    "unknown.yaml",
                    &format!("{}surprise: 1\n", provider("a", "a", 3)),
                ),
            ],
        );
        let loaded = dir.load().unwrap();
        assert_eq!(loaded.config.providers.len(), 1);
        let problems = found(&loaded.held_up);
        let expected = [
            (Some(1), "id"),
            (Some(2), "path"),
            (Some(3), "connector"),
            (Some(5), "api_keys[0].hash"),
            (Some(6), "api_keys[0].expires_at"),
            (None, "api_keys[1].hash"),
        ];
        for (line, path) in expected {
            let problem = ("bad.yaml".to_owned(), line, path.to_owned());
            assert!(
                problems.contains(&problem),
                "{problem:?} is not in {problems:?}"
            );
        }
        assert!(problems.contains(&("keyless.yaml".to_owned(), None, "api_keys".to_owned())));
        for file in ["empty.yaml", "unknown.yaml"] {
            assert!(problems.iter().any(|(f, ..)| f == file), "{problems:?}");
        }
        assert!(!loaded.held_up.to_string().contains("planted"));
    }

    #[test]
    fn what_two_files_claim_stays_with_the_first_and_both_are_named() {
        let dir = Dir::new(
            GATEWAY,
            &[
                ("a.yaml", &provider("one", "one", 1)),
                ("b.yaml", &provider("one", "two", 2)),
                ("c.yaml", &provider("three", "one", 3)),
                ("d.yaml", &provider("four", "four", 1)),
                ("e.yaml", &provider("two", "two", 5)),
            ],
        );
        let loaded = dir.load().unwrap();
        let ids: Vec<_> = loaded
            .config
            .providers
            .iter()
            .map(|p| p.id.as_str())
            .collect();
        assert_eq!(ids, ["one", "two"]);
        let member = |file: &str, path: &str| (file.to_owned(), None, path.to_owned());
        assert_eq!(
            found(&loaded.held_up),
            [
                member("b.yaml", "id"),
                member("c.yaml", "path"),
                member("d.yaml", "api_keys[0].hash"),
            ]
        );
        assert!(loaded.held_up.iter().all(|p| p.sentence.contains("a.yaml")));
    }

    #[test]
    fn plain_text_beyond_this_machine_must_be_asked_for() {
        let open = GATEWAY.replace("127.0.0.1:0", "0.0.0.0:0");
        let problems = Dir::new(&open, &[]).load().unwrap_err();
        assert_eq!(
            found(&problems),
            [("gateway.yaml".to_owned(), Some(2), "listen".to_owned())]
        );
        assert!(
            Dir::new(&format!("{open}insecure_plaintext: true\n"), &[])
                .load()
                .is_ok()
        );

        let remote = provider("a", "a", 1).replace("127.0.0.1", "connector");
        let asked = provider("b", "b", 2).replace("127.0.0.1", "connector");
        let asked = format!("{asked}insecure_plaintext: true\n");
        let loaded = Dir::new(GATEWAY, &[("a.yaml", &remote), ("b.yaml", &asked)])
            .load()
            .unwrap();
        assert_eq!(loaded.config.providers.len(), 1);
        assert_eq!(
            found(&loaded.held_up),
            [("a.yaml".to_owned(), Some(3), "connector".to_owned())]
        );
    }
}
