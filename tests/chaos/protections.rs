//! What each protection is for: switched off, it must show its own harm, under the arguments that bring it out.

use std::fmt::Write as _;

use crate::verdict::{FOREIGN, LOST_REGISTRATION, LOST_UPDATE, ORPHAN, TWICE, UNASKED_ROTATION};

/// One protection of the gateway's or of the SDK's.
#[derive(Debug)]
pub(crate) struct Protection {
    pub(crate) name: &'static str,
    pub(crate) of_gateway: bool,
    /// How many operations show its harm many times over.
    pub(crate) operations: usize,
    /// Percentages of what goes wrong at the IdP and on the two hops; milliseconds between kills of gateways, or no kills.
    pub(crate) mishaps: u32,
    pub(crate) konnect_hop: u32,
    pub(crate) connector_hop: u32,
    pub(crate) kill_gateways_every: Option<u64>,
    /// The harm that it prevents.
    pub(crate) harm: &'static [&'static str],
}

/// The usual ones.
pub(crate) const OPERATIONS: usize = 10_000;
pub(crate) const MISHAPS: u32 = 12;
pub(crate) const KONNECT_HOP: u32 = 10;
pub(crate) const CONNECTOR_HOP: u32 = 2;
pub(crate) const KILL_EVERY: u64 = 2_000;

const USUAL: Protection = Protection {
    name: "",
    of_gateway: false,
    operations: 1_000,
    mishaps: MISHAPS,
    konnect_hop: KONNECT_HOP,
    connector_hop: CONNECTOR_HOP,
    kill_gateways_every: None,
    harm: &[ORPHAN],
};

/// The guard covers for the protections of the connector that undo what it made, while it lives: its gateway is killed.
const KILLED: Protection = Protection {
    kill_gateways_every: Some(700),
    ..USUAL
};

pub(crate) static ALL: [Protection; 8] = [
    Protection {
        name: "guard",
        of_gateway: true,
        operations: 600,
        connector_hop: 20,
        ..USUAL
    },
    Protection {
        name: "settle-look",
        ..USUAL
    },
    Protection {
        name: "client-lock",
        harm: &[LOST_REGISTRATION, LOST_UPDATE],
        ..USUAL
    },
    Protection {
        name: "mark-check",
        operations: 800,
        mishaps: 40,
        harm: &[FOREIGN],
        ..USUAL
    },
    Protection {
        name: "only-once",
        connector_hop: 30,
        harm: &[TWICE, UNASKED_ROTATION],
        ..USUAL
    },
    Protection {
        name: "detached",
        ..KILLED
    },
    Protection {
        name: "armed-undo",
        ..KILLED
    },
    Protection {
        name: "own-undo",
        operations: 600,
        mishaps: 40,
        ..KILLED
    },
];

/// For `--without`.
pub(crate) fn parse(name: &str) -> Result<&'static Protection, String> {
    let names: Vec<_> = ALL.iter().map(|protection| protection.name).collect();
    let mut all = ALL.iter();
    all.find(|protection| protection.name == name)
        .ok_or_else(|| format!("is none of {}", names.join(", ")))
}

/// The table, for `--help`.
pub(crate) fn table() -> String {
    let mut table = "Protections, what --without chooses for each where nothing else is said, and the harm that has to be \
                     seen:\n"
        .to_owned();
    for protection in &ALL {
        let Protection {
            name,
            operations,
            mishaps,
            konnect_hop,
            connector_hop,
            ..
        } = protection;
        let kills = match protection.kill_gateways_every {
            Some(every) => format!("gateways killed every {every} ms"),
            None => "nothing killed".to_owned(),
        };
        let harm = protection.harm.join(", or ");
        let _ = writeln!(
            table,
            "  {name:<12} --operations {operations} --mishaps {mishaps} --konnect-hop {konnect_hop} --connector-hop {connector_hop}, {kills}: {harm}"
        );
    }
    table
}
