//! What the faulty connector remembers, to do wrong by it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use dcr_proto::v1;

/// So many calls are answered in so much time.
const CALLS: usize = 30;
const WINDOW: Duration = Duration::from_millis(400);

/// A client that it made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) caller: Option<v1::Caller>,
    pub(crate) client_id: String,
    pub(crate) secret: Option<v1::Secret>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By operation id.
    pub(crate) made: HashMap<String, Made>,
    /// Operation ids that were begun.
    pub(crate) begun: HashSet<String>,
    /// Operation ids that were begun and not answered.
    pub(crate) lost: HashSet<String>,
    /// Clients whose rotations were begun and not answered.
    pub(crate) locked: HashSet<String>,
    /// When each was aborted first.
    pub(crate) aborted: HashMap<String, Instant>,
    /// The operation that each repetition repeated.
    pub(crate) repeated: HashMap<String, String>,
    pub(crate) deleted: Vec<String>,
    /// Whether something was deleted since the first page.
    pub(crate) moved: bool,
    /// How often each client was read or rotated.
    pub(crate) times: HashMap<String, usize>,
    pub(crate) registered: HashMap<String, Vec<v1::Entity>>,
    pub(crate) last_secret: String,
    pub(crate) descriptions: usize,
    /// Since when calls are counted, and how many have come.
    pub(crate) window: Option<(Instant, usize)>,
}

impl State {
    pub(crate) fn made_client(&self, client_id: &str) -> Option<&Made> {
        self.made.values().find(|made| made.client_id == client_id)
    }

    /// Counts a call: how long it is too many for, if it is.
    pub(crate) fn too_many(&mut self) -> Option<Duration> {
        let (since, calls) = self.window.get_or_insert_with(|| (Instant::now(), 0));
        let Some(left) = WINDOW.checked_sub(since.elapsed()) else {
            self.window = Some((Instant::now(), 1));
            return None;
        };
        *calls += 1;
        (*calls > CALLS).then_some(left)
    }

    pub(crate) fn time(&mut self, client_id: &str) -> usize {
        let times = self.times.entry(client_id.to_owned()).or_default();
        *times += 1;
        *times
    }
}
