//! The server: how it is reached, what can be expected of it, and what it says itself.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dcr_tests::token::{Method, TokenEndpoint};
use serde::Deserialize;
use tokio::process::Command;

/// A scope that every server knows; what registrations grant here is another.
pub(crate) const SCOPE: &str = "orders.read";
pub(crate) const GRANTED: &str = "orders.write";

/// A server that a script has started.
pub(crate) struct Server {
    folder: PathBuf,
    told: Told,
    /// The section `idp` of the connector's configuration, without its store.
    pub(crate) idp: String,
    tokens: TokenEndpoint,
}

/// `server.json`.
#[derive(Debug, Deserialize)]
struct Told {
    public: String,
    origin: String,
    registration_path: String,
    token_path: String,
    credentials: Vec<PathBuf>,
    updates: bool,
    rotates: bool,
    needs_scope: bool,
    at_once: usize,
    warnings: Vec<String>,
}

impl Server {
    pub(crate) fn at(folder: &Path) -> Self {
        let read = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file)
                .unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()))
        };
        let told: Told = serde_json::from_str(&read("server.json")).expect("what common.sh says");
        Self {
            folder: folder.to_owned(),
            idp: read("idp.yaml"),
            tokens: TokenEndpoint::new(&format!("{}{}", told.origin, told.token_path)),
            told,
        }
    }

    /// Where it listens.
    pub(crate) fn origin(&self) -> &str {
        &self.told.origin
    }

    /// Where the world finds it.
    pub(crate) fn public(&self) -> SocketAddr {
        let authority = self.authority();
        authority.parse().expect("an address of this machine")
    }

    /// Host and port, which no answer to Konnect may hold.
    pub(crate) fn authority(&self) -> &str {
        self.told.public.trim_start_matches("http://")
    }

    pub(crate) fn token_url(&self) -> String {
        format!("{}{}", self.told.public, self.told.token_path)
    }

    /// What every registration's path begins with.
    pub(crate) fn registration_path(&self) -> &str {
        &self.told.registration_path
    }

    /// Whether an update that leaves the secret alone is to be had.
    pub(crate) fn updates(&self) -> bool {
        self.told.updates
    }

    /// Whether a new secret is to be had.
    pub(crate) fn rotates(&self) -> bool {
        self.told.rotates
    }

    /// How many calls at once it bears.
    pub(crate) fn at_once(&self) -> usize {
        self.told.at_once
    }

    /// Whether a token request has to ask for a scope.
    pub(crate) fn needs_scope(&self) -> bool {
        self.told.needs_scope
    }

    /// The codes that `check --probe` has reason to warn with.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.told.warnings
    }

    /// The connector's own secrets.
    pub(crate) fn credentials(&self) -> Vec<String> {
        let read = |file: &PathBuf| fs::read_to_string(file).expect("a credential can be read");
        self.told.credentials.iter().map(read).collect()
    }

    /// The ids of the clients that live there, as the server's administrator sees them.
    pub(crate) async fn clients(&self) -> BTreeSet<String> {
        let listed = Command::new(self.folder.join("clients")).output().await;
        let listed = listed.expect("the script has left the command `clients`");
        assert!(
            listed.status.success(),
            "the server's clients cannot be listed: {}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let text = String::from_utf8(listed.stdout).expect("ids are text");
        text.lines().map(str::to_owned).collect()
    }

    /// Whether a secret opens a token for a scope that the client was made with.
    pub(crate) async fn opens(&self, id: &str, secret: &str) -> bool {
        self.opens_for(id, secret, SCOPE).await
    }

    /// Whether it opens one for another scope. What else there is to say is said in statuses and bodies of each
    /// server's own.
    pub(crate) async fn opens_for(&self, id: &str, secret: &str, scope: &str) -> bool {
        let answer = self.tokens.ask(Method::Post, id, secret, Some(scope)).await;
        let status = answer.status;
        assert!(
            status == 200 || [400, 401, 403].contains(&status.as_u16()),
            "neither a token nor a refusal: {status} {}",
            answer.text()
        );
        status == 200
    }
}
