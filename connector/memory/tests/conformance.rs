//! The connector and its identity provider, held against the contract with the gateway.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what plays the administrator belongs to the test"
)]

use dcr_conformance::{Checked, Options, TokenOptions, run};
use dcr_connector::Shutdown;
use dcr_connector::model::{Audience, Scope};
use dcr_connector_memory::dev::Backend;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const AUDIENCE: &str = "https://api.ferry.example";
const SCOPE: &str = "timetable.read";

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_every_rule_of_the_contract() {
    let connector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options::new(format!("http://{}", connector.local_addr().unwrap()));
    let backend = Backend::new(connector, idp).unwrap().granting(
        Audience::parse(AUDIENCE).unwrap(),
        &Scope::parse(SCOPE).unwrap(),
    );
    let admin = Admin::of(&backend);
    options.tokens = TokenOptions {
        token_url: Some(backend.token_url()),
        ..TokenOptions::default()
    };
    options.mapped_audience = Some(AUDIENCE.to_owned());
    options.mapped_scope = Some(SCOPE.to_owned());
    options.own_client = Some(admin.id.clone());
    let shutdown = Shutdown::new();
    let checked = async {
        options.unmarked_client = Some(admin.insert("unmarked", &json!({})).await);
        let mark = json!({
            "dcr_installation": options.installation, "dcr_provider": options.provider,
            "dcr_operation": "01890a5d-ac96-774b-bcce-b302099a8057", "dcr_adopted": "true",
        });
        options.admitted_client = Some(admin.insert("adopted", &mark).await);
        run(options).await.unwrap()
    };
    let report = tokio::select! {
        report = checked => report,
        served = backend.serve(&shutdown) => panic!("the connector ended: {served:?}"),
    };
    report.assert_passed();
    let skipped: Vec<_> = report.skipped().map(Checked::full_name).collect();
    assert!(skipped.is_empty(), "{skipped:?}");
}

/// The identity provider's admin, who makes what the bridge did not.
struct Admin {
    http: reqwest::Client,
    token_url: String,
    id: String,
    secret: String,
}

impl Admin {
    #[expect(
        clippy::disallowed_methods,
        reason = "plays an administrator of the test's own"
    )]
    fn of(backend: &Backend) -> Self {
        Self {
            http: reqwest::Client::new(),
            token_url: backend.token_url(),
            id: backend.idp().admin_id.clone(),
            secret: backend.idp().admin_secret.expose_secret().to_owned(),
        }
    }

    /// Makes a client, and tells its id.
    async fn insert(&self, name: &str, attributes: &Value) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", "admin")];
        let asked = self
            .http
            .post(&self.token_url)
            .basic_auth(&self.id, Some(&self.secret));
        let token: Value = asked
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let client = json!({ "name": name, "grant_types": ["client_credentials"], "attributes": attributes });
        let url = self.token_url.replace("/token", "/admin/clients");
        let made = self
            .http
            .post(url)
            .bearer_auth(token["access_token"].as_str().unwrap());
        let made: Value = made
            .json(&client)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        made["client_id"].as_str().unwrap().to_owned()
    }
}
