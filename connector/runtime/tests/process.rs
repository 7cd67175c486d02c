//! Signals, sent to this very process: one test, since a signal is the whole process's.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::process::Command;

use dcr_runtime::process::run;

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
            shutdown.stopping().await;
            Ok::<(), String>(())
        });
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", std::process::ExitCode::SUCCESS)
        );
    }
    let code = run(|shutdown| async move {
        signal("TERM");
        shutdown.stopping().await;
        signal("INT");
        std::future::pending::<Result<(), String>>().await
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
