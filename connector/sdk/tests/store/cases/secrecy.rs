//! What can be read without the keys.

use std::path::Path;
use std::process::Command;

use dcr_connector::store::Change;

use crate::world::{World, insert, soon, token};

/// The files below a folder that hold one of these.
fn holding(folder: &Path, needles: &[&str]) -> String {
    let mut grep = Command::new("grep");
    grep.args([
        "--recursive",
        "--text",
        "--fixed-strings",
        "--files-with-matches",
    ]);
    for needle in needles {
        grep.args(["-e", needle]);
    }
    let found = grep.arg(folder).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

pub(crate) async fn no_token_and_no_name_is_in_the_database(world: World) {
    let store = world.open();
    insert(&store, "a-client-that-is-found").await;
    for number in 0..5 {
        let held = store.hold(soon(), "a-client-that-is-found").await.unwrap();
        let change = Change {
            registration_token: Some(token(&number.to_string())),
            ..Change::default()
        };
        held.replace(soon(), change).await.unwrap();
    }
    insert(&store, "b").await;
    store.bury(soon(), "b").await.unwrap();
    let folder = if world.is_postgres() {
        // So that what is in memory is on the disk as well.
        world.tamper("CHECKPOINT").await;
        world.server().data()
    } else {
        world.folder.path().to_owned()
    };
    assert_ne!(holding(&folder, &["a-client-that-is-found"]), "");
    let planted = [
        "planted-registration-token",
        "planted-name",
        "idp.example/register",
    ];
    assert_eq!(holding(&folder, &planted), "");
    let debug = format!(
        "{store:?} {:?}",
        store.hold(soon(), "a-client-that-is-found").await
    );
    assert!(debug.contains("a-client-that-is-found"), "{debug}");
    assert!(
        planted.iter().all(|planted| !debug.contains(planted)),
        "{debug}"
    );
}
