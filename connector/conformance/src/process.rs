//! The connector's process, where the run was told of it.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A process on this machine, of whatever parent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(Pid);

impl Process {
    /// The process of this id, if there is one.
    pub(crate) fn of(id: i32) -> Option<Self> {
        let process = Self(Pid::from_raw(id)?);
        (!process.has_ended()).then_some(process)
    }

    /// Tells it to end.
    pub(crate) fn terminate(self) -> io::Result<()> {
        kill_process(self.0, Signal::TERM).map_err(io::Error::from)
    }

    /// Whether it has ended, be it that its parent has not looked yet.
    pub(crate) fn has_ended(self) -> bool {
        test_kill_process(self.0) == Err(Errno::SRCH) || self.is_zombie()
    }

    /// proc(5): the state is what follows the name, which is in parentheses and may hold some.
    fn is_zombie(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.as_raw_pid()));
        let stat = stat.unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    }
}
