//! `dcr-gateway dev`: the whole bridge in one process, as somebody who tries it out meets it.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dcr_tests::konnect::{application, verify};
use dcr_tests::token::{Method, TokenEndpoint};
use dcr_tests::{Folder, Http, Konnect, Process};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

use crate::start::GATEWAY;

/// A running `dev`, and what its ready file said.
pub(crate) struct Dev {
    process: Process,
    ready: Value,
    folder: Folder,
}

impl Dev {
    pub(crate) async fn start() -> Self {
        let folder = Folder::new();
        let file = folder.path().join("ready.json");
        let arguments = ["dev", "--listen", "127.0.0.1:0", "--ready-file"].map(OsStr::new);
        let arguments = [&arguments[..], &[file.as_os_str()]].concat();
        let mut process = Process::start(GATEWAY, &arguments);
        process
            .line(|line| line.starts_with("Delete it").then_some(()))
            .await;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the file holds a key");
        let ready = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        Self {
            process,
            ready,
            folder,
        }
    }

    pub(crate) fn text(&self, member: &str) -> &str {
        let text = self.ready.get(member).and_then(Value::as_str);
        text.expect(member)
    }

    fn konnect(&self) -> Konnect {
        Konnect::new(self.text("base_url"), self.text("api_key"))
    }

    fn tokens(&self) -> TokenEndpoint {
        TokenEndpoint::new(self.text("token_url"))
    }
}

#[tokio::test]
async fn its_clients_get_tokens_and_its_secrets_die_when_they_should() {
    let dev = Dev::start().await;
    let (konnect, idp) = (dev.konnect(), dev.tokens());
    konnect.create(&verify()).await.created();
    let client = konnect.create(&application("hello")).await.created();
    let id = &*client.client_id;
    assert!(idp.opens(id, &client.client_secret).await);
    let second = konnect.add(id).await.added(id);
    assert_eq!(dev.ready["max_secrets"], 2);
    let _ = konnect.add(id).await.refused(400);
    assert!(idp.opens(id, &client.client_secret).await);
    assert!(idp.opens(id, &second.client_secret).await);
    let rotated = konnect.rotate(id).await.rotated(id);
    assert!(!idp.opens(id, &second.client_secret).await);
    assert!(idp.opens(id, &rotated.client_secret).await);
    konnect.delete(id).await.gone();
    assert!(!idp.opens(id, &rotated.client_secret).await);
    let metrics = Http::new().get(dev.text("metrics_url")).await.unwrap();
    assert!(metrics.text().contains("dcr_operations_total"));
}

#[tokio::test]
async fn what_it_prints_is_what_its_ready_file_says() {
    let mut dev = Dev::start().await;
    dev.process.terminate().await;
    assert!(dev.process.ended(Duration::from_secs(10)).await.success());
    let output = dev.process.output();
    for member in ["base_url", "api_key", "token_url", "metrics_url"] {
        assert!(output.contains(dev.text(member)), "{member}");
    }
    let commands = output.lines().filter(|line| line.starts_with("curl "));
    assert_eq!(commands.count(), 3);
    assert!(dev.folder.path().exists());
}

#[tokio::test]
async fn its_tokens_are_signed_by_a_key_that_its_discovery_document_leads_to() {
    let dev = Dev::start().await;
    let (konnect, http) = (dev.konnect(), Http::new());
    let client = konnect.create(&application("hello")).await.created();
    let (id, secret) = (&*client.client_id, &*client.client_secret);
    let answer = dev.tokens().ask(Method::Post, id, secret, None).await;
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let issuer = dev.text("token_url").trim_end_matches("/token");
    let discovery = format!("{issuer}/.well-known/oauth-authorization-server");
    let discovery = http.get(&discovery).await.unwrap().json();
    assert_eq!(discovery["issuer"], issuer);
    assert_eq!(discovery["token_endpoint"], dev.ready["token_url"]);
    let keys = http
        .get(discovery["jwks_uri"].as_str().unwrap())
        .await
        .unwrap();

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let header = URL_SAFE_NO_PAD
        .decode(signed.split('.').next().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let keys = keys.json();
    let key = keys["keys"].as_array().unwrap().iter();
    let key = key.clone().find(|key| key["kid"] == header["kid"]).unwrap();
    let half = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], half("x"), half("y")].concat();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &signature)
        .expect("a good signature");
}

#[tokio::test]
async fn it_serves_plain_http_to_this_machine_only() {
    let arguments = ["dev", "--listen", "0.0.0.0:0"].map(OsStr::new);
    let mut process = Process::start(GATEWAY, &arguments);
    assert!(!process.ended(Duration::from_secs(10)).await.success());
    assert!(process.output().contains("is not a loopback address"));
}
