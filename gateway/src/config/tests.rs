//! Directories of configuration, read once and again.

use std::fs;

use dcr_runtime::config::Problem;

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

    /// Writes a provider's file, or removes it.
    fn put(&self, name: &str, text: Option<&str>) {
        let file = self.0.join("providers.d").join(name);
        match text {
            Some(text) => fs::write(file, text).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
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
    format!("id: {id}\npath: {path}\nconnector: http://127.0.0.1:9000\napi_keys:\n- hash: {hash}\n")
}

type Found = Vec<(String, Option<u64>, String)>;

fn held_up(loaded: &Loaded) -> Found {
    found(loaded.held_up.values().flatten())
}

fn found<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Found {
    let file = |p: &Path| p.file_name().unwrap().to_string_lossy().into_owned();
    problems
        .into_iter()
        .map(|p| (file(&p.file), p.line, p.path.clone()))
        .collect()
}

#[test]
fn a_directory_is_read_whole() {
    let mut keycloak = provider("keycloak", "keycloak/v1", 1);
    keycloak += "  expires_at: 2027-01-01T00:00:00Z\n";
    let dir = Dir::new(
        GATEWAY,
        &[
            ("keycloak.yaml", &keycloak),
            ("okta.yaml", &provider("okta", "okta", 2)),
            ("notes.txt", "?"),
        ],
    );
    let loaded = dir.load().unwrap();
    assert!(loaded.held_up.is_empty(), "{:?}", loaded.held_up);
    let [first, second] = loaded.config.providers.as_slice() else {
        panic!()
    };
    assert_eq!(loaded.config.installation.as_str(), "test");
    assert_eq!(first.path.to_string(), "keycloak/v1");
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
    let keyless = provider("keyless", "keyless", 4);
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
            ("good.yaml", &provider("good", "good", 2)),
            (
                "unknown.yaml",
                &format!("{}surprise: 1\n", provider("unknown", "unknown", 3)),
            ),
        ],
    );
    let loaded = dir.load().unwrap();
    assert_eq!(loaded.config.providers.len(), 1);
    let problems = held_up(&loaded);
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
    assert!(!format!("{:?}", loaded.held_up).contains("planted"));
}

#[test]
fn a_file_is_named_after_its_providers_id_and_its_path_begins_with_it() {
    let dir = Dir::new(GATEWAY, &[("okta.yaml", &provider("okta", "okta", 1))]);
    let first = dir.load().unwrap();
    dir.put("a.yaml", Some(&provider("okta", "okta", 2)));
    dir.put("b.yaml", Some(&provider("b", "okta", 3)));
    dir.put("c.yaml", Some(&provider("c", "okta/c", 4)));
    dir.put("d.yaml", Some(&provider("d", "do", 5)));
    dir.put("e.yaml", Some(&provider("e", "e/okta", 6)));
    dir.put(
        "f.yaml",
        Some(&provider("f", "f", 7).replace("path: f\n", "")),
    );
    for loaded in [first.again(&dir.0), dir.load().unwrap()] {
        assert_eq!(ids(&loaded), ["e", "f", "okta"]);
        assert_eq!(paths(&loaded), ["e/okta", "f", "okta"]);
        let member = |file: &str, line, path: &str| (file.to_owned(), Some(line), path.to_owned());
        assert_eq!(
            held_up(&loaded),
            [
                member("a.yaml", 1, "id"),
                member("b.yaml", 2, "path"),
                member("c.yaml", 2, "path"),
                member("d.yaml", 2, "path"),
            ]
        );
        let told = loaded.held_up.values().next().unwrap().to_string();
        assert!(told.contains("okta.yaml"), "{told}");
    }
}

#[test]
fn a_key_of_two_providers_holds_up_neither_and_is_told() {
    let dir = Dir::new(GATEWAY, &[("b.yaml", &provider("b", "b", 1))]);
    let first = dir.load().unwrap();
    assert!(first.warnings.is_empty());
    dir.put("a.yaml", Some(&provider("a", "a", 1)));
    for loaded in [first.again(&dir.0), dir.load().unwrap()] {
        assert_eq!(ids(&loaded), ["a", "b"]);
        assert!(loaded.held_up.is_empty(), "{:?}", loaded.held_up);
        let member = ("b.yaml".to_owned(), None, "api_keys[0].hash".to_owned());
        assert_eq!(found(&loaded.warnings), [member]);
        let told = loaded.warnings.to_string();
        assert!(told.contains("a.yaml"), "{told}");
    }
}

