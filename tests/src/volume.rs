//! Files as Kubernetes mounts them.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A mounted ConfigMap or Secret: its files are replaced all at once, by swapping the one link that they all go through.
#[derive(Debug)]
pub struct Volume(PathBuf);

impl Volume {
    /// Makes one that holds these files, given as name and content. What is in the folder besides stays.
    #[must_use]
    pub fn new(folder: PathBuf, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(&folder).expect("a folder in a temporary folder can be made");
        let volume = Self(folder);
        volume.swap(files);
        for (name, _) in files {
            let link = volume.0.join("..link");
            symlink(Path::new("..data").join(name), &link).expect("a link can be made");
            fs::rename(link, volume.0.join(name)).expect("a link can be renamed in its folder");
        }
        volume
    }

    /// Puts other versions of all files in place.
    pub fn swap(&self, files: &[(&str, &str)]) {
        let version = format!("..{}", Uuid::new_v4().as_simple());
        let mut folder = fs::DirBuilder::new();
        folder.mode(0o700);
        let new = self.0.join(&version);
        folder.create(&new).expect("a folder can be made");
        for (name, content) in files {
            fs::write(new.join(name), content).expect("the disk has room");
        }
        let (draft, data) = (self.0.join("..data_tmp"), self.0.join("..data"));
        symlink(version, &draft).expect("a link can be made");
        let old = fs::read_link(&data);
        fs::rename(draft, &data).expect("a link can be renamed in its folder");
        if let Ok(old) = old {
            fs::remove_dir_all(self.0.join(old)).expect("our own folder can be removed");
        }
    }

    /// Where a file is.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
