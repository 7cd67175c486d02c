//! What a run is told beside what it can see from outside.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// Whose clients the run makes, unless it is told otherwise.
const OURS: &str = "dcr-conformance";
const REDIRECT_URI: &str = "https://dcr-conformance.example/callback";
const GRANT_TYPE: &str = "client_credentials";
const CANCELLATIONS: u32 = 50;
const PATIENCE: &str = "5";
const PARALLEL: usize = 8;

/// A part of the contract that a connector claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Profile {
    /// Describe, create, update, delete, rotate, list, ownership, abort, errors.
    Core,
    /// Secrets that are added and removed.
    Secrets,
    /// Registrations for APIs, and what they grant.
    Grants,
    /// All of them.
    All,
}

impl Profile {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Secrets => "secrets",
            Self::Grants => "grants",
            Self::All => "all",
        }
    }
}

/// How a client names itself at the token endpoint (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TokenAuth {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
}

/// How to reach a connector and what is known of its IdP.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where the connector listens: http://HOST:PORT, or https://HOST:PORT with the four TLS options.
    #[arg(long, value_name = "URL")]
    pub connector: String,
    /// The profiles that the connector claims; what it has not the capability for is named as skipped.
    #[arg(
        long,
        value_name = "PROFILE",
        value_enum,
        value_delimiter = ',',
        default_value = "all"
    )]
    pub profile: Vec<Profile>,
    /// The installation in the marks of what the run makes, 1 to 64 of a-z, 0-9 and `-`.
    #[arg(long, value_name = "ID", default_value = OURS)]
    pub installation: String,
    /// The provider in the marks of what the run makes, 1 to 64 of a-z, 0-9 and `-`. Another is made of it to play a
    /// stranger.
    #[arg(long, value_name = "ID", default_value = OURS)]
    pub provider: String,
    /// How the connector is reached over TLS.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// A scope to create clients with, that the IdP has; repeat it for more.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// A grant type to create clients with; repeat it for more.
    #[arg(long = "grant-type", value_name = "TYPE", default_values = [GRANT_TYPE])]
    pub grant_types: Vec<String>,
    /// What the redirect URIs of the run's clients begin with; each ends in a number of its own.
    #[arg(long, value_name = "URI", default_value = REDIRECT_URI)]
    pub redirect_uri: String,
    /// The IdP, as applications see it.
    #[command(flatten)]
    pub tokens: TokenOptions,
    /// The id of a client at the IdP that bears no mark and is not admitted. The run asks for its deletion, which a
    /// connector must not do: make one for this.
    #[arg(long, value_name = "CLIENT_ID")]
    pub unmarked_client: Option<String>,
    /// The id of a client that the operator has admitted for --provider, not as owned. The run rotates no secret of it
    /// and asks for its deletion, which a connector must not do.
    #[arg(long, value_name = "CLIENT_ID")]
    pub admitted_client: Option<String>,
    /// The id of the connector's own credential at the IdP. The run asks for its deletion, which a connector must not
    /// do: use a test IdP.
    #[arg(long, value_name = "CLIENT_ID")]
    pub own_client: Option<String>,
    /// An audience whose registrations the connector's configuration maps to a grant.
    #[arg(long, value_name = "AUDIENCE")]
    pub mapped_audience: Option<String>,
    /// The scope that a registration of --mapped-audience grants and that clients do not have before; it is asked for
    /// at --token-url.
    #[arg(long, value_name = "SCOPE")]
    pub mapped_scope: Option<String>,
    /// How many creates are cancelled at a random point.
    #[arg(long, value_name = "N", default_value_t = CANCELLATIONS)]
    pub cancellations: u32,
    /// How long the IdP may lag behind what it was told, in seconds: until a secret works or works no more, until a
    /// list shows a new client.
    #[arg(long, value_name = "SECONDS", default_value = PATIENCE, value_parser = seconds)]
    pub patience: Duration,
    /// How many checks run at once.
    #[arg(long, value_name = "N", default_value_t = PARALLEL)]
    pub parallel: usize,
    /// Also asks how an aborted operation stands once settle_after has passed, and waits for that long.
    #[arg(long)]
    pub settle: bool,
    /// The connector's process, on this machine. Last of all the run tells it to end (SIGTERM) while it has calls to
    /// answer, and sees how it does that.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub terminate: Option<i32>,
    /// How long the process may take to end, in seconds; 45 more than settle_after unless told otherwise.
    #[arg(long, value_name = "SECONDS", requires = "terminate", value_parser = seconds)]
    pub terminate_within: Option<Duration>,
    /// Runs only the checks whose names contain this; repeat it for more.
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
}

/// TLS as between gateway and connector: each side shows a certificate, and has one URI SAN.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsOptions {
    /// The CA of the connector's certificate, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["certificate_file", "private_key_file", "connector_identity"])]
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to the connector, PEM: a gateway's, with one URI SAN.
    #[arg(long, value_name = "FILE", requires = "ca_file")]
    pub certificate_file: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "FILE", requires = "ca_file")]
    pub private_key_file: Option<PathBuf>,
    /// The URI SAN that the connector's certificate must have.
    #[arg(long, value_name = "URI", requires = "ca_file")]
    pub connector_identity: Option<String>,
}

/// The IdP's token endpoint, where a secret proves that it works.
#[derive(Debug, Clone, Default, Args)]
pub struct TokenOptions {
    /// The IdP's token endpoint; it must know the grant client_credentials.
    #[arg(long, value_name = "URL")]
    pub token_url: Option<String>,
    /// A scope to ask for in token requests.
    #[arg(long, value_name = "SCOPE", requires = "token_url")]
    pub token_scope: Option<String>,
    /// How clients name themselves there; basic unless told otherwise.
    #[arg(long, value_name = "METHOD", value_enum, requires = "token_url")]
    pub token_auth: Option<TokenAuth>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Options {
    /// The defaults of the command line, for a connector at this address.
    #[must_use]
    pub fn new(connector: impl Into<String>) -> Self {
        Self {
            connector: connector.into(),
            profile: vec![Profile::All],
            installation: OURS.to_owned(),
            provider: OURS.to_owned(),
            tls: TlsOptions::default(),
            scopes: Vec::new(),
            grant_types: vec![GRANT_TYPE.to_owned()],
            redirect_uri: REDIRECT_URI.to_owned(),
            tokens: TokenOptions::default(),
            unmarked_client: None,
            admitted_client: None,
            own_client: None,
            mapped_audience: None,
            mapped_scope: None,
            cancellations: CANCELLATIONS,
            patience: Duration::from_secs(5),
            parallel: PARALLEL,
            settle: false,
            terminate: None,
            terminate_within: None,
            only: Vec::new(),
        }
    }

    /// The profiles that were asked for by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = &'static str> {
        let named = self.profile.iter().filter(|one| **one != Profile::All);
        named.map(|profile| profile.name())
    }

    /// Whether a check of this profile was asked for.
    pub(crate) fn covers(&self, profile: Profile) -> bool {
        let asked = |asked: &Profile| *asked == Profile::All || *asked == profile;
        self.profile.iter().any(asked)
    }
}
