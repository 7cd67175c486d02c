//! Suites that are programs with options, such as those against real servers: their scenarios, one after the other.

use std::io::{Write as _, stdout};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::task::JoinSet;

/// A name, and what happens.
pub type Scenario = (&'static str, Pin<Box<dyn Future<Output = ()> + Send>>);

/// All of a suite's scenarios, by module: functions of what they start from, which is given first.
#[macro_export]
macro_rules! scenarios {
    ($setup:expr, $($module:ident: $($name:ident)*;)*) => {
        vec![$($((stringify!($name), Box::pin($module::$name($setup)) as _),)*)*]
    };
}

static PANIC: Mutex<String> = Mutex::new(String::new());

/// Runs the scenarios whose names hold one of these texts, or all when there is none. A failure is a panic, and told.
pub async fn run(scenarios: Vec<Scenario>, only: &[String]) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
    let (mut passed, mut failed) = (0, 0);
    for (name, scenario) in scenarios {
        if !only.is_empty() && !only.iter().any(|text| name.contains(text.as_str())) {
            continue;
        }
        let began = Instant::now();
        // Each in a task of its own, so that its panic ends nothing but itself.
        let mut task = JoinSet::new();
        task.spawn(scenario);
        let line = if let Some(Ok(())) = task.join_next().await {
            passed += 1;
            format!("ok {name} ({:.1} s)", began.elapsed().as_secs_f32())
        } else {
            failed += 1;
            let reason = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
            format!("FAILED {name}: {reason}")
        };
        let _ = writeln!(stdout(), "{line}");
    }
    let _ = writeln!(stdout(), "{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
