//! Kill -9 of the process that writes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use dcr_connector::store::{State, Store};

use crate::world::{PLANTED, World, id, row, soon, token_of};

/// A process that writes, and what it acknowledges.
pub(crate) struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// Client ids, and whether the second token was acknowledged.
    pub(crate) acknowledged: BTreeMap<String, bool>,
}

impl Writer {
    pub(crate) fn start(world: &World) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--write")
            .arg(world.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            process,
            lines,
            acknowledged: BTreeMap::new(),
        }
    }

    /// Waits for so many lines; fewer when the process ends.
    pub(crate) fn read(&mut self, lines: usize) {
        for line in self.lines.by_ref().take(lines).map_while(Result::ok) {
            match line.strip_suffix('+') {
                Some(client_id) => drop(self.acknowledged.insert(client_id.to_owned(), true)),
                None => drop(self.acknowledged.insert(line, false)),
            }
        }
    }

    /// Lets it stand still wherever it is, or go on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Kills it, and reads what it acknowledged before.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.read(usize::MAX);
    }

    /// Every acknowledged row is there with its token, and no other row is left half written.
    pub(crate) async fn all_is_there(&self, store: &Store) {
        assert!(!self.acknowledged.is_empty());
        for (client_id, replaced) in &self.acknowledged {
            let row = row(store.find(soon(), &id(client_id)).await.unwrap());
            let token = token_of(&row).strip_prefix(PLANTED).unwrap();
            let second = format!("{client_id}+");
            // One that was not acknowledged may have been written.
            assert!(
                token == second || !replaced && token == client_id,
                "{token}"
            );
        }
        let mut after = String::new();
        loop {
            let entries = store.entries(soon(), &after).await.unwrap();
            let Some(last) = entries.last() else { break };
            after.clone_from(&last.client_id);
            assert!(
                entries
                    .iter()
                    .all(|entry| !matches!(entry.state, State::Closed(_)))
            );
        }
    }
}

pub(crate) async fn what_was_acknowledged_before_a_kill_is_there(world: World) {
    for lines in [1, 2, 5, 8, 13, 20, 30, 41] {
        let mut writer = Writer::start(&world);
        writer.read(lines);
        writer.kill();
        assert!(writer.acknowledged.len() >= lines / 2);
        writer.all_is_there(&world.open()).await;
    }
}
