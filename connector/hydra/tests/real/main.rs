//! The connector before a real Hydra: the contract with the gateway, Konnect's contract over the whole chain, and Hydra
//! asked directly what became of it. `tests/real.sh` starts all of it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a suite tells what it saw, and fails by a panic"
)]

mod admin;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use dcr_conformance::{Options, Report, TokenOptions};
use dcr_tests::konnect::{application, merge};
use dcr_tests::token::{Method, TokenEndpoint};
use dcr_tests::{Connector, Gateway, Process, Provider, Proxy};
use serde_json::json;

use crate::admin::Admin;

const AUDIENCE: &str = "https://api.ferry.example";
const SCOPE: &str = "timetable.read";
/// Longer than a process may take to do one thing and end.
const END: Duration = Duration::from_mins(1);

/// Runs the suite against a Hydra.
#[derive(Debug, Parser)]
struct Arguments {
    /// Hydra's admin API.
    #[arg(long)]
    admin_url: String,
    /// Hydra's public API.
    #[arg(long)]
    public_url: String,
    /// Where to record what goes by between connector and Hydra.
    #[arg(long)]
    recording: PathBuf,
    /// The gateway's program.
    #[arg(long)]
    gateway: PathBuf,
    /// The connector's program.
    #[arg(long)]
    connector: PathBuf,
    /// The program that plays Konnect.
    #[arg(long)]
    konnect_sim: PathBuf,
}

struct World {
    arguments: Arguments,
    admin: Admin,
    gateway: Gateway,
    connector: Connector,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let proxy = Proxy::recording(&arguments.admin_url, &arguments.recording);
    let idp = |admin_url: &str| {
        format!(
            "  admin_url: {admin_url}\n  grants:\n  - {{audience: {AUDIENCE}, scopes: [{SCOPE}], audiences: [{AUDIENCE}]}}\n"
        )
    };
    let connector = Connector::start(&arguments.connector, |_| idp(&proxy.url()), "").await;
    let providers = [Provider::new("hydra", connector.address)];
    let gateway = Gateway::start(&arguments.gateway, &providers).await;
    let mut world = World {
        admin: Admin::at(&arguments.admin_url),
        arguments,
        gateway,
        connector,
    };

    what_was_asked_for_stands_in_hydra(&world).await;
    what_hydra_cannot_parse_is_refused(&world).await;
    the_contract_with_the_gateway_is_kept(&world).await;
    konnects_contract_is_kept(&world).await;
    check_tells_the_admin_api_from_the_public_one(&world, idp).await;
    assert_eq!(world.admin.marked().await, Vec::<String>::new());

    for (name, process) in [
        ("the gateway", &mut world.gateway.process),
        ("the connector", &mut world.connector.process),
    ] {
        process.terminate().await;
        assert!(process.ended(END).await.success(), "{name} has failed");
    }
}

async fn what_was_asked_for_stands_in_hydra(world: &World) {
    let konnect = world.gateway.konnect("hydra");
    let tokens = TokenEndpoint::new(&format!("{}/oauth2/token", world.arguments.public_url));
    let name = "Fähre ⛴ 渡し船 <b>\"&amp;' ".repeat(11);
    let mut body = application(name.trim_end());
    let asked = json!({
        "application_description": "Zeiten der Fähren",
        "redirect_uris": ["https://ferry.example/cb?a=b&c=d", "com.ferry.example:/cb"],
        "grant_types": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_method": "client_secret_post",
    });
    merge(&mut body, &asked);
    let made = konnect.create(&body).await.created();
    let (id, secret) = (&*made.client_id, &*made.client_secret);
    let found = world.admin.client(id).await.expect("the client is there");
    assert_eq!(found["client_name"], name.trim_end());
    assert_eq!(found["redirect_uris"], asked["redirect_uris"]);
    assert_eq!(found["response_types"], json!(["code"]));
    assert_eq!(found["owner"], "dcr:e2e");
    assert_eq!(
        found["metadata"]["konnect_description"],
        "Zeiten der Fähren"
    );
    let answer = tokens.ask(Method::Post, id, secret, None).await;
    assert_eq!(answer.status, 200);
    konnect.delete(id).await.gone();
    assert!(world.admin.client(id).await.is_none());
    konnect
        .planted()
        .assert_absent("the gateway", &world.gateway.process.output());
    konnect
        .planted()
        .assert_absent("the connector", &world.connector.process.output());
    println!("ok   what was asked for stands in Hydra");
}

