//! A PostgreSQL that a script starts, and that this suite kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The server; dropped, it and all it wrote are gone.
#[derive(Debug)]
pub(crate) struct Server {
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(script: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(script, Some(folder.path()));
        Self { folder }
    }

    pub(crate) fn start_again(&self) {
        run(&self.folder.path().join("start"), None);
    }

    /// Kills all its processes at once, as a machine that dies does.
    pub(crate) fn kill(&self) {
        let pid = fs::read_to_string(self.folder.path().join("pid")).unwrap();
        let group = format!("-{}", pid.trim());
        let killed = Command::new("kill").args(["-9", "--", &group]).status();
        assert!(killed.unwrap().success());
    }

    /// The URL of a database of this server, by a user who may do anything.
    pub(crate) fn url(&self, database: &str) -> String {
        let url = fs::read_to_string(self.folder.path().join("url")).unwrap();
        let (server, _) = url.trim().rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }

    pub(crate) fn data(&self) -> PathBuf {
        fs::canonicalize(self.folder.path().join("data")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        remove(&self.data());
    }
}

fn run(script: &Path, folder: Option<&Path>) {
    let mut bash = Command::new("bash");
    bash.arg(script).args(folder).stdin(Stdio::null());
    assert!(
        bash.status().unwrap().success(),
        "{} failed",
        script.display()
    );
}

/// A server that is being killed may still write.
fn remove(data: &Path) {
    while fs::remove_dir_all(data).is_err() {}
}
