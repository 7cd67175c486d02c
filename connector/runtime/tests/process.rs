//! Signals, sent to this very process: one test, since a signal is the whole process's.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::process::Command;
use std::time::Duration;

use dcr_runtime::process::run;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn signal(name: &str) {
    let own = std::process::id().to_string();
    let sent = Command::new("kill")
        .args(["-s", name, &own])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn a_signal_stops_and_a_second_one_ends_at_once() {
    for name in ["TERM", "INT"] {
        let code = run(|shutdown| async move {
            assert!(!shutdown.is_stopping());
            signal(name);
            timeout(SOON, shutdown.stopping()).await
        });
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", std::process::ExitCode::SUCCESS)
        );
    }
    let code = run(|shutdown| async move {
        signal("TERM");
        timeout(SOON, shutdown.stopping()).await.unwrap();
        signal("INT");
        tokio::time::sleep(SOON).await;
        Ok::<(), String>(())
    });
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::FAILURE)
    );
    let code = run(|_| async { Err("cannot") });
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::FAILURE)
    );
}
