//! Configuration without a restart: read again under load, and no call fails.

use std::fs;
use std::path::Path;

use dcr_contract::model::{Abort, AbortTarget, OperationId};
use dcr_tests::bridge::{new_key, provider_file, random};
use dcr_tests::konnect::application;
use dcr_tests::stand_in::dead_port;
use dcr_tests::{Connector, Konnect, Mishap, Provider, Volume};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::operations::{abort, create, remote};
use crate::start::{Bridge, bridge, bridge_with, gateway};

const TASKS: usize = 4;

/// Creates and deletes without a pause. A call that fails fails the test.
struct Load {
    tasks: JoinSet<()>,
    konnect: watch::Sender<Option<Konnect>>,
    rounds: Vec<watch::Receiver<usize>>,
}

impl Load {
    fn start(konnect: Konnect) -> Self {
        let (konnect, now) = watch::channel(Some(konnect));
        let mut load = Self {
            tasks: JoinSet::new(),
            konnect,
            rounds: Vec::new(),
        };
        for _ in 0..TASKS {
            let (count, rounds) = watch::channel(0);
            let now = now.clone();
            load.rounds.push(rounds);
            load.tasks.spawn(async move {
                loop {
                    let Some(konnect) = now.borrow().clone() else {
                        break;
                    };
                    let made = konnect.create(&application("ferry")).await.created();
                    konnect.delete(&made.client_id).await.gone();
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        load
    }

    /// Waits until each task has gone a whole round from here on.
    async fn goes_on(&mut self) {
        for rounds in &mut self.rounds {
            // The one that is under way began before.
            let enough = *rounds.borrow() + 2;
            let gone = rounds.wait_for(|count| *count >= enough).await.is_ok();
            assert!(gone, "a call has failed, see above");
        }
    }

    /// The next rounds are with this provider or key.
    fn switch(&self, konnect: Konnect) {
        self.konnect.send_replace(Some(konnect));
    }

    async fn end(mut self) {
        self.goes_on().await;
        self.konnect.send_replace(None);
        self.tasks.join_all().await;
    }
}

async fn serves(konnect: &Konnect) {
    let made = konnect.create(&application("ferry")).await.created();
    konnect.delete(&made.client_id).await.gone();
}

async fn is_closed(konnect: &Konnect) {
    let _ = konnect.create(&application("ferry")).await.refused(401);
}

/// The lines of a log with this level, as their messages.
fn lines(output: &str, level: &str) -> Vec<String> {
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(|line| line["level"] == level);
    let message = |line: Value| Some(line.get("fields")?.get("message")?.as_str()?.to_owned());
    lines.filter_map(message).collect()
}

#[tokio::test]
async fn providers_and_keys_come_and_go_under_load_and_no_call_fails() {
    let mut bridge = bridge_with(&["one", "two"], "", "").await;
    let connector = bridge.connector.address;
    let (konnect, two) = (bridge.provider("one"), bridge.provider("two"));
    let mut load = Load::start(konnect.clone());
    load.goes_on().await;

    bridge.gateway.put(&Provider::new("three", connector));
    let read = bridge.gateway.reload().await;
    assert_eq!((&read["added"], &read["providers"]), (&json!(1), &json!(3)));
    serves(&bridge.gateway.konnect("three")).await;
    load.goes_on().await;

    let mut one = bridge.gateway.provider("one").clone();
    let new = konnect.with_key(Some(&new_key_of(&mut one)));
    bridge.gateway.put(&one);
    assert_eq!(bridge.gateway.reload().await["changed"], 1);
    serves(&konnect).await;
    load.switch(new.clone());
    load.goes_on().await;
    one.keys.remove(0);
    bridge.gateway.put(&one);
    assert_eq!(bridge.gateway.reload().await["changed"], 1);
    is_closed(&konnect).await;
    load.goes_on().await;

    serves(&two).await;
    bridge.gateway.take("two");
    assert_eq!(bridge.gateway.reload().await["removed"], 1);
    is_closed(&two).await;
    // Its client stays its own, also when it comes back.
    load.end().await;
    bridge.nothing_left().await;
}

fn new_key_of(provider: &mut Provider) -> String {
    let key = new_key();
    provider.keys.push((key.clone(), None));
    key
}

#[tokio::test]
async fn a_broken_file_holds_up_its_own_provider_alone_until_it_is_mended() {
    let mut bridge = bridge_with(&["one", "two"], "", "").await;
    let (one, two) = (bridge.provider("one"), bridge.provider("two"));
    let mut load = Load::start(one.clone());
    load.goes_on().await;

    let good = bridge.gateway.provider("one").clone();
    let broken = "id: one\npath: /\nconnector: nowhere\n";
    let _ = bridge.gateway.folder.write(&provider_file("one"), broken);
    let _ = bridge
        .gateway
        .folder
        .write(&provider_file("four"), "id: four\n");
    let mut changed = bridge.gateway.provider("two").clone();
    let new = two.with_key(Some(&new_key_of(&mut changed)));
    bridge.gateway.put(&changed);
    let read = bridge.gateway.reload().await;
    assert_eq!(read["outcome"], "held_up");
    assert_eq!((&read["held_up"], &read["changed"]), (&json!(2), &json!(1)));
    serves(&new).await;
    load.goes_on().await;
    let told = lines(&bridge.gateway.process.output(), "ERROR");
    let said = |file: &str, text: &str| {
        let line = |line: &&String| line.contains(file) && line.contains(text);
        told.iter().filter(line).count()
    };
    for place in ["one.yaml:2: path", "one.yaml:3: connector", "api_keys"] {
        assert!(
            said(place, "its last good version is served") > 0,
            "{place}: {told:?}"
        );
    }
    assert!(said("four.yaml", "it is not served") > 0, "{told:?}");
    let metrics = bridge.gateway_metrics().await;
    for line in [
        "dcr_providers_held_up 2",
        r#"dcr_config_reloads_total{part="configuration",outcome="held_up"} 1"#,
        "dcr_config_last_reload_timestamp_seconds ",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    // Another file changes: what is told already is not told again.
    changed.keys.remove(0);
    bridge.gateway.put(&changed);
    let _ = bridge.gateway.reload().await;
    is_closed(&two).await;
    assert_eq!(lines(&bridge.gateway.process.output(), "ERROR"), told);

    bridge.gateway.put(&good);
    bridge.gateway.take("four");
    assert_eq!(bridge.gateway.reload().await["outcome"], "ok");
    load.goes_on().await;
    let metrics = bridge.gateway_metrics().await;
    assert!(metrics.contains("dcr_providers_held_up 0"), "{metrics}");
    load.end().await;

    // The last good version ends with its file.
    let _ = bridge.gateway.folder.write(&provider_file("one"), broken);
    let _ = bridge.gateway.reload().await;
    serves(&one).await;
    bridge.gateway.take("one");
    let _ = bridge.gateway.reload().await;
    is_closed(&one).await;
}

#[tokio::test]
async fn a_mounted_volume_is_swapped_as_kubernetes_does_it_and_no_call_fails() {
    let mut bridge = bridge().await;
    let konnect = bridge.konnect();
    let mut provider = bridge.gateway.provider("one").clone();
    let volume = bridge.gateway.folder.path().join("providers.d");
    let yaml = |volume: &Path| fs::read_to_string(volume.join("one.yaml")).unwrap();
    let mounted = yaml(&volume);
    // The same content behind links: nothing is new.
    let volume = Volume::new(volume, &[("one.yaml", &mounted)]);
    let read = bridge.gateway.reload().await;
    assert_eq!(read["changed"], 0);
    let mut load = Load::start(konnect.clone());
    load.goes_on().await;

    let new = konnect.with_key(Some(&new_key_of(&mut provider)));
    let elsewhere = Provider {
        id: "drafted".to_owned(),
        ..provider.clone()
    };
    // To have its text.
    bridge.gateway.put(&elsewhere);
    let drafted = fs::read_to_string(volume.file("drafted.yaml")).unwrap();
    bridge.gateway.take("drafted");
    volume.swap(&[("one.yaml", &drafted.replace("drafted", "one"))]);
    assert_eq!(bridge.gateway.reload().await["changed"], 1);
    load.switch(new.clone());
    load.goes_on().await;
    load.end().await;
    serves(&new).await;
}

#[tokio::test]
async fn what_takes_a_restart_and_what_nobody_reads_is_told() {
    let mut gateway = gateway(&[Provider::new("one", dead_port())]).await;
    let address = gateway.address;
    let yaml = "installation: other\nlisten: 127.0.0.1:1\nprobe_listen: 127.0.0.1:0\n";
    let _ = gateway.folder.write("gateway.yaml", yaml);
    let _ = gateway.folder.write("providers.d/two.yml", "id: two\n");
    assert_eq!(gateway.reload().await["outcome"], "ok");
    let told = lines(&gateway.process.output(), "WARN");
    for text in ["`installation`", "`listen`", "two.yml"] {
        assert!(told.iter().any(|line| line.contains(text)), "{told:?}");
    }
    assert!(!told.iter().any(|line| line.contains("`probe_listen`")));
    let _ = gateway
        .folder
        .write("gateway.yaml", "installation: e2e\nlisten: 1\n");
    assert_eq!(gateway.reload().await["outcome"], "refused");
    let told = lines(&gateway.process.output(), "ERROR");
    for text in ["gateway.yaml:2: listen", "probe_listen"] {
        assert!(told.iter().any(|line| line.contains(text)), "{told:?}");
    }
    // It is still there.
    assert_eq!(gateway.address, address);
    let reply = gateway.konnect("one").create(&application("ferry")).await;
    let _ = reply.refused(503);
}

#[tokio::test]
async fn a_hangup_without_a_change_is_answered_and_changes_nothing() {
    let mut bridge = bridge().await;
    for process in [&mut bridge.gateway.process, &mut bridge.connector.process] {
        process.hangup().await;
        let answer = |line: &str| line.contains("SIGHUP: nothing has changed").then_some(());
        process.line(answer).await;
    }
    serves(&bridge.konnect()).await;
}

/// Every secret that the connector has sent to its IdP's token endpoint, and whether it was accepted.
fn shown(bridge: &Bridge, secret: &str) -> Vec<bool> {
    let seen = bridge.proxy.seen();
    let tokens = seen.iter().filter(|exchange| exchange.target == "/token");
    let with =
        tokens.filter(|exchange| String::from_utf8_lossy(&exchange.request_body).contains(secret));
    with.map(|exchange| exchange.answer.as_ref().is_some_and(|a| a.status == 200))
        .collect()
}

#[tokio::test]
async fn the_connectors_credential_is_rotated_under_load_and_no_call_fails() {
    let mut bridge = bridge().await;
    let mut load = Load::start(bridge.konnect());
    load.goes_on().await;

    // First in the wrong order: the IdP does not know the new secret yet.
    let unknown = random();
    let _ = bridge.connector.folder.write("idp-secret", &unknown);
    assert_eq!(bridge.connector.reload().await["outcome"], "ok");
    load.goes_on().await;
    assert!(
        shown(&bridge, &unknown).contains(&false),
        "it was not tried"
    );

    // Then in the right one: nobody but the tokens that live lets the connector in.
    let new = bridge.idp().rotate_own_secret().await;
    load.goes_on().await;
    let _ = bridge.connector.folder.write("idp-secret", &new);
    assert_eq!(bridge.connector.reload().await["outcome"], "ok");
    load.goes_on().await;
    // One for all callers; perhaps another for those who came between the file and its reading.
    let shown = shown(&bridge, &new);
    assert!(
        (1..=2).contains(&shown.len()) && shown.iter().all(|accepted| *accepted),
        "{shown:?}"
    );

    // And a file that holds nothing: the last good configuration, and its token, stay.
    let _ = bridge.connector.folder.write("idp-secret", "");
    assert_eq!(bridge.connector.reload().await["outcome"], "refused");
    load.goes_on().await;
    let told = lines(&bridge.connector.process.output(), "ERROR");
    let said =
        |line: &&String| line.contains("idp.client_secret_file") && line.contains("is empty");
    assert_eq!(told.iter().filter(said).count(), 1, "{told:?}");
    load.end().await;
    let output = bridge.end().await;
    let planted = bridge.planted();
    planted.plant("the connector's unknown secret", &unknown);
    planted.plant("the connector's new secret", &new);
    planted.assert_absent("the log", &output);
}

/// Changes the connector's file and has it read.
async fn rewrite(connector: &mut Connector, change: impl FnOnce(&str) -> String) -> Value {
    let file = connector.folder.path().join("connector.yaml");
    let text = fs::read_to_string(file).unwrap();
    let _ = connector.folder.write("connector.yaml", &change(&text));
    connector.reload().await
}

#[tokio::test]
async fn clients_are_imported_without_a_restart_and_a_broken_file_keeps_the_last_good_version() {
    let mut bridge = bridge().await;
    let konnect = bridge.konnect();
    let made = konnect.create(&application("ferry")).await.created();
    let by_hand = json!({"name": "by hand", "grant_types": ["client_credentials"]});
    let (id, _) = bridge.idp().insert(&by_hand).await;
    let _ = konnect.list(&id).await.refused(404);
    let import = format!("imported_clients:\n  one: [{id}]\n");
    let read = rewrite(&mut bridge.connector, |text| format!("{import}{text}")).await;
    assert_eq!(read["outcome"], "ok");
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);

    let mut good = String::new();
    let read = rewrite(&mut bridge.connector, |text| {
        text.clone_into(&mut good);
        let bad = text.replace("installation: e2e", "installation: E2E");
        let bad = bad.replace("listen: 127.0.0.1:0", "listen: nowhere");
        bad.replace("  client_id:", "  surprise: 1\n  client_id:")
    })
    .await;
    assert_eq!(read["outcome"], "refused");
    assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);
    let told = lines(&bridge.connector.process.output(), "ERROR");
    for place in [
        "connector.yaml:3: installation",
        "connector.yaml:4: listen",
        "connector.yaml:5: probe_listen",
        "idp.surprise",
    ] {
        assert!(
            told.iter().any(|line| line.contains(place)),
            "{place}: {told:?}"
        );
    }
    let metrics = bridge.connector_metrics().await;
    for outcome in ["ok", "refused"] {
        let line =
            format!("dcr_config_reloads_total{{part=\"configuration\",outcome=\"{outcome}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }

    // Clients are where they are, and bear the mark that they bear.
    let elsewhere = good.replace(&bridge.proxy.url(), "http://127.0.0.1:1");
    let others = good.replace("installation: e2e", "installation: other");
    for (text, member) in [(elsewhere, "`idp`"), (others, "`installation`")] {
        // Nothing of it takes effect.
        let text = text.replace(&import, "");
        let read = rewrite(&mut bridge.connector, |_| text).await;
        assert_eq!(read["outcome"], "refused");
        let told = lines(&bridge.connector.process.output(), "ERROR");
        assert!(told.iter().any(|line| line.contains(member)), "{told:?}");
        assert_eq!(konnect.list(&id).await.listed(&id).len(), 1);
    }
    konnect.delete(&made.client_id).await.gone();
    assert_eq!(bridge.idp().clients().await.len(), 1);
}

#[tokio::test]
async fn locks_and_what_is_known_of_operations_outlive_a_configuration() {
    let mut bridge = bridge().await;
    let connector = remote(bridge.connector.address);
    let undone = OperationId::generate();
    create(&connector, undone).await.unwrap();
    let done = abort(&connector, undone, AbortTarget::Create).await;
    assert_eq!(done, Abort::Undone);

    let konnect = bridge.konnect();
    let made = konnect.create(&application("ferry")).await.created();
    let (held, gate) = Mishap::held();
    bridge.proxy.spoil(Method::POST, "new-secret", held);
    let mut rotation = JoinSet::new();
    rotation.spawn(konnect.rotate(&made.client_id));
    bridge.proxy.held(1).await;
    let rules = "  grants:\n  - {audience: a, scopes: [s]}\n";
    let read = rewrite(&mut bridge.connector, |text| format!("{text}{rules}")).await;
    assert_eq!(read["outcome"], "ok");

    let others = async {
        for _ in 0..3 {
            serves(&konnect).await;
        }
    };
    let mut listing = JoinSet::new();
    listing.spawn(konnect.list(&made.client_id));
    tokio::select! {
        biased;
        Some(_) = listing.join_next() => panic!("the client was not locked"),
        () = others => {}
    }
    gate.open();
    for reply in rotation.join_all().await {
        reply.rotated(&made.client_id);
    }
    for reply in listing.join_all().await {
        assert_eq!(reply.listed(&made.client_id).len(), 1);
    }
    // Nothing is there to be found, so this is remembered.
    let done = abort(&connector, undone, AbortTarget::Create).await;
    assert_eq!(done, Abort::Undone);
}
