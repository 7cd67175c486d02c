//! The log: JSON lines for machines, readable ones on a terminal, always on standard error. Beside it, traces.
//!
//! What goes in is the caller's to judge; the libraries that would print headers or frames are held to warnings.

mod exporter;
mod traces;

use std::io::IsTerminal;
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use self::traces::{Cause, TRACE, TraceId, Traces, Tracing, TracingSection, rename, trace_id};
pub use tracing::level_filters::LevelFilter;

/// Libraries whose finer levels print headers, frames or handshakes, and with them API keys and tokens.
const TALKATIVE: [&str; 11] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "reqwest",
    "rustls",
    "serde_saphyr",
    "tonic",
    "tower",
    "tower_http",
    "want",
];

/// Starts the log at `level` (`info` unless an operator asks for another), and logs every panic as one error line.
///
/// Libraries below us never log finer than warnings, whatever `level` says. A second call changes nothing.
pub fn init(level: LevelFilter) {
    let for_people = std::io::stderr().is_terminal();
    let started = log(std::io::stderr, for_people, level).try_init();
    if started.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

fn log<W>(writer: W, for_people: bool, level: LevelFilter) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer);
    let lines = if for_people {
        lines.with_target(false).boxed()
    } else {
        lines.json().with_span_list(false).boxed()
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets(level)))
        .with(traces::layer())
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level)
        .with_target(TRACE, level.min(LevelFilter::INFO))
        // It says once more what the error says that the caller gets, with the paths of the machine that built it.
        .with_target("rustls_platform_verifier", LevelFilter::OFF)
        .with_targets(TALKATIVE.map(|target| (target, level.min(LevelFilter::WARN))))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let payload = panic.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(at, "panic (a bug of ours, please report it): {what}");
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, for machines, while `act` runs.
    fn logged(level: LevelFilter, act: impl FnOnce()) -> String {
        let written = Written::default();
        let copy = written.clone();
        let log = log(move || copy.clone(), false, level);
        tracing::subscriber::with_default(log, act);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn libraries_never_log_finer_than_warnings() {
        let text = logged(LevelFilter::TRACE, || {
            tracing::debug!(target: "hyper::proto", "hyper's header");
            tracing::trace!(target: "h2::codec", "h2's frame");
            tracing::info!(target: "rustls::client", "rustls's hello");
            tracing::info!(target: "reqwest::connect", "reqwest's url");
            tracing::warn!(target: "rustls::client", "rustls's warning");
            tracing::trace!("our own");
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("rustls's warning"), "{text}");
        assert!(lines[1].contains("our own"), "{text}");
    }

    #[test]
    fn a_line_for_machines_is_json_and_names_its_span() {
        let text = logged(LevelFilter::INFO, || {
            let _call = tracing::info_span!("call", reference = "r-1").entered();
            tracing::info!("a newline\nin the message");
            tracing::debug!("too fine");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        assert!(text.contains(r#""reference":"r-1""#), "{text}");
    }

    #[test]
    fn a_panic_is_one_error_line() {
        let text = logged(LevelFilter::INFO, || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let caught = panic::catch_unwind(|| panic!("two\nlines"));
            panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#""level":"ERROR""#), "{text}");
        assert!(
            text.contains(r"two\nlines") && text.contains(file!()),
            "{text}"
        );
    }
}
