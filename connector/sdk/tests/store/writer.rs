//! The process that is killed: it writes rows, and tells of each that it was acknowledged.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use dcr_connector::model::Deadline;
use dcr_connector::store::Change;

use crate::world::{World, id, insert, row, soon, token};

/// Client ids are written one a line after their row; then the row's token is changed, and the id with a `+` written.
pub(crate) fn run(folder: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = World::at(folder).open();
        let mut out = io::stdout();
        for number in 0.. {
            let client_id = format!("{}-{number}", std::process::id());
            insert(&store, &client_id).await;
            writeln!(out, "{client_id}").unwrap();
            let held = store.hold(soon(), &client_id).await.unwrap();
            let change = Change {
                registration_token: Some(token(&format!("{client_id}+"))),
                ..Change::default()
            };
            let long = Deadline::after(Duration::from_secs(30));
            held.replace(long, change).await.unwrap();
            writeln!(out, "{client_id}+").unwrap();
            drop(row(store.find(soon(), &id(&client_id)).await.unwrap()));
        }
    });
    ExitCode::SUCCESS
}
