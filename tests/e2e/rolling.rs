//! Replicas that are replaced one after the other while Konnect goes on calling.

use std::net::SocketAddr;
use std::time::Duration;

use dcr_tests::konnect::application;
use dcr_tests::{Connector, Gateway, Http, Konnect, Process, Provider, Proxy, Service, SmallIdp};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::start::{GATEWAY, connector_of};

/// Between two calls: 100 a second.
const BETWEEN: Duration = Duration::from_millis(10);
/// Calls that a step waits for, so that there are some before, during and after it.
const SOME: usize = 50;
/// Less than the 5 s that a gateway which stops waits for one more request on a connection.
const A_LITTLE: Duration = Duration::from_secs(3);
/// The gateway's drain is 10 s for calls; a connector's may last until what has to be undone has settled.
const IN_TIME: Duration = Duration::from_secs(15);

/// Konnect, creating and deleting clients without a pause.
struct Load {
    answered: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    calls: JoinSet<()>,
}

impl Load {
    /// Begins. Each call that does not succeed, and each connection that fails, fails the test.
    fn begin(konnect: &Konnect) -> Self {
        let (answer, answered) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let konnect = konnect.clone();
        let mut calls = JoinSet::new();
        calls.spawn(async move {
            let mut clients = JoinSet::new();
            let mut ticks = interval(BETWEEN);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            while !*stopped.borrow() {
                ticks.tick().await;
                let (konnect, answer) = (konnect.clone(), answer.clone());
                clients.spawn(async move {
                    let client = konnect.create(&application("ferry")).await.created();
                    konnect.delete(&client.client_id).await.gone();
                    answer.send_modify(|answered| *answered += 1);
                });
                while let Some(ended) = clients.try_join_next() {
                    ended.unwrap();
                }
            }
            while let Some(ended) = clients.join_next().await {
                ended.unwrap();
            }
        });
        Self {
            answered,
            stop,
            calls,
        }
    }

    /// Waits for some more answers.
    async fn goes_on(&mut self) {
        let enough = *self.answered.borrow() + SOME;
        let more = self.answered.wait_for(|answered| *answered >= enough);
        assert!(more.await.is_ok(), "a call has failed: see above");
    }

    /// Ends, when the last call is answered; how many there were.
    async fn end(mut self) -> usize {
        self.stop.send_replace(true);
        while let Some(ended) = self.calls.join_next().await {
            ended.unwrap();
        }
        *self.answered.borrow()
    }
}

/// Takes a replica out of its Service, then ends it, as Kubernetes does when preStop sleeps.
async fn retire(service: &Service, left: SocketAddr, process: &mut Process, load: &mut Load) {
    service.set(&[left]);
    load.goes_on().await;
    process.terminate().await;
    assert!(process.ended(IN_TIME).await.success());
    load.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_replaced_one_after_the_other_and_no_call_fails() {
    let idp = SmallIdp::start().await;
    let proxy = Proxy::before(idp.url());
    let replica = || connector_of(&proxy, idp.admin(), "", "");
    let mut connectors: [Connector; 2] = [replica().await, replica().await];
    let connector = Service::open(&connectors.each_ref().map(|c| c.address)).await;
    let providers = [Provider::new("one", connector.address())];
    let gateway = || Gateway::start(GATEWAY, &providers);
    let mut gateways: [Gateway; 2] = [gateway().await, gateway().await];
    let konnects = Service::open(&gateways.each_ref().map(|g| g.address)).await;
    let base_url = format!("http://{}/one", konnects.address());
    let konnect = Konnect::new(&base_url, gateways[0].key("one"));
    let konnect = konnect.over(Http::letting_go_after(A_LITTLE));

    let mut load = Load::begin(&konnect);
    load.goes_on().await;
    for (old, other) in [(0, 1), (1, 0)] {
        let left = connectors[other].address;
        retire(&connector, left, &mut connectors[old].process, &mut load).await;
        connectors[old] = replica().await;
        connector.set(&[left, connectors[old].address]);
        load.goes_on().await;
    }
    for (old, other) in [(0, 1), (1, 0)] {
        let left = gateways[other].address;
        retire(&konnects, left, &mut gateways[old].process, &mut load).await;
        gateways[old] = gateway().await;
        konnects.set(&[left, gateways[old].address]);
        load.goes_on().await;
    }
    let calls = load.end().await;
    assert!(calls > 12 * SOME, "{calls}");
    idp.admin().nothing_left().await;
}
