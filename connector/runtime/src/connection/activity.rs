//! Whether a connection has requests in flight, and for how long it has had none.

use std::sync::Arc;
use std::time::Duration;

use hyper::Version;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Clone, Copy, Default)]
pub(super) struct Activity {
    in_flight: usize,
    pub(super) begun: bool,
    pub(super) is_http1: bool,
}

/// One request in flight, until dropped: a peer that goes away drops its handler.
pub(super) struct InFlight(Arc<watch::Sender<Activity>>);

impl InFlight {
    pub(super) fn begin(activity: &Arc<watch::Sender<Activity>>, version: Version) -> Self {
        activity.send_modify(|now| {
            now.in_flight = now.in_flight.saturating_add(1);
            now.begun = true;
            now.is_http1 = version < Version::HTTP_2;
        });
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0
            .send_modify(|now| now.in_flight = now.in_flight.saturating_sub(1));
    }
}

/// Ends when the connection has had no request by `first`, or no request in flight for `later` since its last answer.
pub(super) async fn quiet(
    activity: &mut watch::Receiver<Activity>,
    first: Instant,
    later: Duration,
) {
    loop {
        let now = *activity.borrow_and_update();
        let changed = activity.changed();
        if now.in_flight > 0 {
            // The sender lives as long as the connection.
            let _closed = changed.await;
            continue;
        }
        let limit = if now.begun {
            Instant::now() + later
        } else {
            first
        };
        if tokio::time::timeout_at(limit, changed).await.is_err() {
            return;
        }
    }
}
