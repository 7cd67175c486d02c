//! The database server that replicas share.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

/// A PostgreSQL that its script has started.
pub(crate) struct Postgresql {
    folder: PathBuf,
}

impl Postgresql {
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The file with its URL, password and all.
    pub(crate) fn url_file(&self) -> PathBuf {
        self.folder.join("url")
    }

    /// Where its data are.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder
            .join("data")
            .canonicalize()
            .expect("the script says where")
    }

    /// Kills all its processes at once, as a machine that loses power does to them.
    pub(crate) fn kill(&self) {
        let text = fs::read_to_string(self.folder.join("pid")).expect("the script says which");
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.expect("a process id");
        kill_process_group(pid, Signal::KILL).expect("it runs, and is ours");
    }

    /// Starts it again, on what is on the disk.
    pub(crate) async fn start(&self) {
        let status = Command::new(self.folder.join("start")).status().await;
        assert!(
            status.is_ok_and(|status| status.success()),
            "PostgreSQL does not start again"
        );
    }
}
