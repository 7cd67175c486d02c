//! The table: every rule that a run tries, group by group.

mod abort;
mod answers;
mod cancellation;
mod clean_up;
mod create;
mod deadlines;
mod delete;
mod describe;
mod drain;
mod errors;
mod listing;
mod ownership;
mod registrations;
mod rotate;
mod secrets;
mod transport;
mod update;

pub(crate) use self::clean_up::{Cleaned, clean_up};
pub(crate) use self::drain::Drained;
use crate::check::Group;

/// What is tried side by side.
pub(crate) const GROUPS: &[&Group] = &[
    &describe::GROUP,
    &create::GROUP,
    &delete::GROUP,
    &rotate::GROUP,
    &secrets::GROUP,
    &update::GROUP,
    &registrations::GROUP,
    &ownership::GROUP,
    &listing::GROUP,
    &abort::GROUP,
    &cancellation::GROUP,
    &deadlines::GROUP,
    &errors::GROUP,
    &transport::GROUP,
];

/// What is judged when all others have ended, in this order.
pub(crate) const AT_THE_END: &[&Group] = &[&answers::GROUP, &clean_up::GROUP];

/// What ends the connector.
pub(crate) const LAST_OF_ALL: &[&Group] = &[&drain::GROUP];
