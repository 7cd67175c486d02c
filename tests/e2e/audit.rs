//! The audit log: a line for each mutating call before its answer, in a chain that tells what was done to it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dcr_tests::konnect::{application, event};
use dcr_tests::{Folder, Gateway, Konnect, Process};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::start::{Bridge, GATEWAY, bridge};

/// A gateway of its own before the bridge's connector, with an audit log in this file.
async fn audited(bridge: &Bridge, program: &str, file: &Path) -> Gateway {
    let more = format!("audit: {{file: {}}}\n", file.display());
    Gateway::start_with(program, bridge.gateway.providers(), &more).await
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs `audit verify`: whether it was content, and what it printed.
async fn verify(files: &[&Path], more: &[&str]) -> (bool, String) {
    let mut arguments = ["audit", "verify"].map(OsStr::new).to_vec();
    arguments.extend(more.iter().map(OsStr::new));
    arguments.extend(files.iter().map(|file| file.as_os_str()));
    let mut process = Process::start(GATEWAY, &arguments);
    let status = process.ended(Duration::from_secs(15)).await;
    (status.success(), process.output())
}

async fn usual_calls(konnect: &Konnect) -> String {
    let client = konnect.create(&application("ferry")).await.created();
    let id = client.client_id;
    let added = konnect.add(&id).await.added(&id);
    let _ = konnect.add(&id).await.refused(400);
    konnect.list(&id).await.listed(&id);
    konnect.remove(&id, &added.secret_id).await.gone();
    konnect.rotate(&id).await.rotated(&id);
    let update = event("update_application", &id, &json!({"redirect_uris": []}));
    konnect.hook(&id, &update).await.heard();
    konnect.delete(&id).await.gone();
    konnect.delete(&id).await.gone();
    let _ = konnect.create(&json!({})).await.refused(400);
    let _ = konnect.with_key(None).delete(&id).await.refused(401);
    id.to_string()
}

#[tokio::test]
async fn every_mutating_call_has_its_line_when_its_answer_comes_and_no_line_holds_a_secret() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let file = folder.path().join("audit.log");
    let gateway = audited(&bridge, GATEWAY, &file).await;
    let konnect = gateway.konnect("one");
    let client = konnect.create(&application("ferry")).await.created();
    let written = lines(&file);
    let [start, created] = written.as_slice() else {
        panic!("{written:?}")
    };
    assert_eq!(start["event"], "start");
    assert_eq!(start["prev"], Value::Null);
    let body = application("ferry");
    for member in ["organization_id", "portal_id", "developer_id"] {
        assert_eq!(created[member], body[member]);
    }
    assert_eq!(created["client_id"], *client.client_id);
    assert_eq!(created["provider"], "one");
    assert_eq!(created["outcome"], "ok");
    assert_eq!(created["peer"], "127.0.0.1");
    assert_eq!(created["key"].as_str().unwrap().len(), 8);
    assert_eq!(created["operation_id"].as_str().unwrap().len(), 36);
    konnect.delete(&client.client_id).await.gone();

    let id = usual_calls(&konnect).await;
    let written = lines(&file);
    let told: Vec<(&str, &str)> = written[3..]
        .iter()
        .map(|line| {
            let text = |member| line[member].as_str().unwrap();
            (text("operation"), text("outcome"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("create_client", "ok"),
            ("add_secret", "ok"),
            ("add_secret", "limit_reached"),
            ("remove_secret", "ok"),
            ("rotate_secret", "ok"),
            ("event_hook", "ok"),
            ("delete_client", "ok"),
            ("delete_client", "absent"),
            ("create_client", "invalid_request"),
        ]
    );
    assert!(written[4..11].iter().all(|line| line["client_id"] == *id));
    assert_eq!(written[4]["secret_id"], written[6]["secret_id"]);
    let (content, printed) = verify(&[&file], &[]).await;
    assert!(content, "{printed}");
    assert!(printed.contains("lines: 12, chains: 1"), "{printed}");

    let planted = bridge.planted();
    planted.extend(konnect.planted());
    let text = fs::read_to_string(&file).unwrap();
    assert!(planted.count() >= 6, "{}", planted.count());
    planted.assert_absent("the audit log", &text);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_call_that_was_one_too_many_has_its_line_as_well() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let file = folder.path().join("audit.log");
    let mut provider = bridge.gateway.provider("one").clone();
    provider.limits = "rate_limit: {per_second: 1, burst: 1}\n".to_owned();
    let more = format!("audit: {{file: {}}}\n", file.display());
    let gateway = Gateway::start_with(GATEWAY, &[provider], &more).await;
    let konnect = gateway.konnect("one");
    let (mut calls, mut refused) = (0, 0);
    while refused == 0 {
        calls += 1;
        if konnect.delete("never-there").await.answer.status == 429 {
            refused += 1;
        }
    }
    let written = lines(&file);
    assert_eq!(written.len(), calls + 1, "{written:?}");
    let last = &written[calls];
    let told = ["operation", "outcome"].map(|member| last[member].as_str().unwrap());
    assert_eq!(told, ["delete_client", "rate_limited"]);
}

#[tokio::test]
async fn what_is_audited_to_standard_output_is_a_chain_as_well() {
    let bridge = bridge().await;
    let mut gateway = Gateway::start_with(
        GATEWAY,
        bridge.gateway.providers(),
        "audit: {stdout: true}\n",
    )
    .await;
    usual_calls(&gateway.konnect("one")).await;
    gateway.process.terminate().await;
    let _ = gateway.process.ended(Duration::from_secs(15)).await;
    let output = gateway.process.output();
    let audited: Vec<&str> = output
        .lines()
        .filter(|line| line.contains("\"chain\""))
        .collect();
    let folder = Folder::new();
    let file = folder.write("audit.log", &(audited.join("\n") + "\n"));
    let (content, printed) = verify(&[&file], &[]).await;
    assert!(content, "{printed}");
    assert!(printed.contains("lines: 10, chains: 1"), "{printed}");
}

#[tokio::test]
async fn the_chain_goes_on_after_a_kill_and_knows_every_client_that_was_delivered() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let file = folder.path().join("audit.log");
    let mut delivered = Vec::new();
    for _ in 0..3 {
        let mut gateway = audited(&bridge, GATEWAY, &file).await;
        let konnect = gateway.konnect("one");
        // However soon the kill comes, the last line is not the only one.
        for _ in 0..2 {
            let client = konnect.create(&application("ferry")).await.created();
            delivered.push(client.client_id.to_string());
        }
        let before = gateway.process.output().len();
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            let konnect = konnect.clone();
            callers.spawn(async move {
                let mut delivered = Vec::new();
                let create = |k: &Konnect| {
                    let body = application("ferry").to_string();
                    let request = k.request(http::Method::POST, "/");
                    k.try_send(request.body(body.into()).unwrap())
                };
                while let Ok(reply) = create(&konnect).await {
                    delivered.push(reply.created().client_id.to_string());
                }
                delivered
            });
        }
        gateway
            .process
            .line_after(before, |line| line.contains("call answered").then_some(()))
            .await;
        gateway.process.kill().await;
        delivered.extend(callers.join_all().await.into_iter().flatten());
        // What a kill may leave: half a line.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 40]).unwrap();
        let last = text.lines().last().unwrap();
        let cut: Value = serde_json::from_str(last).unwrap();
        delivered.retain(|id| cut["client_id"] != **id);
    }
    let _ = audited(&bridge, GATEWAY, &file).await;
    let text = fs::read_to_string(&file).unwrap();
    assert!(!delivered.is_empty());
    for id in &delivered {
        assert!(
            text.contains(&format!("\"client_id\":\"{id}\"")),
            "{id} was delivered and has no line"
        );
    }
    let (content, printed) = verify(&[&file], &[]).await;
    assert!(content, "{printed}");
    assert!(printed.contains("chains: 4"), "{printed}");
    assert_eq!(
        printed.matches("notice: the line is cut").count(),
        3,
        "{printed}"
    );
}

