//! What can be read without the keys.

use std::fs;
use std::path::Path;

use dcr_connector::store::Change;

use crate::world::{World, insert, soon, token};

/// Whether any file below a folder holds any of these.
fn holds(folder: &Path, needles: &[&str]) -> Option<String> {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = holds(&path, needles) {
                return Some(found);
            }
        } else if let Ok(content) = fs::read(&path) {
            let content = String::from_utf8_lossy(&content);
            let mut found = needles.iter().filter(|needle| content.contains(**needle));
            if let Some(needle) = found.next() {
                return Some(format!("{needle} in {}", path.display()));
            }
        }
    }
    None
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
    assert!(holds(&folder, &["a-client-that-is-found"]).is_some());
    let planted = [
        "planted-registration-token",
        "planted-name",
        "idp.example/register",
    ];
    assert_eq!(holds(&folder, &planted), None);
    let debug = format!(
        "{store:?} {:?}",
        store.hold(soon(), "a-client-that-is-found").await
    );
    assert!(!debug.contains("planted-registration-token"), "{debug}");
}
