//! What the tests start.

use std::ffi::OsStr;
use std::time::Duration;

use dcr_tests::small_idp::{Admin, SmallIdp};
use dcr_tests::stand_in::dead_port;
use dcr_tests::token::TokenEndpoint;
use dcr_tests::{Connector, Gateway, Http, Konnect, Planted, Process, Provider, Proxy};
use serde_json::Value;

pub(crate) const GATEWAY: &str = env!("CARGO_BIN_EXE_test-gateway");
pub(crate) const CONNECTOR: &str = env!("CARGO_BIN_EXE_test-memory");
/// Longer than a process may take to end, or to do one thing and end.
const END: Duration = Duration::from_secs(15);

/// A gateway for these providers.
pub(crate) async fn gateway(providers: &[Provider]) -> Gateway {
    Gateway::start(GATEWAY, providers).await
}

/// A gateway with one provider, `one`, whose connector is not there: what gets as far as a connector gets a 503.
pub(crate) async fn gateway_alone() -> Gateway {
    gateway(&[Provider::new("one", dead_port())]).await
}

/// A whole bridge with one provider, `one`.
pub(crate) async fn bridge() -> Bridge {
    bridge_with(&["one"], "", "").await
}

/// A whole bridge: its IdP, a proxy before that, one connector, and a gateway with these providers. `idp` is added to
/// the section `idp` of the connector's configuration, `connector` to its top.
pub(crate) async fn bridge_with(providers: &[&str], idp: &str, connector: &str) -> Bridge {
    let providers: Vec<_> = providers.iter().map(|id| (*id, None)).collect();
    bridge_limited(&providers, idp, connector).await
}

/// The same with limits of some providers, as YAML.
pub(crate) async fn bridge_limited(
    providers: &[(&str, Option<&str>)],
    idp: &str,
    connector: &str,
) -> Bridge {
    let small_idp = SmallIdp::start().await;
    let proxy = Proxy::before(small_idp.url());
    let admin = small_idp.admin();
    let (id, secret) = (admin.own_client_id(), admin.own_client_secret());
    let mut connector = connector_of(&proxy, admin, idp, connector).await;
    // What a connector asks its IdP for at its start is not to be taken for what a test makes it ask.
    let looked_through = |line: &str| line.contains("have been looked through").then_some(());
    connector.process.line(looked_through).await;
    let provider = |(id, limits): &(&str, Option<&str>)| {
        let mut provider = Provider::new(id, connector.address);
        if let Some(limits) = limits {
            provider.limits = format!("{limits}\n");
        }
        provider
    };
    let providers: Vec<_> = providers.iter().map(provider).collect();
    let gateway = gateway(&providers).await;
    let authority = |url: &str| url.trim_start_matches("http://").to_owned();
    let hidden = [authority(&proxy.url()), authority(small_idp.url())];
    let konnects = providers.iter().map(|provider| {
        let konnect = gateway.konnect(&provider.id).hiding(id).hiding(secret);
        let konnect = hidden.iter().fold(konnect, |k, text| k.hiding(text));
        (provider.id.clone(), konnect)
    });
    Bridge {
        konnects: konnects.collect(),
        gateway,
        connector,
        proxy,
        small_idp,
    }
}

pub(crate) async fn connector_of(proxy: &Proxy, admin: &Admin, idp: &str, more: &str) -> Connector {
    let section = |folder: &dcr_tests::Folder| {
        let file = folder.write("idp-secret", admin.own_client_secret());
        format!(
            "  base_url: {}\n  client_id: {}\n  client_secret_file: {}\n{idp}",
            proxy.url(),
            admin.own_client_id(),
            file.display(),
        )
    };
    let mut connector = Connector::start(CONNECTOR, section, more).await;
    // What it asks its IdP by itself at its start is not to be counted with what a test makes it ask.
    for asked in ["identity provider examined", "clients of Konnect's Verify"] {
        let process = &mut connector.process;
        process
            .line(|line| line.contains(asked).then_some(()))
            .await;
    }
    connector
}

/// A running bridge with all that it stands between.
pub(crate) struct Bridge {
    pub(crate) gateway: Gateway,
    pub(crate) connector: Connector,
    pub(crate) proxy: Proxy,
    small_idp: SmallIdp,
    konnects: Vec<(String, Konnect)>,
}

impl Bridge {
    /// Konnect, at the first provider.
    pub(crate) fn konnect(&self) -> Konnect {
        let (_, konnect) = self.konnects.first().expect("a bridge has a provider");
        konnect.clone()
    }

    /// Konnect, at this provider.
    pub(crate) fn provider(&self, id: &str) -> Konnect {
        let found = self.konnects.iter().find(|(provider, _)| provider == id);
        let (_, konnect) = found.expect("a provider of this bridge");
        konnect.clone()
    }

    /// Where applications get their tokens.
    pub(crate) fn tokens(&self) -> TokenEndpoint {
        self.small_idp.tokens()
    }

    /// What is true at the IdP.
    pub(crate) fn idp(&self) -> &Admin {
        self.small_idp.admin()
    }

    /// Waits until the IdP has no client left but the connector's own.
    #[track_caller]
    pub(crate) fn nothing_left(&self) -> impl Future<Output = ()> {
        self.idp().nothing_left()
    }

    /// One more replica of its connector.
    pub(crate) async fn replica(&self) -> Connector {
        connector_of(&self.proxy, self.idp(), "", "").await
    }

    /// Runs the connector's command `adopt`.
    pub(crate) async fn adopt(&self, provider: &str, client_id: &str, more: &[&str]) {
        let config = self.connector.folder.path().join("connector.yaml");
        let mut arguments = [
            "adopt",
            "--provider",
            provider,
            "--client-id",
            client_id,
            "--config",
        ]
        .map(OsStr::new)
        .to_vec();
        arguments.push(config.as_os_str());
        arguments.extend(more.iter().map(OsStr::new));
        let mut process = Process::start(CONNECTOR, &arguments);
        let status = process.ended(END).await;
        assert!(status.success(), "not adopted: {}", process.output());
    }

    /// Every secret that went by so far: Konnect's keys, clients' secrets, the connector's own, its access tokens.
    pub(crate) fn planted(&self) -> Planted {
        let planted = Planted::new();
        for (_, konnect) in &self.konnects {
            planted.extend(konnect.planted());
        }
        planted.plant("the connector's secret", self.idp().own_client_secret());
        for exchange in self.proxy.seen() {
            let answer = exchange.answer.map(|answer| answer.body);
            let answer = answer.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
            for (member, what) in [
                ("access_token", "an access token"),
                ("client_secret", "a client secret at the IdP"),
            ] {
                let secret = answer.as_ref().and_then(|a| a.get(member)?.as_str());
                if let Some(secret) = secret {
                    planted.plant(what, secret);
                }
            }
        }
        planted
    }

    /// What the gateway counts.
    pub(crate) async fn gateway_metrics(&self) -> String {
        metrics(self.gateway.probes).await
    }

    /// What the connector counts.
    pub(crate) async fn connector_metrics(&self) -> String {
        metrics(self.connector.probes).await
    }

    /// Ends both processes and tells all that they printed.
    pub(crate) async fn end(&mut self) -> String {
        let mut output = String::new();
        for process in [&mut self.gateway.process, &mut self.connector.process] {
            process.terminate().await;
            assert!(process.ended(END).await.success());
            output.push_str(&process.output());
        }
        output
    }
}

/// What a process counts.
pub(crate) async fn metrics(probes: std::net::SocketAddr) -> String {
    let answer = Http::new().get(&format!("http://{probes}/metrics")).await;
    answer.expect("a process has metrics").text()
}
