//! Configuration files and secret files: what is told of mistakes, and what never is.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::net::SocketAddr;
use std::path::PathBuf;

use dcr_runtime::config::{Located, Problems, load, read_secret_file};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ferry {
    name: Located<String>,
    listen: Option<Located<SocketAddr>>,
    #[serde(default)]
    decks: Vec<Deck>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deck {
    cars: Located<u16>,
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Open,
    Closed,
}

/// A file of its own, whose folder lives as long as it.
struct Written {
    _folder: TempDir,
    path: PathBuf,
}

fn written(content: impl AsRef<[u8]>) -> Written {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ferry.yaml");
    std::fs::write(&path, content).unwrap();
    Written {
        _folder: folder,
        path,
    }
}

/// The problems of a file with this content, without its folder.
fn mistakes(content: &str) -> String {
    let file = written(content);
    let folder = format!("{}/", file.path.parent().unwrap().display());
    load::<Ferry>(&file.path)
        .unwrap_err()
        .to_string()
        .replace(&folder, "")
}

#[test]
fn values_know_their_lines() {
    let file = written(
        "# a comment\nname: one\nlisten: 127.0.0.1:80\ndecks:\n- cars: 7\n  kind: open\n- {cars: 8, kind: closed}\n",
    );
    let ferry: Ferry = load(&file.path).unwrap();
    assert_eq!(
        (ferry.name.value.as_str(), ferry.name.line),
        ("one", Some(2))
    );
    assert_eq!(ferry.listen.and_then(|listen| listen.line), Some(3));
    let lines: Vec<_> = ferry
        .decks
        .iter()
        .map(|deck| (deck.cars.value, deck.cars.line))
        .collect();
    assert_eq!(lines, [(7, Some(5)), (8, Some(7))]);
    assert!(matches!(ferry.decks[1].kind, Some(Kind::Closed)));
    assert!(matches!(ferry.decks[0].kind, Some(Kind::Open)));
}

#[test]
fn a_file_that_does_not_fit_is_told_with_line_and_member() {
    for (content, told) in [
        (
            "name: a\ndecks:\n- cars: 1\n  kinds: open\n",
            "ferry.yaml:4: decks[0].kinds: is not known; here may stand: cars, kind",
        ),
        ("decks: []\n", "ferry.yaml:1: `name` is missing"),
        (
            "name: a\ndecks:\n- cars: 1\n- {}\n",
            "ferry.yaml:4: decks[1]: `cars` is missing",
        ),
        (
            "name: a\nname: b\n",
            "ferry.yaml:2: `name` stands here twice",
        ),
        (
            "name: a\ndecks:\n- cars: many\n",
            "ferry.yaml:3: decks[0].cars: invalid u16 (column 9)",
        ),
        (
            "name: a\nlisten: here\n",
            "ferry.yaml:2: listen: invalid socket address syntax (column 9)",
        ),
        (
            "name: a\ndecks:\n- cars: 1\n  kind: wet\n",
            "ferry.yaml:4: decks[0].kind: unknown variant `wet`, expected one of open, closed (column 9)",
        ),
        (
            "name: a\ndecks: 3\n",
            "ferry.yaml:2: decks: a list (`- …`) is expected here",
        ),
        (
            "- name: a\n",
            "ferry.yaml:1: a map (`name: value`) is expected here",
        ),
        (
            "name: a\n---\nname: b\n",
            "ferry.yaml:3: a second YAML document begins; keep one",
        ),
        ("", "ferry.yaml:1: unexpected end of file (column 1)"),
    ] {
        assert_eq!(mistakes(content), told, "{content:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let absent = load::<Ferry>(folder.path().join("no.yaml"))
        .unwrap_err()
        .to_string();
    assert!(
        absent.contains("no.yaml: the file cannot be read"),
        "{absent}"
    );
    assert!(
        absent.ends_with("create it, or correct the path"),
        "{absent}"
    );
    let directory = load::<Ferry>(folder.path()).unwrap_err().to_string();
    assert!(
        directory.ends_with("name the file, not the directory it is in"),
        "{directory}"
    );
    let binary = load::<Ferry>(&written([0xff, 0xfe, 0xfd]).path)
        .unwrap_err()
        .to_string();
    assert!(binary.ends_with("save it as UTF-8"), "{binary}");
    let long = format!("name: a\n# {}\n", "a".repeat(1024 * 1024));
    assert!(mistakes(&long).contains("longer than 1 MiB"));
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let file = written("name: ''\ndecks:\n- cars: 0\n- cars: 1\n- cars: 0\n");
    let ferry: Ferry = load(&file.path).unwrap();
    let mut problems = Problems::in_file("ferry.yaml");
    if ferry.name.value.is_empty() {
        problems.at(&ferry.name, "name", "is empty");
    }
    for (n, deck) in ferry.decks.iter().enumerate() {
        if deck.cars.value == 0 {
            problems.at(&deck.cars, format!("decks[{n}].cars"), "must be more");
        }
    }
    problems.anywhere("crew", "is missing");
    let mut other = Problems::in_file("quay.yaml");
    other.anywhere("", "is not a quay");
    problems.append(other);
    assert_eq!(
        problems.or(()).unwrap_err().to_string(),
        "ferry.yaml:1: name: is empty\n\
         ferry.yaml:3: decks[0].cars: must be more\n\
         ferry.yaml:5: decks[2].cars: must be more\n\
         ferry.yaml: crew: is missing\n\
         quay.yaml: is not a quay"
    );
    assert_eq!(Problems::in_file("ferry.yaml").or(7), Ok(7));
}

#[expect(clippy::disallowed_methods, reason = "the test looks at what was read")]
fn secret(content: impl AsRef<[u8]>) -> Result<String, String> {
    let read = read_secret_file(written(content).path);
    read.map(|secret| secret.expose_secret().to_owned())
        .map_err(|problem| problem.to_string())
}

#[test]
fn a_secret_is_the_file_without_its_last_newline() {
    for (content, value) in [
        ("s3cret", "s3cret"),
        ("s3cret\n", "s3cret"),
        ("s3cret\r\n", "s3cret"),
        (" s3\ncret \n\n", " s3\ncret \n"),
    ] {
        assert_eq!(secret(content).as_deref(), Ok(value), "{content:?}");
    }
    let longest = "a".repeat(64 * 1024);
    assert_eq!(secret(&longest), Ok(longest));
}

#[test]
fn a_bad_secret_file_is_told_with_what_to_do() {
    for (content, told) in [
        (Vec::new(), "is empty"),
        (b"\n".to_vec(), "is empty"),
        (b"pl4nted\xff".to_vec(), "is not UTF-8"),
        (
            [b"pl4nted".to_vec(), vec![b'a'; 64 * 1024]].concat(),
            "is longer than 64 KiB",
        ),
    ] {
        let problem = secret(&content).unwrap_err();
        assert!(
            problem.contains("ferry.yaml: the secret file") && problem.contains(told),
            "{problem}"
        );
        assert!(!problem.contains("pl4nted"), "{problem}");
    }
    let folder = TempDir::new().unwrap();
    let absent = read_secret_file(folder.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        absent.ends_with("create it, or correct the path"),
        "{absent}"
    );
}

#[test]
fn a_secret_is_never_printed() {
    let read = read_secret_file(written("pl4nted").path);
    assert!(!format!("{read:?}").contains("pl4nted"));
}