#[test]
fn a_key_is_in_a_file_once() {
    let hash = HASH.replace("ba78", "0001");
    let twice = provider("a", "a", 1) + &format!("- hash: {hash}\n");
    let loaded = Dir::new(GATEWAY, &[("a.yaml", &twice)]).load().unwrap();
    let member = ("a.yaml".to_owned(), Some(6), "api_keys[1].hash".to_owned());
    assert_eq!(held_up(&loaded), [member]);
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
        held_up(&loaded),
        [("a.yaml".to_owned(), Some(3), "connector".to_owned())]
    );
}

#[test]
fn a_connector_over_tls_must_be_named_and_needs_our_certificate() {
    let tls = |id: &str, key, more: &str| {
        let yaml = provider(id, id, key).replace("http://127.0.0.1", "https://connector");
        format!("{yaml}{more}")
    };
    let identity = "connector_identity: spiffe://test/connector\n";
    let files = [
        ("a.yaml", tls("a", 1, "")),
        ("b.yaml", tls("b", 2, "connector_identity: connector.svc\n")),
        ("c.yaml", provider("c", "c", 3) + identity),
        ("d.yaml", tls("d", 4, identity)),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let loaded = Dir::new(GATEWAY, &files).load().unwrap();
    assert_eq!(ids(&loaded), [""; 0]);
    let member = |file: &str, line, member: &str| (file.to_owned(), line, member.to_owned());
    assert_eq!(
        held_up(&loaded),
        [
            member("a.yaml", None, "connector_identity"),
            member("b.yaml", Some(6), "connector_identity"),
            member("c.yaml", Some(6), "connector_identity"),
            // Nothing is wrong with the file but that gateway.yaml has no `connector_tls`.
            member("d.yaml", Some(3), "connector"),
        ]
    );
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    let providers = loaded.config.providers.iter();
    providers.map(|p| p.id.as_str()).collect()
}

fn paths(loaded: &Loaded) -> Vec<String> {
    let providers = loaded.config.providers.iter();
    providers.map(|p| p.path.to_string()).collect()
}

#[test]
fn mistakes_in_the_gateways_file_hide_none_in_a_providers() {
    let dir = Dir::new("installation: A\n", &[("a.yaml", "id: X\n")]);
    let problems = dir.load().unwrap_err();
    let files: Vec<_> = found(&problems)
        .into_iter()
        .map(|(file, ..)| file)
        .collect();
    assert!(files.contains(&"gateway.yaml".to_owned()), "{files:?}");
    assert!(files.contains(&"a.yaml".to_owned()), "{files:?}");
}

#[test]
fn what_looks_as_if_it_were_read_and_is_not_is_told() {
    let dir = Dir::new(
        GATEWAY,
        &[
            ("a.yml", ""),
            ("b.YAML", ""),
            ("c", ""),
            ("d.yaml.bak", ""),
            ("README.md", ""),
            (".e.yml", ""),
            ("..data", ""),
        ],
    );
    fs::write(dir.0.join("okta.yaml"), "").unwrap();
    fs::write(dir.0.join("notes.txt"), "").unwrap();
    let loaded = dir.load().unwrap();
    assert!(loaded.held_up.is_empty(), "{:?}", loaded.held_up);
    let files: Vec<_> = found(&loaded.warnings)
        .into_iter()
        .map(|(file, ..)| file)
        .collect();
    assert_eq!(files, ["a.yml", "b.YAML", "c", "okta.yaml"]);
}

#[test]
fn a_file_that_breaks_keeps_its_last_good_version_until_it_is_mended_or_gone() {
    let (a, b) = (provider("a", "a", 1), provider("b", "b", 2));
    let dir = Dir::new(GATEWAY, &[("a.yaml", &a), ("b.yaml", &b)]);
    let first = dir.load().unwrap();
    dir.put("a.yaml", Some("id: a\npath: /\n"));
    dir.put("b.yaml", Some(&provider("b", "b/2", 3)));
    dir.put("c.yaml", Some("id: c\n"));
    dir.put("d.yaml", Some(&provider("d", "d", 4)));
    let broken = first.again(&dir.0);
    assert_eq!(ids(&broken), ["a", "b", "d"]);
    assert_eq!(paths(&broken), ["a", "b/2", "d"]);
    let held: Vec<_> = broken
        .held_up
        .keys()
        .map(|f| {
            (
                f.file_name().unwrap().to_str().unwrap(),
                broken.has_last_good(f),
            )
        })
        .collect();
    assert_eq!(held, [("a.yaml", true), ("c.yaml", false)]);
    // Read once more, it is the same.
    assert_eq!(ids(&broken.again(&dir.0)), ["a", "b", "d"]);
    dir.put("a.yaml", None);
    dir.put("c.yaml", Some(&provider("c", "c", 5)));
    let mended = broken.again(&dir.0);
    assert_eq!(ids(&mended), ["b", "c", "d"]);
    assert!(mended.held_up.is_empty(), "{:?}", mended.held_up);
}

#[test]
fn a_gateways_file_that_breaks_holds_up_no_provider_and_what_takes_a_restart_stays() {
    let dir = Dir::new(GATEWAY, &[]);
    let first = dir.load().unwrap();
    fs::write(dir.0.join("gateway.yaml"), "listen: 1\n").unwrap();
    dir.put("a.yaml", Some(&provider("a", "a", 1)));
    let second = first.again(&dir.0);
    assert_eq!(ids(&second), ["a"]);
    assert!(found(&second.refused).contains(&(
        "gateway.yaml".to_owned(),
        Some(1),
        "listen".to_owned()
    )));
    let other = "installation: other\nlisten: 127.0.0.1:1\nprobe_listen: 0.0.0.0:0\n";
    fs::write(dir.0.join("gateway.yaml"), other).unwrap();
    let third = second.again(&dir.0);
    assert!(third.refused.is_empty(), "{}", third.refused);
    assert_eq!(third.restart, ["installation", "listen"]);
    assert_eq!(third.config.installation.as_str(), "test");
    assert_eq!(third.config.listen, first.config.listen);
}

#[test]
fn providers_outlive_their_directory() {
    let dir = Dir::new(GATEWAY, &[("a.yaml", &provider("a", "a", 1))]);
    let first = dir.load().unwrap();
    fs::rename(dir.0.join("providers.d"), dir.0.join("away")).unwrap();
    let second = first.again(&dir.0);
    assert_eq!(ids(&second), ["a"]);
    assert_eq!(second.refused.iter().count(), 1);
    fs::create_dir(dir.0.join("providers.d")).unwrap();
    let third = second.again(&dir.0);
    assert!(ids(&third).is_empty());
    assert!(third.refused.is_empty());
}

#[test]
fn limits_are_read_and_every_mistake_in_them_is_told() {
    let limited = provider("a", "a", 1)
        + "rate_limit: {per_second: 5, burst: 7}\nalarm_per_hour: 0\n\
           brake: {deletes_per_hour: 0}\norganizations: [o-1, o-2]\n";
    let wrong = provider("b", "b", 2)
        + "rate_limit:\n  per_second: 0\n  burst: 1000001\norganizations: []\n";
    let wanting = provider("c", "c", 3) + "rate_limit: {per_second: 1}\norganizations: ['']\n";
    let gateway = format!("{GATEWAY}failed_authentications: {{per_minute: 1, burst: 2}}\n");
    let files = [
        ("a.yaml", &*limited),
        ("b.yaml", &*wrong),
        ("c.yaml", &*wanting),
    ];
    let loaded = Dir::new(&gateway, &files).load().unwrap();
    assert_eq!(loaded.config.failed_authentications, Rate::per_minute(1, 2));
    let [only] = loaded.config.providers.as_slice() else {
        panic!("{:?}", loaded.held_up)
    };
    let limits = &only.limits;
    assert_eq!(limits.rate, Rate::per_second(5, 7));
    assert_eq!(limits.alarm_per_hour, 0);
    assert_eq!(
        (limits.deletes_per_hour, limits.rotations_per_hour),
        (Some(0), None)
    );
    let organizations = limits.organizations.as_ref().unwrap();
    let organizations: Vec<_> = organizations
        .iter()
        .map(dcr_contract::model::OpaqueId::as_str)
        .collect();
    assert_eq!(organizations, ["o-1", "o-2"]);
    let found = held_up(&loaded);
    let places: Vec<_> = found.iter().map(|(f, l, p)| (&**f, *l, &**p)).collect();
    assert_eq!(
        places,
        [
            ("b.yaml", Some(7), "rate_limit.per_second"),
            ("b.yaml", Some(8), "rate_limit.burst"),
            ("b.yaml", None, "organizations"),
            ("c.yaml", None, "rate_limit.burst"),
            ("c.yaml", Some(7), "organizations[0]"),
        ]
    );
    let wrong = format!("{GATEWAY}failed_authentications: {{per_minute: 0}}\n");
    let problems = Dir::new(&wrong, &[]).load().unwrap_err();
    assert_eq!(problems.iter().count(), 2, "{problems}");
}
