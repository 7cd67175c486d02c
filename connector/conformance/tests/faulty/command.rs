//! The command as a team runs it.

use std::process::Output;

use tokio::process::Command;

use crate::fault::Fault;
use crate::stand_in::StandIn;
use crate::{memory, service};

async fn ran(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dcr-conformance"));
    command.args(arguments).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_the_rules_ends_with_0_and_is_reported_to_machines_as_well() {
    let options = memory::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (junit, json) = (
        folder.path().join("junit.xml"),
        folder.path().join("report.json"),
    );
    let ran = ran(&[
        "--connector",
        &options.connector,
        "--only",
        "delete/",
        "--only",
        "clean_up/",
        "--junit",
        junit.to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
    ])
    .await;
    let printed = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{printed}{}", text(&ran.stderr));
    assert!(
        printed.contains("\ndelete\n  ok   of an unknown client is absent\n"),
        "{printed}"
    );
    assert!(
        printed.contains("  skip ends its secrets (needs --token-url)\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\n5 passed, 0 failed, 1 skipped in "),
        "{printed}"
    );
    assert!(!printed.contains('\x1b'), "colours on what is no terminal");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("<testsuite name=\"delete\" tests=\"5\" failures=\"0\" skipped=\"1\">"),
        "{junit}"
    );
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(json["checks"][0]["result"], "passed");
    assert_eq!(json["checks"].as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_ends_with_1_and_a_sentence_on_what_to_do() {
    let options = memory::start().await;
    let stand_in = StandIn::start().await;
    let fault = Fault::DeleteOfTheUnknownIsNotFound;
    let address = service::start(fault, &options.connector, stand_in).await;
    let connector = format!("http://{address}");
    let ran = ran(&[
        "--connector",
        &connector,
        "--only",
        "of_an_unknown_client",
        "--profile",
        "core",
    ])
    .await;
    let printed = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{printed}");
    for part in [
        "  FAIL of an unknown client is absent\n",
        "         rule: DeleteClient of what is not there answers ABSENT\n",
        "         seen: DeleteClient answered NOT_FOUND, reason CLIENT_NOT_FOUND",
        "         do:   Answer OK with DELETION_ABSENT",
        "0 passed, 1 failed, 0 skipped",
    ] {
        assert!(printed.contains(part), "{part:?} is not in {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_judges_nothing_ends_with_1_and_says_of_which_profile() {
    let options = memory::start().await;
    let connector = ["--connector", &options.connector];
    for (more, sentence) in [
        (
            &["--only", "ends_its_secrets"][..],
            "No check could be judged.",
        ),
        (
            &[
                "--only",
                "delete/of_an_unknown",
                "--only",
                "show_in_tokens",
                "--profile",
                "core",
                "--profile",
                "grants",
            ],
            "No check of --profile grants could be judged",
        ),
    ] {
        let ran = ran(&[&connector, more].concat()).await;
        let printed = text(&ran.stdout);
        assert_eq!(ran.status.code(), Some(1), "{printed}");
        assert!(printed.contains(sentence), "{printed}");
        assert!(printed.contains(" 0 failed"), "{printed}");
    }
}

#[tokio::test]
async fn what_cannot_be_run_ends_with_2_and_says_why() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    // Larger than any process id of Linux (proc(5), pid_max).
    let nobodys = i32::MAX.to_string();
    for (arguments, sentence) in [
        (
            vec!["--connector", &address],
            "start it, or correct --connector",
        ),
        (
            vec!["--connector", "localhost"],
            "name it like http://127.0.0.1:9000",
        ),
        (
            vec!["--connector", "https://localhost:1"],
            "needs --ca-file",
        ),
        (
            vec!["--connector", &address, "--ca-file", "x"],
            "--connector-identity",
        ),
        (
            vec!["--connector", &address, "--terminate", &nobodys],
            "there is no such process",
        ),
        (vec![], "--connector"),
    ] {
        let ran = ran(&arguments).await;
        let told = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(sentence), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn the_checks_can_be_listed() {
    let ran = ran(&["--list"]).await;
    assert_eq!(ran.status.code(), Some(0));
    let lines = text(&ran.stdout).lines().count();
    assert_eq!(lines, dcr_conformance::list().count());
}
