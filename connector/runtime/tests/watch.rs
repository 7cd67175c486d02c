//! Files that are read again, in a process that gets SIGHUP.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dcr_runtime::Shutdown;
use dcr_runtime::watch::Watch;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends SIGHUP to this process; every watch of every test looks, and finds what is its own.
fn hangup() {
    let me = std::process::id().to_string();
    let sent = Command::new("kill").args(["-HUP", &me]).status();
    assert!(sent.unwrap().success());
}

/// Writes as Kubernetes and careful operators do: nobody sees half a file.
fn write(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, file).unwrap();
}

/// Watches files, and tells what the first one holds whenever something has changed.
fn watched(shutdown: &Shutdown, files: &[PathBuf]) -> mpsc::UnboundedReceiver<Option<String>> {
    let (tell, told) = mpsc::unbounded_channel();
    let files = files.to_vec();
    let watch = Watch::new(files.clone()).unwrap();
    watch.spawn(shutdown, move || {
        let _ = tell.send(fs::read_to_string(&files[0]).ok());
        files.clone()
    });
    told
}

async fn next<T>(told: &mut mpsc::UnboundedReceiver<T>) -> T {
    let told = timeout(PATIENCE, told.recv()).await;
    told.expect("nothing was read again").unwrap()
}

#[tokio::test]
async fn a_hangup_makes_every_watch_look_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    write(&one, "1");
    write(&two, "1");
    let shutdown = Shutdown::new();
    let mut first = watched(&shutdown, std::slice::from_ref(&one));
    let mut second = watched(&shutdown, std::slice::from_ref(&two));
    write(&one, "2");
    write(&two, "2");
    hangup();
    assert_eq!(next(&mut first).await.as_deref(), Some("2"));
    assert_eq!(next(&mut second).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_change_between_looking_and_reading_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    write(&file, "1");
    let watch = Watch::new([file.clone()]).unwrap();
    write(&file, "2");
    hangup();
    let (tell, mut told) = mpsc::unbounded_channel();
    watch.spawn(&Shutdown::new(), move || {
        let _ = tell.send(());
        vec![file.clone()]
    });
    next(&mut told).await;
}

#[tokio::test]
async fn a_file_that_goes_or_comes_has_changed_and_an_unchanged_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let shutdown = Shutdown::new();
    let mut told = watched(&shutdown, std::slice::from_ref(&file));
    hangup();
    write(&file, "1");
    hangup();
    assert_eq!(next(&mut told).await.as_deref(), Some("1"));
    write(&file, "1");
    hangup();
    fs::remove_file(&file).unwrap();
    hangup();
    // Not "1" once more: the same content again was no change.
    assert_eq!(next(&mut told).await, None);
}

#[tokio::test]
async fn what_kubernetes_swaps_is_seen_through_the_links() {
    let volume = tempfile::tempdir().unwrap();
    let at = |name: &str| volume.path().join(name);
    let swap = |version: &str, text: &str| {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("gateway.yaml"), text).unwrap();
        symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    swap("..2026_1", "1");
    symlink("..data/gateway.yaml", at("gateway.yaml")).unwrap();
    let shutdown = Shutdown::new();
    let mut file = watched(&shutdown, &[at("gateway.yaml")]);
    let mut folder = watched(&shutdown, &[at("gateway.yaml"), volume.path().to_owned()]);
    swap("..2026_2", "2");
    hangup();
    assert_eq!(next(&mut file).await.as_deref(), Some("2"));
    assert_eq!(next(&mut folder).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_file_that_is_learned_of_by_reading_is_read_once_more_and_then_watched() {
    let folder = tempfile::tempdir().unwrap();
    let (index, secret) = (folder.path().join("index"), folder.path().join("secret"));
    write(&index, "");
    write(&secret, "1");
    let (tell, mut told) = mpsc::unbounded_channel();
    let shutdown = Shutdown::new();
    let named = [index.clone(), secret.clone()];
    let watch = Watch::new([index.clone()]).unwrap();
    watch.spawn(&shutdown, move || {
        let _ = tell.send(fs::read_to_string(&named[1]).unwrap());
        named.iter().chain(&named).cloned().collect()
    });
    write(&index, "secret");
    hangup();
    assert_eq!(next(&mut told).await, "1");
    assert_eq!(next(&mut told).await, "1");
    write(&secret, "2");
    hangup();
    assert_eq!(next(&mut told).await, "2");
}

#[tokio::test]
async fn a_watch_ends_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::new();
    let _told = watched(&shutdown, &[folder.path().to_owned()]);
    assert_eq!(shutdown.tracker().len(), 1);
    shutdown.stop();
    shutdown.tracker().close();
    let ended = timeout(PATIENCE, shutdown.tracker().wait()).await;
    assert!(ended.is_ok());
}
