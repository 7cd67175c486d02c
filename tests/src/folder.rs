//! Temporary folders.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A folder that only this user can read, and that is removed when dropped: configurations and recordings hold
/// secrets.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("dcr-tests-{}", Uuid::new_v4().as_simple()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, with its folders, and tells where it is.
    #[must_use]
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        let parent = path.parent().expect("a file in a folder has a parent");
        fs::create_dir_all(parent).expect("a folder in a temporary folder can be made");
        // A file that exists is replaced whole, as Kubernetes does it: nobody reads half a configuration.
        let draft = path.with_extension("draft");
        let _ = fs::remove_file(&draft);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .expect("a file in a temporary folder can be made");
        std::io::Write::write_all(&mut file, content.as_bytes()).expect("the disk has room");
        fs::rename(&draft, &path).expect("a file can be renamed in its folder");
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
