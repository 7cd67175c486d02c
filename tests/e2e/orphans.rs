//! `dcr-gateway orphans`: who is without the other, in the IdP and in Konnect, and who must not be accused.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dcr_proto::v1;
use dcr_tests::bridge::INSTALLATION;
use dcr_tests::hostile::{Answer, Hostile};
use dcr_tests::konnect::{application, verify};
use dcr_tests::managed::Listing;
use dcr_tests::management::{Management, Portals};
use dcr_tests::stand_in::dead_port;
use dcr_tests::{Folder, Mishap, Planted, Proxy};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::{NoContext, Timestamp, Uuid};

use crate::start::{Bridge, GATEWAY, bridge_with};

/// Where every listing of a portal goes.
const LIST: &str = "/applications?";

/// A bridge with the providers `one` and `two` on one connector, Konnect's management API behind a proxy, and a
/// configuration that knows of both.
struct World {
    bridge: Bridge,
    management: Management,
    proxy: Proxy,
    folder: Folder,
    portal: String,
    dcr_provider: String,
}

impl World {
    async fn start() -> Self {
        let bridge = bridge_with(&["one", "two"], "", "").await;
        let management = Management::start().await;
        let world = Self {
            proxy: Proxy::before(&management.url()),
            portal: management.change(Portals::portal),
            dcr_provider: Uuid::new_v4().to_string(),
            folder: Folder::new(),
            management,
            bridge,
        };
        let gateway = format!(
            "installation: {INSTALLATION}\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\n"
        );
        let _ = world.folder.write("gateway.yaml", &gateway);
        let _ = world
            .folder
            .write("token", &format!("{}\n", world.management.token()));
        world.configure("one", &world.section(&world.proxy.url()));
        world
    }

    /// The section `konnect` for the one portal and the one DCR provider.
    fn section(&self, api: &str) -> String {
        let Self {
            portal,
            dcr_provider,
            ..
        } = self;
        format!(
            "konnect:\n  api: {api}\n  portals: [{portal}]\n  dcr_providers: [{dcr_provider}]\n"
        )
    }

    /// Writes a provider's file.
    fn configure(&self, id: &str, more: &str) {
        let connector = self.bridge.connector.address;
        let hash = if id == "one" { "1" } else { "2" }.repeat(64);
        let yaml = format!(
            "id: {id}\npath: {id}\nconnector: http://{connector}\napi_keys:\n- hash: sha256:{hash}\n{more}"
        );
        let _ = self.folder.write(&format!("providers.d/{id}.yaml"), &yaml);
    }

    /// A client that a provider made a day ago.
    async fn old_client(&self, provider: &str, more: &Value) -> String {
        let day_ago = SystemTime::now() - Duration::from_hours(24);
        let day_ago = day_ago.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let operation = Uuid::new_v7(Timestamp::from_unix(NoContext, day_ago, 0));
        let mut attributes = json!({
            "dcr_installation": INSTALLATION, "dcr_provider": provider, "dcr_operation": operation.to_string(),
        });
        dcr_tests::konnect::merge(&mut attributes, more);
        let client =
            json!({"name": "old", "grant_types": ["client_credentials"], "attributes": attributes});
        self.bridge.idp().insert(&client).await.0
    }

    /// A client of the provider `one` with its application.
    async fn pair(&self) -> (String, String) {
        let client = self.old_client("one", &json!({})).await;
        let application = self.application(&client);
        (client, application)
    }

    /// An application of the DCR provider.
    fn application(&self, client: &str) -> String {
        self.management
            .change(|konnect| konnect.with_dcr(&self.portal, &self.dcr_provider, client))
    }

    /// Applications that are not the bridge's.
    fn others(&self, count: usize) -> Vec<String> {
        let other = Uuid::new_v4().to_string();
        self.management.change(|konnect| {
            let others = (0..count).map(|n| match n % 3 {
                0 => konnect.with_dcr(
                    &self.portal,
                    &other,
                    &format!("https://elsewhere.example/{n}"),
                ),
                1 => konnect.self_managed(&self.portal, &format!("by-hand-{n}")),
                _ => konnect.key_auth(&self.portal),
            });
            others.collect()
        })
    }

    /// Runs the command; whatever it prints holds no token.
    async fn run(&self, more: &[&str]) -> Ran {
        let ran = self.run_with("token", more).await;
        assert_eq!(
            self.management.refused(),
            [""; 0],
            "asked for against the description"
        );
        ran
    }

