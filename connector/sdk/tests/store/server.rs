//! A PostgreSQL that a script starts, and that this suite kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The server; dropped, it and all it wrote are gone.
#[derive(Debug)]
pub(crate) struct Server {
    script: PathBuf,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(script: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Self { script, folder };
        server.start_again();
        server
    }

    pub(crate) fn start_again(&self) {
        let started = Command::new("bash")
            .arg(&self.script)
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(started.success(), "{} failed", self.script.display());
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

/// A server that is being killed may still write.
fn remove(data: &Path) {
    while fs::remove_dir_all(data).is_err() {}
}
