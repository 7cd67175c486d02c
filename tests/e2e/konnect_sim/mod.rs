//! `konnect-sim` as operators run it: against this bridge, and against others that are wrong in one way each.

#![expect(clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

mod faults;
mod right;
mod wrong;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dcr_tests::stand_in::dead_port;
use dcr_tests::{Folder, Process};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::dev::Dev;
use crate::start::bridge;
use right::{Bridge, KEY, Said};
use wrong::Wrong;

const KONNECT_SIM: &str = env!("CARGO_BIN_EXE_konnect-sim");
/// Longer than any run here takes, on a machine that does much else.
const END: Duration = Duration::from_mins(2);
/// Wrong bridges that are tried at once.
const AT_ONCE: usize = 6;

/// What a run said.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) printed: String,
    json: Value,
    junit: String,
}

impl Run {
    /// Runs a command that writes a report.
    pub(crate) async fn of(base_url: &str, key: &str, words: &[&str]) -> Self {
        let folder = Folder::new();
        let (json, junit) = (folder.path().join("json"), folder.path().join("junit"));
        let key = folder.write("key", key);
        let mut arguments = vec![
            OsStr::new("--base-url"),
            base_url.as_ref(),
            "--api-key-file".as_ref(),
            key.as_os_str(),
        ];
        arguments.extend(words.iter().map(OsStr::new));
        arguments.extend(["--json".as_ref(), json.as_os_str()]);
        if !words.contains(&"load") {
            arguments.extend(["--junit".as_ref(), junit.as_os_str()]);
        }
        let mut process = Process::start(KONNECT_SIM, &arguments);
        let code = process.ended(END).await.code();
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let json = serde_json::from_str(&read(json)).unwrap_or_default();
        Self {
            code,
            printed: process.output(),
            json,
            junit: read(junit),
        }
    }

    /// The checks that came out so, by their full names.
    fn names(&self, outcomes: &[&str]) -> BTreeSet<String> {
        let checks = self.json["checks"].as_array();
        checks
            .expect(&self.printed)
            .iter()
            .filter(|check| outcomes.contains(&check["outcome"].as_str().unwrap()))
            .map(|check| {
                let text = |member: &str| check[member].as_str().unwrap().to_owned();
                format!("{}: {}", text("group"), text("name"))
            })
            .collect()
    }

    #[track_caller]
    fn passed(&self) {
        assert_eq!(self.code, Some(0), "{}", self.printed);
        assert_eq!(self.names(&["failed", "warned"]), BTreeSet::new());
        assert_eq!(self.json["troubles"], serde_json::json!([]));
        assert!(self.junit.contains("failures=\"0\""), "{}", self.junit);
    }
}