/// The contract lets a broken escape pass.
async fn what_hydra_cannot_parse_is_refused(world: &World) {
    let konnect = world.gateway.konnect("hydra");
    let mut body = application("ferry");
    merge(
        &mut body,
        &json!({"redirect_uris": ["https://ferry.example/%zz"]}),
    );
    let refusal = konnect.create(&body).await.refused(400);
    let description = refusal.description;
    assert!(description.contains("redirect_uris"), "{description}");
    println!("ok   what Hydra cannot parse is refused");
}

async fn the_contract_with_the_gateway_is_kept(world: &World) {
    let (unmarked, adopted) = ("made-by-hand", "adopted");
    for id in [unmarked, adopted] {
        world.admin.insert(id).await;
    }
    let config = world.connector.folder.path().join("connector.yaml");
    let provider = "dcr-conformance";
    let words = [
        "adopt",
        "--provider",
        provider,
        "--client-id",
        adopted,
        "--config",
    ];
    let mut arguments = words.map(OsStr::new).to_vec();
    arguments.push(config.as_os_str());
    let mut adopt = Process::start(&world.arguments.connector, &arguments);
    assert!(adopt.ended(END).await.success(), "{}", adopt.output());

    let mut options = Options::new(format!("http://{}", world.connector.address));
    "e2e".clone_into(&mut options.installation);
    options.scopes = vec!["orders.read".to_owned(), "orders.write".to_owned()];
    options.tokens = TokenOptions {
        token_url: Some(format!("{}/oauth2/token", world.arguments.public_url)),
        ..TokenOptions::default()
    };
    options.unmarked_client = Some(unmarked.to_owned());
    options.admitted_client = Some(adopted.to_owned());
    options.mapped_audience = Some(AUDIENCE.to_owned());
    options.mapped_scope = Some(SCOPE.to_owned());
    let report: Report = dcr_conformance::run(options).await.expect("it can be run");
    print!("{}", report.text(false));
    report.assert_passed();
    for id in [unmarked, adopted] {
        world.admin.remove(id).await;
    }
}

async fn konnects_contract_is_kept(world: &World) {
    let folder = &world.gateway.folder;
    let key = folder.write("key", world.gateway.key("hydra"));
    let base_url = format!("http://{}/hydra", world.gateway.address);
    let token_url = format!("{}/oauth2/token", world.arguments.public_url);
    let mut arguments = vec![
        "contract".as_ref(),
        "--api-key-file".as_ref(),
        key.as_os_str(),
    ];
    let words = ["--base-url", &base_url, "--token-url", &token_url];
    arguments.extend(words.map(OsStr::new));
    let mut konnect = Process::start(&world.arguments.konnect_sim, &arguments);
    let status = konnect.ended(END).await;
    print!("{}", konnect.output());
    assert!(status.success(), "Konnect's contract is broken");
}

async fn check_tells_the_admin_api_from_the_public_one(
    world: &World,
    idp: impl Fn(&str) -> String,
) {
    let nobody = "http://127.0.0.1:9";
    for (url, code) in [
        (&*world.arguments.admin_url, "ADMIN_API"),
        (&world.arguments.public_url, "NO_ADMIN_API"),
        (nobody, "UNREACHABLE"),
    ] {
        let folder = dcr_tests::Folder::new();
        let top = "installation: e2e\nlisten: 127.0.0.1:0\nprobe_listen: 127.0.0.1:0\nidp:\n";
        let file = folder.write("connector.yaml", &format!("{top}{}", idp(url)));
        let arguments = ["check".as_ref(), "--config".as_ref(), file.as_os_str()];
        let mut check = Process::start(&world.arguments.connector, &arguments);
        let status = check.ended(END).await;
        let printed = check.output();
        assert_eq!(status.success(), code == "ADMIN_API", "{printed}");
        let codes = printed.split_whitespace();
        assert!(codes.into_iter().any(|word| word == code), "{printed}");
    }
    println!("ok   check tells the admin API from the public one");
}