#[tokio::test]
async fn what_several_processes_left_halfway_is_closed_off_and_hides_nothing() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let file = folder.path().join("audit.log");
    let mut gateway = audited(&bridge, GATEWAY, &file).await;
    usual_calls(&gateway.konnect("one")).await;
    gateway.process.kill().await;
    let text = fs::read_to_string(&file).unwrap();
    let half = |line: &str| line[..line.len() / 2].to_owned();
    let last = text.lines().last().unwrap();
    let whole = text.strip_suffix(&format!("{last}\n")).unwrap();
    let start = text.lines().next().unwrap();
    // A call's line, then two starts: one was cut early, one as its newline came.
    for (ends, cut) in [
        (half(last), 1),
        (format!("{}\n{}", half(last), half(start)), 2),
        (
            format!("{}\n{}\n{}\n", half(last), half(start), &start[..5]),
            3,
        ),
    ] {
        fs::write(&file, format!("{whole}{ends}")).unwrap();
        let mut gateway = audited(&bridge, GATEWAY, &file).await;
        usual_calls(&gateway.konnect("one")).await;
        gateway.process.kill().await;
        let (content, printed) = verify(&[&file], &[]).await;
        assert!(content, "{printed}");
        let notices = printed.matches("notice: the line is cut").count();
        assert_eq!(notices, cut, "{printed}");

        // What was whole before the cut cannot be taken away with it.
        let text = fs::read_to_string(&file).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        let before = whole.lines().count() - 1;
        let _ = lines.remove(before);
        let shorter = folder.write("shorter.log", &(lines.join("\n") + "\n"));
        let (content, printed) = verify(&[&shorter], &[]).await;
        assert!(!content, "{printed}");
    }
}