/// The checks that `--list` names.
async fn listed() -> BTreeSet<String> {
    let mut process = Process::start(KONNECT_SIM, &["contract", "--list"].map(OsStr::new));
    assert!(process.ended(END).await.success());
    let output = process.output();
    let names = output
        .lines()
        .map(|line| line.trim_end_matches(" (advice)"));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn this_bridge_passes_every_check_and_keeps_nothing() {
    let dev = Dev::start().await;
    let tokens = ["--token-url", dev.text("token_url")];
    for command in ["verify", "smoke", "contract"] {
        let words = [&[command], &tokens[..]].concat();
        let run = Run::of(dev.text("base_url"), dev.text("api_key"), &words).await;
        run.passed();
    }

    let bridge = bridge().await;
    let (konnect, tokens) = (bridge.konnect(), bridge.tokens());
    let words = ["contract", "--token-url", tokens.url()];
    let run = Run::of(konnect.base_url(), konnect.key().unwrap(), &words).await;
    run.passed();
    bridge.nothing_left().await;
}

#[tokio::test]
async fn what_a_load_makes_is_deleted_also_when_it_is_interrupted() {
    let bridge = bridge().await;
    let konnect = bridge.konnect();
    let (base_url, key) = (konnect.base_url(), konnect.key().unwrap());
    let words = ["load", "--connections", "3", "--seconds", "2"];
    let mix = "create=2,delete=1,list=1,rotate=1,update=1,register=1,secret=1";
    let run = Run::of(base_url, key, &[&words[..], &["--mix", mix]].concat()).await;
    assert_eq!(run.code, Some(0), "{}", run.printed);
    assert_eq!(run.json["load"]["errors"], 0);
    assert!(run.json["load"]["calls"].as_u64().unwrap() > 0);
    bridge.nothing_left().await;

    let folder = Folder::new();
    let file = folder.write("key", key);
    let words = [
        "--base-url",
        base_url,
        "load",
        "--seconds",
        "600",
        "--mix",
        "create=1",
    ];
    let mut arguments = words.map(OsStr::new).to_vec();
    arguments.extend(["--api-key-file".as_ref(), file.as_os_str()]);
    let mut process = Process::start(KONNECT_SIM, &arguments);
    while bridge.idp().clients().await.len() < 3 {
        tokio::task::yield_now().await;
    }
    process.terminate().await;
    assert_eq!(process.ended(END).await.code(), Some(1));
    assert!(process.output().contains("Interrupted"));
    bridge.nothing_left().await;
}

#[tokio::test]
async fn checks_that_are_interrupted_leave_nothing_behind() {
    let (created, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let clients = Arc::<Mutex<BTreeSet<String>>>::default();
    let there = Arc::clone(&clients);
    let bridge = Bridge::start(faults::after(move |asked, said| {
        let mut there = there.lock().unwrap();
        match asked.operation {
            "create" if said.is_success() => {
                there.insert(said.body["client_id"].to_string());
            }
            "delete" if said.is_success() => {
                there.remove(&format!("{:?}", asked.client_id));
            }
            _ => {}
        }
        // The answer to this create comes when its check is waited for no more.
        if asked.operation == "create" && asked.body["grant_types"] == json!([]) {
            created.send(()).unwrap();
            said.after = Duration::from_secs(1);
        }
    }))
    .await;
    let folder = Folder::new();
    let key = folder.write("key", KEY);
    let words = ["--base-url", &bridge.base_url, "contract", "--api-key-file"];
    let mut arguments = words.map(OsStr::new).to_vec();
    arguments.push(key.as_os_str());
    let mut process = Process::start(KONNECT_SIM, &arguments);
    waits.recv().await.unwrap();
    process.terminate().await;
    assert_eq!(process.ended(END).await.code(), Some(1));
    let output = process.output();
    assert!(output.contains("Interrupted: not everything"), "{output}");
    assert!(!output.contains("eft behind"), "{output}");
    assert_eq!(*clients.lock().unwrap(), BTreeSet::new());
}

#[tokio::test]
async fn a_load_tells_its_errors_and_fails() {
    let bridge = Bridge::start(faults::status("rotate", 202)).await;
    let words = [
        "load",
        "--connections",
        "2",
        "--seconds",
        "1",
        "--mix",
        "create=1,rotate=3",
    ];
    let run = Run::of(&bridge.base_url, KEY, &words).await;
    assert_eq!(run.code, Some(1), "{}", run.printed);
    assert!(
        run.printed.contains("rotate: answered 202"),
        "{}",
        run.printed
    );
    assert_eq!(run.json["troubles"], serde_json::json!([]));
}

#[tokio::test]
async fn each_wrong_bridge_is_found_by_its_check_alone_and_each_check_finds_one() {
    let (mut runs, mut met) = (JoinSet::new(), BTreeSet::new());
    let mut wrong = wrong::all().into_iter();
    let mut failures = Vec::new();
    loop {
        while runs.len() < AT_ONCE
            && let Some(wrong) = wrong.next()
        {
            runs.spawn(judged(wrong));
        }
        let Some(ended) = runs.join_next().await else {
            break;
        };
        let (name, found, wanted) = ended.unwrap();
        if found != wanted {
            failures.push(format!("a bridge that {name}: {found:?}, not {wanted:?}"));
        }
        met.extend(found);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));

    let nobody = format!("http://{}/b", dead_port());
    let run = Run::of(&nobody, KEY, &["contract"]).await;
    assert_eq!(run.code, Some(1));
    met.extend(run.names(&["failed"]));
    assert_eq!(listed().await, met);
}

async fn judged(wrong: Wrong) -> (&'static str, BTreeSet<String>, BTreeSet<String>) {
    let bridge = Bridge::start(wrong.fault).await;
    let mut words = vec!["contract", "--timeout", wrong.timeout];
    if wrong.tokens {
        words.extend(["--token-url", &bridge.token_url]);
    }
    let run = Run::of(&bridge.base_url, KEY, &words).await;
    let (failed, warned) = (run.names(&["failed"]), run.names(&["warned"]));
    let troubles = run.json["troubles"].as_array().unwrap();
    let is_good = failed.is_empty() && troubles.is_empty();
    assert_eq!(run.code, Some(i32::from(!is_good)), "{}", run.printed);
    let wanted = wrong.found_by.iter().map(|name| (*name).to_owned());
    (
        wrong.name,
        failed.union(&warned).cloned().collect(),
        wanted.collect(),
    )
}

#[tokio::test]
async fn a_bridge_of_the_contract_passes_with_one_secret_a_client_too() {
    let bridge = Bridge::start(faults::none()).await;
    let words = ["contract", "--token-url", &bridge.token_url];
    Run::of(&bridge.base_url, KEY, &words).await.passed();

    let bridge = Bridge::start(faults::refusing("add", 400, |_| true)).await;
    for command in ["contract", "smoke"] {
        let run = Run::of(&bridge.base_url, KEY, &[command]).await;
        run.passed();
        assert!(run.printed.contains("refused with 400"), "{}", run.printed);
    }
}

#[tokio::test]
async fn a_bridge_that_answers_200_to_everything_fails() {
    let everything =
        json!({"client_id": "c", "client_secret": "s", "secret_id": "i", "secrets": []});
    for (body, failures) in [(json!({}), 10), (everything, 20)] {
        let fault = faults::after(move |_, said| *said = Said::new(200, body.clone()));
        let bridge = Bridge::start(fault).await;
        let run = Run::of(&bridge.base_url, KEY, &["contract"]).await;
        assert_eq!(run.code, Some(1), "{}", run.printed);
        assert!(run.names(&["failed"]).len() >= failures, "{}", run.printed);
        let run = Run::of(&bridge.base_url, KEY, &["smoke"]).await;
        assert_eq!(run.code, Some(1), "{}", run.printed);
    }
}

#[tokio::test]
async fn no_secret_is_shown_that_a_failure_holds() {
    let keys = |keys: &[String]| json!({"error_description": format!("headers: {keys:?}")});
    let fault = faults::after(move |asked, said| match asked.operation {
        "create" => *said = Said::new(500, keys(&asked.keys)),
        "rotate" => said.status = 409,
        _ => {}
    });
    let bridge = Bridge::start(fault).await;
    let load = ["load", "--seconds", "1", "--mix", "create=1"];
    for words in [
        &["smoke"][..],
        &["contract", "--only", "create: answers 201"],
        &load,
    ] {
        let run = Run::of(&bridge.base_url, KEY, words).await;
        assert_eq!(run.code, Some(1));
        let all = format!("{}{}{}", run.printed, run.json, run.junit);
        assert!(all.contains("that is not shown"), "{all}");
        assert!(!all.contains(KEY), "{all}");
    }
    let rotated = faults::status("rotate", 409);
    let bridge = Bridge::start(rotated).await;
    let words = ["contract", "--only", "rotate: answers 200"];
    let run = Run::of(&bridge.base_url, KEY, &words).await;
    let all = format!("{}{}{}", run.printed, run.json, run.junit);
    assert!(
        all.contains("answered 409 with an answer that is not shown"),
        "{all}"
    );
    assert!(!all.contains("client_secret\\\":"), "{all}");
}

#[tokio::test]
async fn a_bridge_that_asks_to_wait_for_ever_is_not_waited_for() {
    let bridge = Bridge::start(faults::after(|asked, said| {
        if asked.operation == "list" {
            *said = Said::refusal(429);
        }
    }))
    .await;
    let words = [
        "contract",
        "--patience",
        "1",
        "--only",
        "list: ",
        "--only",
        "create: ",
    ];
    let run = Run::of(&bridge.base_url, KEY, &words).await;
    assert_eq!(run.code, Some(1), "{}", run.printed);
    assert_eq!(run.names(&["failed"]), BTreeSet::new(), "{}", run.printed);
    assert!(
        run.printed.contains("longer than --patience"),
        "{}",
        run.printed
    );
    let printed = &run.printed;
    assert_eq!(
        printed.matches("not everything was looked at").count(),
        1,
        "{printed}"
    );
}

#[tokio::test]
async fn tokens_are_asked_for_with_the_scope_and_audience_that_the_idp_wants() {
    let bridge = Bridge::start(faults::after(|asked, said| {
        let asks = |pair: &str| asked.rest.contains(pair);
        if asked.operation == "token" && !(asks("scope=a") && asks("audience=b")) {
            *said = Said::new(400, json!({"error": "invalid_scope"}));
        }
    }))
    .await;
    let words = [
        "contract",
        "--token-url",
        &bridge.token_url,
        "--only",
        "rotate: ",
    ];
    let run = Run::of(&bridge.base_url, KEY, &words).await;
    assert_eq!(run.code, Some(1), "{}", run.printed);
    let failed = run.names(&["failed"]);
    assert!(
        failed.contains("rotate: the old secret opens nothing"),
        "{failed:?}"
    );
    assert!(
        run.printed.contains("does it want a --token-scope"),
        "{}",
        run.printed
    );
    let more = ["--token-scope", "a", "--token-audience", "b"];
    let run = Run::of(&bridge.base_url, KEY, &[&words[..], &more].concat()).await;
    run.passed();
}

#[tokio::test]
async fn a_create_that_fails_may_have_left_a_client() {
    let bridge = Bridge::start(faults::status("create", 502)).await;
    let run = Run::of(&bridge.base_url, KEY, &["verify"]).await;
    assert_eq!(run.code, Some(1));
    let printed = &run.printed;
    assert!(
        printed.contains("Perhaps left behind: 1 creates"),
        "{printed}"
    );
}

#[tokio::test]
async fn what_could_not_be_deleted_is_named() {
    let bridge = Bridge::start(faults::refusing("delete", 500, |_| true)).await;
    let run = Run::of(&bridge.base_url, KEY, &["verify"]).await;
    assert_eq!(run.code, Some(1));
    assert_eq!(run.json["left"], json!(["c-s1"]));
    assert!(
        run.printed
            .contains("Left behind: 1 clients that could not be deleted: c-s1."),
        "{}",
        run.printed
    );
}

#[tokio::test]
async fn a_wrong_command_line_is_told_in_a_sentence() {
    for (base_url, key, words, sentence) in [
        (
            "dcr.example",
            KEY,
            &["verify"][..],
            "--base-url dcr.example is no URL",
        ),
        (
            "http://127.0.0.1:1",
            "short",
            &["verify"],
            "Konnect takes no such key",
        ),
        (
            "http://127.0.0.1:1",
            KEY,
            &["contract", "--only", "dance"],
            "no check has such a name",
        ),
        (
            "http://127.0.0.1:1",
            KEY,
            &["verify", "--ca-file", "/nowhere"],
            "--ca-file /nowhere: ",
        ),
        (
            "http://127.0.0.1:1",
            KEY,
            &["load", "--mix", "dance=1"],
            "is none of create",
        ),
    ] {
        let run = Run::of(base_url, key, words).await;
        assert_eq!(run.code, Some(2), "{}", run.printed);
        assert!(run.printed.contains(sentence), "{}", run.printed);
    }
}
