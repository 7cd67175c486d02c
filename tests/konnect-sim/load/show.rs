//! What is seen while it runs: one line that is written again and again on a terminal, and otherwise a line every few
//! seconds.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::tally::Tally;

/// On a terminal.
const OFTEN: Duration = Duration::from_millis(500);
/// In a file or a build server's log.
const SELDOM: Duration = Duration::from_secs(5);

/// Who tells how it goes.
pub(super) struct Progress {
    is_terminal: bool,
    ticks: Interval,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_terminal = stdout().is_terminal();
        let between = if is_terminal { OFTEN } else { SELDOM };
        let mut ticks = interval_at(Instant::now() + between, between);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { is_terminal, ticks }
    }

    /// Waits until it is time to tell.
    pub(super) async fn due(&mut self) {
        self.ticks.tick().await;
    }

    /// Tells how it goes.
    pub(super) fn tell(&self, tally: &Tally, elapsed: Duration) {
        let line = tally.summary(elapsed).line();
        let mut out = stdout();
        let _ = if self.is_terminal {
            write!(out, "\r\x1b[K{line}")
        } else {
            writeln!(out, "{line}")
        };
        let _ = out.flush();
    }

    /// Leaves the line that is written again.
    pub(super) fn end(&self) {
        if self.is_terminal {
            let _ = writeln!(stdout());
        }
    }

    /// Prints a line of its own.
    #[expect(
        clippy::unused_self,
        reason = "whoever prints does so in turn with the line"
    )]
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(stdout(), "{text}");
    }
}
