//! What processes on this machine have used of its processors.

use std::fs;
use std::time::Duration;

/// The unit of the times in `/proc/PID/stat`: Linux tells programs 100 ticks a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time that each process has used so far.
///
/// # Errors
/// A sentence, when one cannot be asked.
pub(super) fn used(pids: &[(String, u32)]) -> Result<Vec<Duration>, String> {
    let of = |(name, pid): &(String, u32)| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(|e| format!("--pid {name}={pid}: {e}"))?;
        // The second field is a name in brackets that may hold spaces; utime and stime are the 14th and 15th.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks = ticks.filter_map(|ticks| ticks.parse::<u32>().ok());
        Ok(TICK * ticks.sum::<u32>())
    };
    pids.iter().map(of).collect()
}

/// What each has used a call.
pub(super) fn lines(
    pids: &[(String, u32)],
    before: &[Duration],
    after: &[Duration],
    calls: u64,
) -> Vec<String> {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX).max(1);
    let line = |((name, _), (before, after)): (&(String, u32), (&Duration, &Duration))| {
        let used = after.saturating_sub(*before);
        format!("CPU of {name}: {:.0?} a call", used / calls)
    };
    let times = before.iter().zip(after);
    pids.iter().zip(times).map(line).collect()
}
