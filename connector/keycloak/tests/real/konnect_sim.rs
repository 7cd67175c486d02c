//! Konnect's contract, as operators try it: `konnect-sim` against gateway, connector and Keycloak.

use std::ffi::OsStr;
use std::time::Duration;

use dcr_tests::{Folder, Process};

use crate::Setup;
use crate::world::World;

/// Longer than all checks take, with every answer of Keycloak at its slowest.
const END: Duration = Duration::from_mins(3);

pub(crate) async fn konnects_contract_is_kept(setup: &'static Setup) {
    let world = World::start(setup).await;
    let before = setup.admin.ids().await;
    let konnect = world.konnect();
    let folder = Folder::new();
    let key = folder.write("key", konnect.key().expect("a key"));
    for command in ["verify", "smoke", "contract"] {
        let tokens = setup.tokens();
        let options = [
            OsStr::new("--base-url"),
            konnect.base_url().as_ref(),
            "--api-key-file".as_ref(),
            key.as_os_str(),
            "--token-url".as_ref(),
            tokens.url().as_ref(),
            command.as_ref(),
        ];
        let mut process = Process::start(&setup.arguments.konnect_sim, &options);
        let status = process.ended(END).await;
        let output = process.output();
        assert!(status.success(), "{output}");
        assert!(output.contains(" 0 failed"), "{output}");
        assert!(!output.contains("advice "), "{output}");
    }
    assert_eq!(setup.admin.ids().await, before, "something was left behind");
    world.end().await;
}