#[tokio::test]
async fn whatever_is_done_to_the_log_is_found_and_its_line_named() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let file = folder.path().join("audit.log");
    for _ in 0..2 {
        let mut gateway = audited(&bridge, GATEWAY, &file).await;
        usual_calls(&gateway.konnect("one")).await;
        gateway.process.kill().await;
    }
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 20, "two times a start and nine calls");
    let tampered = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        change(&mut lines);
        lines.join("\n") + "\n"
    };
    let cases: [(&str, String, u64, &str); 10] = [
        (
            "changed",
            tampered(&|l| l[4] = l[4].replace("ok", "no")),
            5,
            "was changed",
        ),
        (
            "moved number",
            tampered(&|l| l[4] = l[4].replace("\"seq\":4", "\"seq\":9")),
            5,
            "missing",
        ),
        (
            "missing",
            tampered(&|l| drop(l.drain(4..6))),
            5,
            "2 lines before this one are missing",
        ),
        ("swapped", tampered(&|l| l.swap(4, 5)), 6, "out of order"),
        (
            "repeated",
            tampered(&|l| l.insert(5, l[4].clone())),
            6,
            "is repeated",
        ),
        (
            "invented",
            tampered(&|l| l.insert(5, "{}".to_owned())),
            6,
            "is no line",
        ),
        ("halved", tampered(&|l| l[4].truncate(30)), 5, "is no line"),
        (
            "end of a chain",
            tampered(&|l| drop(l.remove(9))),
            10,
            "are missing",
        ),
        (
            "changed start",
            tampered(&|l| l[10] = l[10].replace("false", "true")),
            11,
            "was changed",
        ),
        (
            "beginning",
            tampered(&|l| drop(l.remove(0))),
            1,
            "beginning is missing",
        ),
    ];
    for (what, text, line, sentence) in cases {
        let file = folder.write("tampered.log", &text);
        let (content, printed) = verify(&[&file], &[]).await;
        assert!(!content, "{what} is not found: {printed}");
        let found = printed.lines().find(|found| {
            found.contains(&format!("tampered.log:{line}: WRONG")) && found.contains(sentence)
        });
        assert!(found.is_some(), "{what} is not told as expected: {printed}");
    }
    let (content, whole) = verify(&[&file], &[]).await;
    assert!(content, "{whole}");

    // The same lines in two files are one log, and the second alone needs to be told what it follows.
    let first = folder.write("1.log", &(lines[..7].join("\n") + "\n"));
    let second = folder.write("2.log", &(lines[7..].join("\n") + "\n"));
    let (content, both) = verify(&[&first, &second], &[]).await;
    assert!(content, "{both}");
    assert_eq!(both, whole, "what is printed does not tell the same log");
    let (content, _) = verify(&[&second, &first], &[]).await;
    assert!(!content, "files in the wrong order");
    let (_, printed) = verify(&[&first], &[]).await;
    let last = printed
        .lines()
        .find_map(|line| line.strip_prefix("last hash: "))
        .unwrap();
    let (content, printed) = verify(&[&second], &["--after", last]).await;
    assert!(content, "{printed}");
}

