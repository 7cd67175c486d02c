//! The connector's command `check`, with and without `--probe`.

use dcr_tests::Folder;
use http::Method;

use crate::Setup;
use crate::world::{Store, command, section};

/// What each member of `idp.behaviour` may say, but for what a server that works is never found to do.
const MANNERS: [(&str, &[&str]); 4] = [
    (
        "get",
        &[
            "nothing",
            "new_token",
            "new_token_and_secret",
            "unsupported",
        ],
    ),
    (
        "put_secret",
        &["kept", "kept_if_sent", "must_be_sent", "new", "unsupported"],
    ),
    ("put_token", &["kept", "new"]),
    ("delete", &["answers_204", "answers_200", "unsupported"]),
];

/// Runs `check` with a section `idp`; whether it was content, and what it printed.
pub(crate) async fn check(
    setup: &Setup,
    idp: &str,
    more: &str,
    options: &[&str],
) -> (bool, String) {
    let kept = Folder::new();
    let idp = section(setup, idp, &Store::Sqlite, &kept, more);
    let yaml =
        format!("installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\nidp:\n{idp}");
    let file = kept.write("connector.yaml", &yaml);
    let words = [&["check"], options].concat();
    command(setup, &words, &file).await
}

/// The lines of a severity.
fn lines<'a>(output: &'a str, severity: &str) -> Vec<&'a str> {
    let is = |line: &&str| line.split_whitespace().next() == Some(severity);
    output.lines().filter(is).collect()
}

pub(crate) async fn a_right_configuration_is_content(setup: &'static Setup) {
    let before = setup.server.clients().await;
    let (content, output) = check(setup, &setup.server.idp, "", &["--probe"]).await;
    assert!(content, "{output}");
    let code = |line: &&str| line.split_whitespace().nth(1).map(str::to_owned);
    let warnings = lines(&output, "warning");
    let codes: Vec<_> = warnings.iter().filter_map(code).collect();
    assert_eq!(codes, setup.server.warnings(), "{output}");
    let members = output.matches("idp.behaviour.").count();
    assert_eq!(members, MANNERS.len(), "not all was learned: {output}");
    assert_eq!(
        setup.server.clients().await,
        before,
        "a client stays behind"
    );
}

pub(crate) async fn a_check_without_probe_changes_nothing(setup: &'static Setup) {
    let before = setup.proxy.count();
    let (content, output) = check(setup, &setup.server.idp, "", &[]).await;
    assert!(content, "{output}");
    let asked = setup.proxy.seen().split_off(before);
    assert!(!asked.is_empty(), "the server was not asked");
    let registration = setup.server.registration_path();
    let changes = asked.iter().filter(|exchange| {
        exchange.method != Method::GET && exchange.target.starts_with(registration)
    });
    assert_eq!(changes.count(), 0, "a registration was touched");
}

pub(crate) async fn wrong_manners_are_found(setup: &'static Setup) {
    let before = setup.server.clients().await;
    for (member, words) in MANNERS {
        let (head, rest) = setup
            .server
            .idp
            .split_once(&format!("{member}: "))
            .expect("it is set");
        let end = rest.find([',', '}']).expect("more follows");
        let (right, tail) = rest.split_at(end);
        for wrong in words.iter().filter(|word| **word != right) {
            let idp = format!("{head}{member}: {wrong}{tail}");
            let (content, output) = check(setup, &idp, "", &["--probe"]).await;
            assert!(!content, "{member}: {wrong} was not found: {output}");
            let told = format!("Set idp.behaviour.{member}: {right}");
            let errors = lines(&output, "error");
            assert!(errors.iter().any(|line| line.contains(&told)), "{output}");
        }
        let idp = format!("{head}{}", tail.trim_start_matches(", "));
        let (content, output) = check(setup, &idp, "", &["--probe"]).await;
        assert!(content, "what is not set is no error: {output}");
        let told = format!("Set idp.behaviour.{member}: {right}");
        let warnings = lines(&output, "warning");
        assert!(warnings.iter().any(|line| line.contains(&told)), "{output}");
    }
    assert_eq!(
        setup.server.clients().await,
        before,
        "a client stays behind"
    );
}