    async fn run_with(&self, token: &str, more: &[&str]) -> Ran {
        let output = Command::new(GATEWAY)
            .args(["--log", "trace", "orphans", "--config"])
            .arg(self.folder.path())
            .arg("--konnect-token-file")
            .arg(self.folder.path().join(token))
            .args(more)
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = output.await.expect("the gateway's program runs");
        let text = |bytes| String::from_utf8(bytes).expect("what is printed is text");
        let ran = Ran {
            code: output.status.code().expect("an exit code"),
            printed: text(output.stdout),
            log: text(output.stderr),
        };
        let planted = Planted::new();
        planted.plant("Konnect's token", self.management.token());
        planted.extend(&self.bridge.planted());
        planted.assert_absent("the table", &ran.printed);
        planted.assert_absent("the log", &ran.log);
        ran
    }

    /// Runs the command as JSON and as a table, which must agree, and tells what is found at the provider `one`.
    async fn found(&self) -> (i32, Vec<Value>) {
        let (table, json) = (self.run(&[]).await, self.run(&["--json"]).await);
        let found = json.provider("one")["comparison"]["findings"]
            .as_array()
            .cloned();
        let found = found.unwrap_or_else(|| panic!("not compared: {}", json.printed));
        let rows: Vec<_> = table
            .printed
            .lines()
            .filter(|line| line.starts_with("one  "))
            .collect();
        assert_eq!(rows.len(), found.len(), "{}", table.printed);
        for (row, found) in rows.iter().zip(&found) {
            for member in ["kind", "client_id", "operation_id", "application_id"] {
                let cell = found[member].as_str().unwrap_or("-");
                assert!(
                    row.split_whitespace().any(|c| c == cell),
                    "{cell} is not in {row}"
                );
            }
        }
        assert_eq!(table.code, json.code);
        (json.code, found)
    }

    /// Nobody of the provider `one` is accused, and this is why.
    async fn unclear(&self, why: &str) {
        let ran = self.run(&["--json"]).await;
        assert_eq!(ran.code, 1, "{}", ran.printed);
        ran.says_why(why);
    }
}

struct Ran {
    code: i32,
    printed: String,
    log: String,
}

impl Ran {
    fn provider(&self, id: &str) -> Value {
        let json: Value =
            serde_json::from_str(&self.printed).unwrap_or_else(|e| panic!("{e}: {}", self.printed));
        let providers = json["providers"].as_array().expect("a list of providers");
        let found = providers.iter().find(|provider| provider["provider"] == id);
        found
            .unwrap_or_else(|| panic!("nothing about {id}: {}", self.printed))
            .clone()
    }

    #[track_caller]
    fn says_why(&self, why: &str) {
        let provider = self.provider("one");
        let said = provider["why_not"].as_str().unwrap_or_default();
        assert!(said.contains(why), "{why:?} is not in {said:?}");
        assert_eq!(provider["comparison"], Value::Null);
    }
}

fn ids(found: &[Value]) -> Vec<(&str, &str)> {
    fn text<'a>(one: &'a Value, member: &str) -> &'a str {
        one[member].as_str().unwrap_or_default()
    }
    found
        .iter()
        .map(|one| (text(one, "kind"), text(one, "client_id")))
        .collect()
}

#[tokio::test]
async fn where_everybody_has_the_other_nothing_is_found() {
    let world = World::start().await;
    for _ in 0..3 {
        let _ = world.pair().await;
    }
    world.others(5);
    let ran = world.run(&[]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.printed, ran.log);
    assert!(
        ran.printed
            .starts_with("one: clients 3, applications 3: orphan 0, client_gone 0;"),
        "{}",
        ran.printed
    );
    assert_eq!(world.found().await, (0, vec![]));
}

#[tokio::test]
async fn an_orphan_and_an_application_without_its_client_are_found() {
    let world = World::start().await;
    let _ = world.pair().await;
    let orphan = world.old_client("one", &json!({})).await;
    let application = world.application("gone-long-ago");
    let (code, found) = world.found().await;
    assert_eq!(code, 3);
    assert_eq!(
        ids(&found),
        [("orphan", &*orphan), ("client_gone", "gone-long-ago")]
    );
    let client = world.bridge.idp().client(&orphan).await.unwrap();
    assert_eq!(
        found[0]["operation_id"],
        client["attributes"]["dcr_operation"]
    );
    assert_eq!(found[0]["created_at"], client["created_at"]);
    assert_eq!(found[1]["application_id"], *application);
}