/// A program that runs the gateway where no file can grow beyond 4 KiB.
fn short_of_space(folder: &Folder) -> PathBuf {
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 8\nexec {GATEWAY} \"$@\"\n");
    let path = folder.write("short-of-space", &script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[tokio::test]
async fn a_log_that_cannot_be_written_lets_no_secret_go_and_what_was_made_for_it_is_undone() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let file = folder.path().join("audit.log");
    let program = short_of_space(&folder);
    let mut gateway = audited(&bridge, program.to_str().unwrap(), &file).await;
    let konnect = gateway.konnect("one");
    let mut delivered = Vec::new();
    let refusal = loop {
        let reply = konnect.create(&application("ferry")).await;
        if reply.answer.status != 201 {
            break reply.refused(503);
        }
        delivered.push(reply.created().client_id);
    };
    assert_eq!(refusal.error, "audit_log_unavailable");
    assert!(delivered.len() > 3, "{}", delivered.len());
    gateway
        .process
        .line(|line| line.contains("its operation is undone").then_some(()))
        .await;
    let secrets_before = bridge.proxy.count();
    let id = &*delivered.pop().unwrap();
    // No secret is replaced by one that nobody gets.
    let _ = konnect.rotate(id).await.refused(503);
    let _ = konnect.add(id).await.refused(503);
    assert_eq!(
        bridge.proxy.count(),
        secrets_before,
        "the IdP was asked for a secret"
    );
    konnect.delete(id).await.gone();
    let alive = bridge.idp().clients().await.len();
    assert_eq!(alive, delivered.len(), "the delivered ones and no other");

    fs::rename(&file, folder.path().join("full.log")).unwrap();
    konnect.create(&application("ferry")).await.created();
    for name in ["full.log", "audit.log"] {
        let (content, printed) = verify(&[&folder.path().join(name)], &[]).await;
        assert!(content, "{printed}");
    }
}

#[tokio::test]
async fn a_gateway_does_not_start_with_a_log_that_it_cannot_write_or_that_is_none() {
    let bridge = bridge().await;
    let folder = Folder::new();
    let other = folder.write("notes.txt", "not an audit log\n");
    let open = folder.write("open.txt", "not an audit log");
    let used = folder.path().join("used.log");
    let _user = audited(&bridge, GATEWAY, &used).await;
    for (file, sentence) in [
        (PathBuf::from("/dev/full"), "No space left"),
        (folder.path().join("absent/audit.log"), "No such file"),
        (other, "no line of an audit log"),
        (open.clone(), "no line of an audit log"),
        (used, "another process writes it"),
    ] {
        let yaml = format!(
            "installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\naudit: {{file: {}}}\n",
            file.display()
        );
        let config = folder.write("gateway.yaml", &yaml);
        let directory = config.parent().unwrap();
        let arguments = ["serve".as_ref(), "--config".as_ref(), directory.as_os_str()];
        let mut process = Process::start(GATEWAY, &arguments);
        assert!(!process.ended(Duration::from_secs(15)).await.success());
        assert!(process.output().contains(sentence), "{}", process.output());
    }
    let untouched = fs::read_to_string(open).unwrap();
    assert_eq!(untouched, "not an audit log");
}
