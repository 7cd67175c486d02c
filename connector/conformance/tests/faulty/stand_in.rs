//! A process in the place of the connector's, which runs within the test.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Says when it is told to end, and ends when it is let go: the signal breaks the first `read`, a line ends the second.
const SCRIPT: &str = "trap 'echo told' TERM; echo ready; read -r _ || read -r _";

/// It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct StandIn {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).kill_on_drop(true);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stand_in = Self { child, said };
        stand_in.says("ready").await;
        stand_in
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().unwrap().try_into().unwrap()
    }

    /// Waits until it is told to end.
    pub(crate) async fn told(&mut self) {
        self.says("told").await;
    }

    /// Lets it end, and does not look: that is how it ends as a zombie.
    pub(crate) async fn end(&mut self) {
        let mut line = self.child.stdin.take().unwrap();
        line.write_all(b"\n").await.unwrap();
    }

    async fn says(&mut self, word: &str) {
        let line = self.said.next_line().await.unwrap();
        assert_eq!(line.as_deref(), Some(word));
    }
}
