//! Processes of the bridge: started, watched, stopped.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::PATIENCE;

/// A running program. All that it prints, on both streams, is kept; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: Arc<Mutex<String>>,
    grown: watch::Receiver<usize>,
    readers: JoinSet<()>,
}

impl Process {
    /// Starts a program with an empty environment: nothing of ours is configured there.
    #[must_use]
    #[track_caller]
    pub fn start(program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Self {
        let program = program.as_ref();
        let name = program.to_string_lossy().into_owned();
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let output = Arc::new(Mutex::new(String::new()));
        let (grow, grown) = watch::channel(0);
        let mut readers = JoinSet::new();
        let stdout = child.stdout.take().expect("it was piped");
        let stderr = child.stderr.take().expect("it was piped");
        readers.spawn(keep(stdout, Arc::clone(&output), grow.clone()));
        readers.spawn(keep(stderr, Arc::clone(&output), grow));
        Self {
            child,
            name,
            output,
            grown,
            readers,
        }
    }

    /// Waits for a line that `wanted` makes something of.
    #[track_caller]
    pub fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> impl Future<Output = T> {
        self.line_after(0, wanted)
    }

    /// The same, among what was printed after so many bytes of the output.
    #[track_caller]
    pub fn line_after<T>(
        &mut self,
        bytes: usize,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> impl Future<Output = T> {
        let place = std::panic::Location::caller();
        async move {
            let deadline = tokio::time::Instant::now() + PATIENCE;
            let search = |output: &str| output.get(bytes..)?.lines().find_map(&wanted);
            loop {
                if let Some(found) = search(&self.output()) {
                    return found;
                }
                let grown = tokio::time::timeout_at(deadline, self.grown.changed()).await;
                let ended = matches!(grown, Ok(Err(_)));
                let found = search(&self.output());
                assert!(
                    found.is_some() || matches!(grown, Ok(Ok(()))),
                    "{place}: {} {} without the expected line; it printed:\n{}",
                    self.name,
                    if ended { "ended" } else { "went on" },
                    self.output()
                );
            }
        }
    }

    /// All that was printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process was not waited for")
    }

    /// Asks it to end (SIGTERM).
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Asks it to look at its files at once (SIGHUP).
    pub async fn hangup(&self) {
        self.signal("-HUP").await;
    }

    async fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(signal)
            .arg(self.id().to_string())
            .status()
            .await;
        assert!(
            sent.is_ok_and(|status| status.success()),
            "cannot signal {}",
            self.name
        );
    }

    /// Ends it at once (SIGKILL).
    pub async fn kill(&mut self) -> ExitStatus {
        self.child
            .start_kill()
            .expect("our own child can be killed");
        self.ended(Duration::from_secs(5)).await
    }

    /// Fails when it ends within this time.
    #[track_caller]
    pub fn stays(&mut self, time: Duration) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let ended = tokio::time::timeout(time, self.child.wait()).await;
            assert!(ended.is_err(), "{place}: {} did not stay", self.name);
        }
    }

    /// Waits for its end, and for the last of its output.
    #[track_caller]
    pub fn ended(&mut self, limit: Duration) -> impl Future<Output = ExitStatus> {
        let place = std::panic::Location::caller();
        async move {
            let end = async {
                let status = self
                    .child
                    .wait()
                    .await
                    .expect("our own child can be waited for");
                while self.readers.join_next().await.is_some() {}
                status
            };
            let ended = tokio::time::timeout(limit, end).await;
            ended.unwrap_or_else(|_| panic!("{place}: a process did not end within {limit:?}"))
        }
    }
}

/// When a test fails, what the process printed last is shown.
impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "it belongs to the output of the test")]
    fn drop(&mut self) {
        const SHOWN: usize = 100;
        if std::thread::panicking() {
            let output = self.output();
            let hidden = output.lines().count().saturating_sub(SHOWN);
            let shown: Vec<_> = output.lines().skip(hidden).collect();
            eprintln!("--- {} printed:\n{}", self.name, shown.join("\n"));
        }
    }
}

/// Lets this process open as many files as it may: tests that play a crowd need them.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("a soft limit can be raised to the hard one");
}

async fn keep(
    stream: impl AsyncRead + Unpin,
    output: Arc<Mutex<String>>,
    grow: watch::Sender<usize>,
) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.push_str(&String::from_utf8_lossy(&line));
        line.clear();
        grow.send_modify(|lines| *lines += 1);
    }
}