#[tokio::test]
async fn probes_and_young_clients_are_set_apart() {
    let world = World::start().await;
    let konnect = world.bridge.provider("one");
    let young = konnect.create(&application("ferry")).await.created();
    let _ = konnect.create(&verify()).await.created();
    let old_probe = world.old_client("one", &json!({"dcr_probe": "true"})).await;
    let ran = world.run(&["--json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.printed);
    let set_apart = &ran.provider("one")["comparison"]["set_apart"];
    assert_eq!(
        (&set_apart["probes"], &set_apart["young"]),
        (&json!(2), &json!(1))
    );
    for id in [&*young.client_id, &*old_probe] {
        assert!(!ran.printed.contains(id), "{id} is accused");
    }
}

#[tokio::test]
async fn another_providers_clients_and_foreign_ones_are_not_mixed_in() {
    let world = World::start().await;
    let of_two = world.old_client("two", &json!({})).await;
    let elsewhere = world
        .old_client("one", &json!({"dcr_installation": "elsewhere"}))
        .await;
    let (by_hand, _) = world
        .bridge
        .idp()
        .insert(&json!({"name": "hand", "grant_types": ["client_credentials"]}))
        .await;
    // An application of ours with a client that was attached and never admitted, and one with another provider's.
    world.application(&by_hand);
    world.application(&of_two);
    let ran = world.run(&["--json", "--provider", "one"]).await;
    assert_eq!(ran.code, 0, "{}", ran.printed);
    let set_apart = &ran.provider("one")["comparison"]["set_apart"];
    assert_eq!(
        (&set_apart["not_admitted"], &set_apart["of_other_providers"]),
        (&json!(1), &json!(1))
    );
    for id in [&of_two, &elsewhere, &by_hand] {
        assert!(!ran.printed.contains(id.as_str()), "{id} is accused");
    }
}

#[tokio::test]
async fn many_pages_of_applications_are_read_whole_while_they_come_and_go() {
    for answer in 2..5 {
        let world = World::start().await;
        let others = world.others(100);
        // First of its page, so that it moves to the page before when one before it is deleted.
        let _ = world.pair().await;
        world.others(149);
        let _ = world.pair().await;
        let orphan = world.old_client("one", &json!({})).await;
        let (portal, first) = (world.portal.clone(), others[0].clone());
        // The counts stay as they are, and yet one could slip through between two pages.
        world.management.before_answer(answer, move |konnect| {
            konnect.remove(&portal, &first);
            let _ = konnect.key_auth(&portal);
        });
        let ran = world.run(&["--json"]).await;
        assert_eq!(ran.code, 3, "{}", ran.printed);
        let comparison = &ran.provider("one")["comparison"];
        let findings = comparison["findings"].as_array().unwrap();
        assert_eq!(ids(findings), [("orphan", &*orphan)]);
        assert_eq!(comparison["applications"], 2, "before answer {answer}");
    }
}

#[tokio::test]
async fn pages_that_never_add_up_accuse_nobody() {
    let world = World::start().await;
    let _orphan = world.old_client("one", &json!({})).await;
    let others = world.others(150);
    for (number, id) in others.iter().take(40).enumerate() {
        let (portal, id) = (world.portal.clone(), id.clone());
        world
            .management
            .before_answer(number + 1, move |konnect| konnect.remove(&portal, &id));
    }
    world.unclear("never added up").await;
}

#[tokio::test]
async fn a_total_that_lies_accuses_nobody() {
    let world = World::start().await;
    let _orphan = world.old_client("one", &json!({})).await;
    world.others(2);
    for (total, answers, why) in [
        (3, 3, "never added up"),
        (1, 3, "never added up"),
        (150, 2, "answered with page 1"),
    ] {
        for _ in 0..answers {
            let meta = json!({"page": {"number": 1, "total": total}});
            world
                .proxy
                .spoil(Method::GET, LIST, Mishap::Member("meta", meta));
        }
        world.unclear(why).await;
        assert!(world.proxy.is_spent());
    }
    // All that is there is listed, and yet it was counted differently.
    world.others(148);
    for _ in 0..3 {
        let meta = json!({"page": {"number": 2, "total": 151}});
        world
            .proxy
            .spoil(Method::GET, "number%5D=2", Mishap::Member("meta", meta));
    }
    world.unclear("counted 150 applications, then 151").await;
}

#[tokio::test]
async fn a_page_that_fails_accuses_nobody() {
    let world = World::start().await;
    let _orphan = world.old_client("one", &json!({})).await;
    world.others(150);
    let body = |text: &'static str| text.as_bytes().into();
    let instead = |status, text| Mishap::Instead(status, HeaderMap::new(), body(text));
    for (mishap, why) in [
        (instead(StatusCode::BAD_GATEWAY, "<html>"), "502"),
        (instead(StatusCode::FORBIDDEN, "{}"), "403"),
        (instead(StatusCode::TOO_MANY_REQUESTS, "{}"), "429"),
        (
            instead(StatusCode::OK, r#"{"data": []}"#),
            "no page of applications",
        ),
        (Mishap::HalfAnAnswer, "no whole answer"),
    ] {
        world.proxy.spoil(Method::GET, "number%5D=2", mishap);
        world.unclear(why).await;
        assert!(world.proxy.is_spent());
    }
}

#[tokio::test]
async fn a_wrong_token_and_a_wrong_portal_accuse_nobody_and_say_so() {
    let world = World::start().await;
    let _orphan = world.old_client("one", &json!({})).await;
    let _ = world.folder.write("wrong", "kpat_of_somebody_else");
    let ran = world.run_with("wrong", &["--json"]).await;
    assert_eq!(ran.code, 1);
    ran.says_why("401; the token is not accepted");
    assert!(!(ran.printed + &ran.log).contains("kpat_of_somebody_else"));
    for (content, why) in [("", "empty"), ("two\nlines", "more than a token")] {
        let _ = world.folder.write("broken", content);
        let ran = world.run_with("broken", &[]).await;
        assert_eq!((ran.code, &*ran.printed), (1, ""));
        assert!(ran.log.contains(why), "{}", ran.log);
    }
    let elsewhere = Uuid::new_v4().to_string();
    let section = world
        .section(&world.management.url())
        .replace(&world.portal, &elsewhere);
    world.configure("one", &section);
    let ran = world.run_with("token", &["--json"]).await;
    ran.says_why("404; there is no such portal");
}

#[tokio::test]
async fn the_token_goes_nowhere_else() {
    let world = World::start().await;
    let elsewhere = Management::start().await;
    let location = HeaderValue::try_from(format!("{}/v3/portals", elsewhere.url())).unwrap();
    let headers = HeaderMap::from_iter([(http::header::LOCATION, location)]);
    let mishap = Mishap::Instead(StatusCode::TEMPORARY_REDIRECT, headers, "".into());
    world.proxy.spoil(Method::GET, LIST, mishap);
    world.unclear("307").await;
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_provider_that_does_not_say_what_to_compare_with_is_told_how() {
    let world = World::start().await;
    let orphan = world.old_client("one", &json!({})).await;
    world.configure("one", "");
    let ran = world.run(&["--json"]).await;
    assert_eq!(ran.code, 1);
    ran.says_why("add `konnect:");
    assert!(!ran.printed.contains(&orphan));
    assert_eq!(world.management.asked(), 0);

    world.configure(
        "one",
        "konnect:\n  api: http://eu.api.konghq.com\n  portals: [planted]\n",
    );
    let ran = world.run(&[]).await;
    assert_eq!(ran.code, 1);
    for why in [
        "konnect.api: must begin with https://",
        "konnect.portals[0]",
        "konnect.dcr_providers",
    ] {
        assert!(ran.printed.contains(why), "{}", ran.printed);
    }
    let ran = world.run(&["--provider", "three"]).await;
    assert_eq!((ran.code, &*ran.printed), (1, ""));
    assert!(
        ran.log.contains("no usable file of the provider three"),
        "{}",
        ran.log
    );
}

#[tokio::test]
async fn one_provider_is_compared_though_another_cannot_be() {
    let world = World::start().await;
    let orphan = world.old_client("one", &json!({})).await;
    world.configure("two", "");
    let ran = world.run(&["--json"]).await;
    assert_eq!(ran.code, 1);
    let found = ran.provider("one");
    assert_eq!(
        ids(found["comparison"]["findings"].as_array().unwrap()),
        [("orphan", &*orphan)]
    );
    assert_eq!(world.run(&["--provider", "one"]).await.code, 3);
}

#[tokio::test]
async fn a_connector_that_does_not_answer_accuses_nobody() {
    let mut world = World::start().await;
    let _ = world.application("gone-long-ago");
    world.bridge.connector.address = dead_port();
    world.configure("one", &world.section(&world.proxy.url()));
    world
        .unclear("the connector's list of clients failed")
        .await;
}

#[tokio::test]
async fn a_connector_whose_list_is_not_whole_accuses_nobody() {
    let mut world = World::start().await;
    let _ = world.application("gone-long-ago");
    let hostile = Hostile::start().await;
    world.bridge.connector.address = hostile.address;
    world.configure("one", &world.section(&world.proxy.url()));
    let list = |next: &str, complete| {
        let client = v1::ManagedClient {
            client_id: "orphan".to_owned(),
            provider_id: "one".to_owned(),
            operation_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            ..Default::default()
        };
        Answer::Message(v1::ListManagedClientsResponse {
            clients: vec![client],
            next_page_token: next.to_owned(),
            complete,
        })
    };
    let info = ErrorDetails::with_error_info("NOT_SUPPORTED", "dcr.connector.v1", []);
    let cannot = Status::with_error_details(Code::Unimplemented, "no list", info);
    for (answer, why) in [
        (list("", false), "is not complete"),
        (list("again", true), "the same page again"),
        (Answer::Status(cannot), "cannot list its clients"),
        (
            Answer::Status(Status::internal("broken")),
            "list of clients failed",
        ),
    ] {
        hostile.answers().list_managed_clients = answer;
        world.unclear(why).await;
    }
    hostile.answers().list_managed_clients = list("", true);
    hostile.answers().list_client_secrets = Answer::Status(Status::internal("broken"));
    world.unclear("could not look at the client orphan").await;
}

#[tokio::test]
async fn a_client_whose_secrets_cannot_be_listed_is_there() {
    let mut world = World::start().await;
    let _ = world.application("there");
    let hostile = Hostile::start().await;
    world.bridge.connector.address = hostile.address;
    world.configure("one", &world.section(&world.proxy.url()));
    let client = v1::ManagedClient {
        client_id: "orphan".to_owned(),
        provider_id: "one".to_owned(),
        operation_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        ..Default::default()
    };
    hostile.answers().list_managed_clients = Answer::Message(v1::ListManagedClientsResponse {
        clients: vec![client],
        complete: true,
        ..Default::default()
    });
    let info = ErrorDetails::with_error_info("NOT_SUPPORTED", "dcr.connector.v1", []);
    let cannot = Status::with_error_details(Code::Unimplemented, "no list", info);
    hostile.answers().list_client_secrets = Answer::Status(cannot);
    let (code, found) = world.found().await;
    assert_eq!((code, ids(&found)), (3, vec![("orphan", "orphan")]));
}

#[tokio::test]
async fn what_changes_between_two_looks_is_not_accused() {
    let world = World::start().await;
    let late = world.old_client("one", &json!({})).await;
    let early = world.application("gone-long-ago");
    let (portal, dcr_provider) = (world.portal.clone(), world.dcr_provider.clone());
    // The first answer is the first list, the second the second.
    let client = late.clone();
    world.management.before_answer(2, move |konnect| {
        let _ = konnect.with_dcr(&portal, &dcr_provider, &client);
        konnect.remove(&portal, &early);
    });
    let ran = world.run(&["--json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.printed);
    assert_eq!(world.management.asked(), 2);
}

#[tokio::test]
async fn clients_that_come_and_go_while_konnect_answers_are_not_accused() {
    let world = World::start().await;
    let konnect = world.bridge.provider("one");
    let going = world.old_client("one", &json!({})).await;
    let (mishap, gate) = Mishap::held();
    world.proxy.spoil(Method::GET, LIST, mishap);
    let coming = async {
        world.proxy.held(1).await;
        konnect.delete(&going).await.gone();
        gate.open();
    };
    let (ran, ()) = tokio::join!(world.run(&["--json"]), coming);
    assert_eq!(ran.code, 0, "{}", ran.printed);
}

#[tokio::test]
async fn managed_clients_are_listed_once_while_others_come_and_go() {
    let world = World::start().await;
    let konnect = world.bridge.provider("one");
    let mut stay = Vec::new();
    for _ in 0..7 {
        stay.push(world.old_client("one", &json!({})).await);
    }
    let mut listing = Listing::of(world.bridge.connector.address, 3);
    assert!(listing.page().await);
    // The last one listed, where the next page begins, goes, and so does one that was not listed yet.
    for place in [5, 2] {
        konnect.delete(&stay.remove(place)).await.gone();
    }
    let _ = konnect.create(&application("ferry")).await.created();
    listing.rest().await;
    for id in &stay {
        assert_eq!(listing.listed().get(id), Some(&1), "{id}");
    }
    assert_eq!(listing.complete(), Some(true));
}
