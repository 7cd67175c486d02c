//! The connector that keeps the rules, and its identity provider.

use dcr_conformance::{Options, TokenOptions};
use dcr_connector::Shutdown;
use dcr_connector::model::{Audience, Scope};
use dcr_connector_memory::dev::Backend;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const AUDIENCE: &str = "https://api.ferry.example";
const SCOPE: &str = "timetable.read";
/// The connector's own credential.
pub(crate) const OWN: &str = "dcr-connector-memory";

/// A running connector, and all that there is to know of it. It ends with the test.
pub(crate) async fn start() -> Options {
    let connector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let idp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options::new(format!("http://{}", connector.local_addr().unwrap()));
    let (audience, scope) = (
        Audience::parse(AUDIENCE).unwrap(),
        Scope::parse(SCOPE).unwrap(),
    );
    let backend = Backend::new(connector, idp)
        .unwrap()
        .granting(audience, &scope);
    let admin = Admin {
        http: reqwest::Client::new(),
        token_url: backend.token_url(),
        secret: backend.idp().admin_secret.expose_secret().to_owned(),
    };
    let token_url = Some(backend.token_url());
    options.tokens = TokenOptions {
        token_url,
        ..TokenOptions::default()
    };
    options.mapped_audience = Some(AUDIENCE.to_owned());
    options.mapped_scope = Some(SCOPE.to_owned());
    options.own_client = Some(OWN.to_owned());
    tokio::spawn(async move { backend.serve(&Shutdown::new()).await });
    options.unmarked_client = Some(admin.insert(&json!({})).await);
    let mark = json!({
        "dcr_installation": options.installation, "dcr_provider": options.provider,
        "dcr_operation": "01890a5d-ac96-774b-bcce-b302099a8057", "dcr_adopted": "true",
    });
    options.admitted_client = Some(admin.insert(&mark).await);
    options
}

struct Admin {
    http: reqwest::Client,
    token_url: String,
    secret: String,
}

impl Admin {
    /// Makes a client without the connector, and tells its id.
    async fn insert(&self, attributes: &Value) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", "admin")];
        let asked = self
            .http
            .post(&self.token_url)
            .basic_auth(OWN, Some(&self.secret));
        let token: Value = asked
            .form(&form)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let client = json!({ "name": "imported", "grant_types": ["client_credentials"], "attributes": attributes });
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
