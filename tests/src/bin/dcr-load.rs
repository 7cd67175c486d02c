//! Creates clients as fast as a bridge on this machine takes them, and tells how fast that was.
//!
//! A benchmark, no test: its figures belong into a report. It retries nothing: each connection error and each answer
//! that is no 201 is a failure. What it creates stays with the IdP, so it speaks to loopback only.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use dcr_tests::konnect::application;
use dcr_tests::raw::Raw;
use tokio::task::JoinSet;

/// The unit of the times in `/proc/PID/stat`: Linux tells programs 100 ticks a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Creates clients as fast as a bridge on this machine takes them.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gateway: IP address and port, which must be loopback.
    #[arg(long)]
    address: SocketAddr,
    /// The provider's path.
    #[arg(long)]
    path: String,
    /// A file with the provider's API key.
    #[arg(long)]
    key_file: PathBuf,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long to go on, after one second that is not counted.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    /// The most requests in all.
    #[arg(long, default_value_t = 1_000_000)]
    most: usize,
    /// A process whose CPU time is told per request; may be given several times, as `NAME=PID`.
    #[arg(long = "pid", value_parser = named_pid)]
    pids: Vec<(String, u32)>,
}

fn named_pid(text: &str) -> Result<(String, u32), String> {
    let (name, pid) = text.split_once('=').ok_or("must be NAME=PID")?;
    let pid = pid.parse().map_err(|e| format!("{pid}: {e}"))?;
    Ok((name.to_owned(), pid))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(report) => {
            let _ = std::io::stdout().write_all(report.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<String, String> {
    if !arguments.address.ip().is_loopback() {
        return Err("--address must be loopback: what this creates is never deleted".to_owned());
    }
    let key = fs::read_to_string(&arguments.key_file)
        .map_err(|e| format!("{}: {e}", arguments.key_file.display()))?;
    let request = request(&arguments, key.trim());

    let began = Instant::now();
    let counted_from = began + Duration::from_secs(1);
    let end = counted_from + Duration::from_secs(arguments.seconds);
    let mut connections = JoinSet::new();
    let each = arguments.most / arguments.connections.max(1);
    for _ in 0..arguments.connections {
        let plan = Plan {
            request: request.clone(),
            counted_from,
            end,
            most: each,
        };
        connections.spawn(connection(arguments.address, plan));
    }
    tokio::time::sleep_until(counted_from.into()).await;
    let before = cpu(&arguments.pids)?;
    let mut tally = Tally::default();
    let mut after = None;
    while let Some(more) = connections.join_next().await {
        // The first to end tells that counting is over; the others have one request left.
        if after.is_none() {
            after = Some((counted_from.elapsed(), cpu(&arguments.pids)?));
        }
        tally.add(more.map_err(|e| e.to_string())?);
    }
    let (time, after) = after.ok_or("no connection was asked for")?;
    Ok(report(&arguments, time, tally, (&before, &after)))
}

fn request(arguments: &Arguments, key: &str) -> Vec<u8> {
    let body = application("load").to_string();
    let head = format!(
        "POST /{}/ HTTP/1.1\r\nhost: {}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        arguments.path.trim_matches('/'),
        arguments.address,
        body.len()
    );
    format!("{head}{body}").into_bytes()
}

struct Plan {
    request: Vec<u8>,
    counted_from: Instant,
    end: Instant,
    most: usize,
}

#[derive(Default)]
struct Tally {
    times: Vec<Duration>,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, more: Self) {
        self.times.extend(more.times);
        self.failures.extend(more.failures);
    }
}

async fn connection(address: SocketAddr, plan: Plan) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Raw::connect(&address.to_string()).await;
    for _ in 0..plan.most {
        let began = Instant::now();
        if began >= plan.end {
            break;
        }
        let answer = match connection.write(&plan.request).await {
            Ok(()) => connection.answer().await,
            Err(e) => Err(e.to_string()),
        };
        let took = began.elapsed();
        match answer {
            Ok(answer) if answer.status == 201 => {
                if began >= plan.counted_from {
                    tally.times.push(took);
                }
            }
            Ok(answer) => tally.failures.push(answer.status.to_string()),
            Err(error) => {
                tally.failures.push(error);
                break;
            }
        }
    }
    tally
}

/// The CPU time that each process has used so far.
fn cpu(pids: &[(String, u32)]) -> Result<Vec<Duration>, String> {
    let of = |(name, pid): &(String, u32)| {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| format!("{name}: {e}"))?;
        // The second field is a name in brackets that may hold spaces; utime and stime are the 14th and 15th.
        let fields = stat
            .rsplit_once(") ")
            .map_or("", |(_, fields)| fields)
            .split(' ');
        let ticks = fields
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u32>().ok())
            .sum::<u32>();
        Ok(TICK * ticks)
    };
    pids.iter().map(of).collect()
}

fn report(
    arguments: &Arguments,
    time: Duration,
    tally: Tally,
    (before, after): (&[Duration], &[Duration]),
) -> String {
    let Tally {
        mut times,
        failures,
    } = tally;
    times.sort_unstable();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let percentile = |of: usize| {
        times
            .get(times.len() * of / 100)
            .copied()
            .unwrap_or_default()
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} connections, {time:.1?}: {count} created, {:.0}/s, p50 {:.2?}, p99 {:.2?}, {} failures",
        arguments.connections,
        f64::from(count) / time.as_secs_f64(),
        percentile(50),
        percentile(99),
        failures.len()
    );
    for ((name, _), (before, after)) in arguments.pids.iter().zip(before.iter().zip(after)) {
        let used = after.saturating_sub(*before);
        let _ = writeln!(text, "CPU of {name}: {:.0?} a request", used / count.max(1));
    }
    for failure in failures.iter().take(5) {
        let _ = writeln!(text, "failed: {failure}");
    }
    text
}
