//! Whether anybody is there.

use super::trial::Trial;
use crate::verdict::{Basis, checks};

pub(super) const GROUP: &str = "reach";

checks! { Trial, "reach":
    "the bridge answers", Basis::Demanded("HTTP"),
        "Start the bridge, or correct --base-url; Konnect has to reach it from the internet.",
        t => t.reached().await;
}
