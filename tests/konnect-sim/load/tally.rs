//! What has been counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// What a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Create,
    Delete,
    Rotate,
    List,
    Update,
    Register,
    Deregister,
    Add,
    Remove,
}

impl Sort {
    const ALL: [Self; 9] = [
        Self::Create,
        Self::Delete,
        Self::Rotate,
        Self::List,
        Self::Update,
        Self::Register,
        Self::Deregister,
        Self::Add,
        Self::Remove,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Rotate => "rotate",
            Self::List => "list",
            Self::Update => "update",
            Self::Register => "register",
            Self::Deregister => "deregister",
            Self::Add => "add secret",
            Self::Remove => "remove secret",
        }
    }
}

/// The longest time that is told apart, in microseconds: longer than any `--timeout`.
const LONGEST: u64 = 600_000_000;
/// How many different errors are kept.
const ERRORS: usize = 30;

/// One sort of call.
struct Count {
    sort: Sort,
    times: Mutex<Histogram<u64>>,
}

/// Everything that was counted.
pub(super) struct Tally {
    counts: Vec<Count>,
    /// By what went wrong: how often, and one example.
    errors: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Tally {
    /// A tally of nothing.
    ///
    /// # Errors
    /// When a histogram cannot be made.
    pub(super) fn new() -> Result<Self, String> {
        let count = |sort| {
            let times = Histogram::new_with_bounds(1, LONGEST, 3).map_err(|e| e.to_string())?;
            Ok(Count {
                sort,
                times: Mutex::new(times),
            })
        };
        let counts = Sort::ALL.into_iter().map(count);
        Ok(Self {
            counts: counts.collect::<Result<_, String>>()?,
            errors: Mutex::default(),
        })
    }

    /// Counts a success.
    pub(super) fn succeeded(&self, sort: Sort, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST);
        if let Some(count) = self.counts.iter().find(|count| count.sort == sort) {
            let mut times = count.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.saturating_record(micros);
        }
    }

    /// Counts an error; one example of each is kept.
    pub(super) fn failed(&self, sort: Sort, error: &str, example: &str) {
        let error = format!("{}: {error}", sort.name());
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS || errors.contains_key(&error) {
            errors.entry(error).or_insert((0, example.to_owned())).0 += 1;
        } else {
            errors.entry("others".to_owned()).or_default().0 += 1;
        }
    }

    /// What it all comes to after so long.
    pub(super) fn summary(&self, took: Duration) -> Summary {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Option<Histogram<u64>> = None;
        let mut lines = Vec::new();
        for count in &self.counts {
            let times = count.times.lock().unwrap_or_else(PoisonError::into_inner);
            if times.is_empty() {
                continue;
            }
            lines.push((count.sort.name(), Latency::of(&times)));
            match &mut all {
                // Their bounds are the same, so this cannot fail.
                Some(all) => drop(all.add(&*times)),
                None => all = Some(times.clone()),
            }
        }
        let calls = all.as_ref().map_or(0, Histogram::len);
        let all = all.as_ref().map(Latency::of);
        lines.extend(all.map(|all| ("all", all)));
        Summary {
            took,
            calls,
            errors: errors.values().map(|(count, _)| count).sum(),
            lines,
            causes: errors.clone().into_iter().collect(),
        }
    }
}

/// Percentiles of latency, and how many calls there were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    calls: u64,
    p50: Duration,
    p90: Duration,
    p99: Duration,
    p999: Duration,
    max: Duration,
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Self {
        let at = |quantile| Duration::from_micros(times.value_at_quantile(quantile));
        Self {
            calls: times.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_micros(times.max()),
        }
    }
}

/// What it all comes to.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) took: Duration,
    /// Calls that succeeded.
    pub(super) calls: u64,
    pub(super) errors: u64,
    /// Each sort of call, then all of them.
    lines: Vec<(&'static str, Latency)>,
    causes: Vec<(String, (u64, String))>,
}

impl Summary {
    fn per_second(&self) -> f64 {
        let calls = u32::try_from(self.calls).unwrap_or(u32::MAX);
        f64::from(calls) / self.took.as_secs_f64().max(0.001)
    }

    /// One line, for while it runs.
    pub(super) fn line(&self) -> String {
        let mut line = format!(
            "{:>4.0} s  {} calls  {:.0}/s",
            self.took.as_secs_f64(),
            self.calls,
            self.per_second()
        );
        if let Some((_, all)) = self.lines.last() {
            let _ = write!(
                line,
                "  p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
                ms(all.p50),
                ms(all.p90),
                ms(all.p99),
                ms(all.p999),
                ms(all.max)
            );
        }
        let _ = write!(line, "  {} errors", self.errors);
        line
    }

    /// A table, for its end.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\n{:<14} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}\n",
            "", "calls", "p50", "p90", "p99", "p99.9", "max"
        );
        for (name, latency) in &self.lines {
            let Latency {
                calls,
                p50,
                p90,
                p99,
                p999,
                max,
            } = latency;
            let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(|time| ms(*time));
            let _ = writeln!(
                text,
                "{name:<14} {calls:>9} {p50:>10} {p90:>10} {p99:>10} {p999:>10} {max:>10}"
            );
        }
        let _ = writeln!(
            text,
            "\n{:.1} s, {:.0} calls a second, {} errors",
            self.took.as_secs_f64(),
            self.per_second(),
            self.errors
        );
        for (cause, (count, example)) in &self.causes {
            let _ = writeln!(text, "  {count} x {cause}: {example}");
        }
        if self
            .causes
            .iter()
            .any(|(cause, _)| cause.contains("answered 429"))
        {
            text.push_str(
                "The bridge limits calls: lower --rate or --connections, or raise its limit for this provider.\n",
            );
        }
        text
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let line = |(name, latency): &(&str, Latency)| {
            let Latency {
                calls,
                p50,
                p90,
                p99,
                p999,
                max,
            } = latency;
            json!({
                "name": name,
                "calls": calls,
                "p50_ms": millis(*p50),
                "p90_ms": millis(*p90),
                "p99_ms": millis(*p99),
                "p99_9_ms": millis(*p999),
                "max_ms": millis(*max),
            })
        };
        let cause = |(cause, (count, example)): &(String, (u64, String))| json!({"error": cause, "count": count, "example": example});
        json!({
            "seconds": self.took.as_secs_f64(),
            "calls": self.calls,
            "calls_per_second": self.per_second(),
            "errors": self.errors,
            "latency": self.lines.iter().map(line).collect::<Vec<_>>(),
            "causes": self.causes.iter().map(cause).collect::<Vec<_>>(),
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", millis(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_errors_are_counted_by_sort() {
        let tally = Tally::new().unwrap();
        for ms in 1..=100 {
            tally.succeeded(Sort::List, Duration::from_millis(ms));
        }
        tally.succeeded(Sort::Create, Duration::from_secs(2));
        tally.failed(Sort::Create, "answered 500", "with no body");
        tally.failed(Sort::Create, "answered 500", "with no body");
        let summary = tally.summary(Duration::from_secs(10));
        assert_eq!((summary.calls, summary.errors), (101, 2));
        let json = summary.json();
        assert_eq!(json["latency"][1]["name"], "list");
        let p90 = json["latency"][1]["p90_ms"].as_f64().unwrap();
        assert!((89.5..90.5).contains(&p90), "{p90}");
        assert_eq!(json["latency"][2]["name"], "all");
        assert!(json["latency"][2]["max_ms"].as_f64().unwrap() >= 2000.0);
        assert_eq!(json["causes"][0]["count"], 2);
    }
}
