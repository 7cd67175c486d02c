//! Tells how much one provider notices of another whose connector is a black hole, under load.
//!
//! A benchmark, no test: its figures belong into a report, and the ratio is the only one of them that means something on
//! a machine with other work. It starts a gateway of its own, found beside it, with two providers; the connector of the
//! one answers at once. Calls are made at an even rate, and measured from when they were due, first without and then with
//! callers of the other provider, in turns.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use dcr_proto::v1;
use dcr_tests::hostile::{Answer, Hostile};
use dcr_tests::konnect::application;
use dcr_tests::stand_in::BlackHole;
use dcr_tests::{Gateway, Konnect, Provider};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Tells how much one provider notices of another whose connector is a black hole.
#[derive(Debug, Parser)]
struct Arguments {
    /// The length of one turn, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=300))]
    seconds: u32,
    /// How many turns of each kind.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// Calls of the good provider per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Callers of the bad provider, each of which calls again at once; more than 64 find no slot.
    #[arg(long, default_value_t = 96)]
    callers: u32,
}

/// Over so many connections the good provider's calls are spread.
const CONNECTIONS: u32 = 8;
/// The gateway takes few new connections at once from one address.
const CONNECT_EVERY: Duration = Duration::from_millis(5);

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
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

async fn run(arguments: &Arguments) -> Result<String, String> {
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let good = Hostile::start().await;
    good.answers().create_client = Answer::Message(v1::CreateClientResponse {
        client_id: "made".to_owned(),
        secret: Some(v1::Secret {
            value: "a-secret-of-some-length".to_owned(),
        }),
        ..Default::default()
    });
    let hole = BlackHole::open().await;
    let providers = [
        Provider::new("good", good.address),
        Provider::new("bad", hole.address()),
    ];
    let program = this.with_file_name("test-gateway");
    let gateway = Gateway::start_telling(program, &providers, "", "info").await;

    let _warm = turn(arguments, &gateway).await?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..arguments.turns {
        alone.extend(turn(arguments, &gateway).await?);
        let mut callers = JoinSet::new();
        for number in 0..arguments.callers {
            callers.spawn(call_again(gateway.konnect("bad"), CONNECT_EVERY * number));
        }
        beside.extend(turn(arguments, &gateway).await?);
    }
    Ok(report(alone, beside))
}

/// One turn of the good provider's calls, and how long each took from when it was due.
async fn turn(arguments: &Arguments, gateway: &Gateway) -> Result<Vec<Duration>, String> {
    let between = Duration::from_secs(CONNECTIONS.into()) / arguments.rate;
    let end = Instant::now() + Duration::from_secs(arguments.seconds.into());
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let konnect = gateway.konnect("good");
        let mut due = Instant::now() + between * number / CONNECTIONS;
        connections.spawn(async move {
            let mut times = Vec::new();
            while due < end {
                tokio::time::sleep_until(due).await;
                let status = konnect.create(&application("load")).await.answer.status;
                if status != 201 {
                    return Err(format!("a call of the good provider was answered {status}"));
                }
                times.push(due.elapsed());
                due += between;
            }
            Ok(times)
        });
    }
    let turns = connections.join_all().await;
    let times = turns.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(times.concat())
}

/// Calls the bad provider for ever.
async fn call_again(konnect: Konnect, first_after: Duration) {
    tokio::time::sleep(first_after).await;
    loop {
        let status = konnect.create(&application("load")).await.answer.status;
        assert!(!status.is_success(), "a black hole answered");
    }
}

fn report(mut alone: Vec<Duration>, mut beside: Vec<Duration>) -> String {
    let mut text = String::new();
    let mut p99s = Vec::new();
    for (name, times) in [("alone", &mut alone), ("beside a black hole", &mut beside)] {
        times.sort_unstable();
        let of = |percent: usize| {
            let time = times.get(times.len() * percent / 100);
            time.copied().unwrap_or_default()
        };
        let (count, p50, p99) = (times.len(), of(50), of(99));
        let _ = writeln!(text, "{name}: {count} calls, p50 {p50:.2?}, p99 {p99:.2?}");
        p99s.push(p99.as_secs_f64());
    }
    if let [alone, beside] = p99s[..] {
        let _ = writeln!(text, "p99 beside / alone: {:.2}", beside / alone);
    }
    text
}
