//! What was seen of the world, and all that came out of it.

use dcr_tests::{Answer, Http};

use super::{Drain, Kill, Who, World, lock};
use crate::balancer::Resent;
use crate::passed::Passed;
use crate::replica::Hole;

impl World {
    /// All kills so far.
    pub(crate) fn kills(&self) -> Vec<Kill> {
        lock(&self.kills).clone()
    }

    /// All black holes, the first to end before the others.
    pub(crate) fn holes(&self) -> Vec<Hole> {
        lock(&self.holes).clone()
    }

    /// All processes so far that were asked to end.
    pub(crate) fn drains(&self) -> Vec<Drain> {
        lock(&self.drains).clone()
    }

    /// What came of the requests that got through to a connector twice.
    pub(crate) fn resent(&self) -> Vec<Resent> {
        self.balancers.iter().map(|b| b.resent()).collect()
    }

    /// What has got through to connectors.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.balancers.iter().flat_map(|b| b.log.all()).collect()
    }

    /// What befell requests on their way, and what was replaced.
    pub(crate) fn befallen(&self) -> impl Iterator<Item = (String, usize)> {
        let stuck = self.replicas.iter().map(|replica| replica.stuck()).sum();
        let replaced = self.certificates.replaced();
        let others = [
            (
                "between gateway and connector: stuck in a black hole",
                stuck,
            ),
            ("replaced: certificates", replaced.leaves),
            ("replaced: CAs", replaced.cas),
            (
                "replaced: connectors' credentials",
                lock(&self.credentials).rotated(),
            ),
            (
                "replaced: the key that Konnect uses",
                lock(&self.keys).current,
            ),
        ];
        let others = others.map(|(what, count)| (what.to_owned(), count));
        self.befell.all().into_iter().chain(others)
    }

    /// Why certificates were refused.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let refusals = self.replicas.iter().flat_map(|replica| replica.refusals());
        refusals.collect()
    }

    /// All that any process of the bridge has printed and ended.
    pub(crate) fn printed(&self) -> Vec<(Who, String)> {
        lock(&self.printed).clone()
    }

    /// Keeps an answer that may hold no secret.
    pub(crate) fn keep_answer(&self, answer: &Answer) {
        let text = format!("{:?} {}\n", answer.headers, answer.text());
        lock(&self.answers).push_str(&text);
    }

    /// All else that came out of the bridge: answers, and what is in the files that it wrote.
    pub(crate) fn outputs(&self) -> Vec<(String, String)> {
        let mut outputs = vec![("an answer".to_owned(), lock(&self.answers).clone())];
        for number in [0, 1] {
            let place = self.folder.path().join(format!("gateway-{number}"));
            let records = std::fs::read_dir(place.join("records")).expect("it was made");
            let mut files: Vec<_> = records.flatten().map(|entry| entry.path()).collect();
            files.push(place.join("audit.log"));
            for file in files {
                let text = std::fs::read_to_string(&file).expect("what the bridge wrote is text");
                outputs.push((file.display().to_string(), text));
            }
        }
        outputs
    }

    /// Keeps what a process tells of itself.
    pub(super) async fn keep_metrics(&self, who: Who) {
        if let Some((_, probes)) = self.metrics.iter().find(|(known, _)| *known == who) {
            let url = format!("http://{probes}/metrics");
            // One that is about to be killed may be too busy.
            if let Ok(answer) = Http::new().get(&url).await {
                lock(&self.printed).push((who, answer.text()));
            }
        }
    }
}
