//! Processes are killed or asked to end, and start again.

use std::time::Duration;

use bytes::Bytes;
use dcr_tests::{Http, Process};
use http::Request;
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout};

use super::{Drain, Kill, LOOK, PATIENCE, Who, World, lock};
use crate::journal::now;

impl World {
    /// Kills a process (SIGKILL), and starts it again after a pause.
    pub(crate) async fn kill(&self, who: Who, pause: Duration) {
        self.end(who).await;
        sleep(pause).await;
        self.begin(who, self.options.mishaps).await;
    }

    async fn end(&self, who: Who) {
        if let Some(mut process) = self.slot(who).lock().await.take() {
            let from = now();
            let status = process.kill().await;
            let to = now();
            self.keep(who, &process);
            let kill = Kill {
                who,
                from,
                to,
                again: None,
                status,
            };
            lock(&self.kills).push(kill);
        }
    }

    /// Asks a process to end, and waits for all that it still has to do.
    pub(crate) async fn drain(&self, who: Who, limit: Duration) {
        self.keep_metrics(who).await;
        if let Some(mut process) = self.slot(who).lock().await.take() {
            let from = now();
            process.terminate().await;
            let status = timeout(limit, process.ended(2 * limit)).await.ok();
            self.keep(who, &process);
            lock(&self.drains).push(Drain { who, from, status });
        }
    }

    /// Waits until the IdP is done with all that is late, then starts it anew from its journal. From now on nothing
    /// goes wrong.
    pub(crate) async fn calm(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let request = Request::get(format!("http://{}/pending", self.idp))
                .body(Full::new(Bytes::new()))
                .expect("a request");
            let answer = Http::new().send(request).await.expect("the IdP answers");
            if answer.json()["pending"] == 0 {
                break;
            }
            assert!(Instant::now() < end, "the IdP is never done");
            sleep(LOOK).await;
        }
        self.balancers.iter().for_each(|balancer| balancer.calm());
        self.end(Who::Idp).await;
        lock(&self.kills).pop();
        self.begin(Who::Idp, 0).await;
    }

    /// Starts the bridge anew, before an IdP that does what it should.
    pub(crate) async fn resume(&self) {
        for number in [0, 1] {
            self.begin(Who::Connector(number), 0).await;
        }
        for number in [0, 1] {
            self.begin(Who::Gateway(number), 0).await;
        }
    }

    fn keep(&self, who: Who, process: &Process) {
        lock(&self.printed).push((who, process.output()));
    }
}
