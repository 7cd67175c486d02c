//! Konnect's HTTP in, connectors out: the stateless edge of the DCR bridge.
//!
//! A call goes `routes` (whose is it, what does it ask) → `konnect` (its body, as the model) → `guard` (no client
//! orphaned) → the provider's connector, and back; what fails becomes text in `reply`. [`serve`] runs a whole
//! gateway. `orphans` asks both sides who is without the other.

pub mod check;
pub mod config;

mod audit;
mod bulkhead;
mod capture;
mod cli;
#[cfg(feature = "dev")]
mod dev;
mod guard;
mod head;
mod keys;
mod konnect;
mod limits;
mod metrics;
mod orphans;
mod path;
mod providers;
mod record;
mod reload;
mod reply;
mod routes;
mod serve;
mod sha256;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use cli::run;
#[doc(hidden)]
pub use cli::run_with;
pub use config::{Config, ProviderConfig};
#[doc(hidden)]
pub use guard::Protections;
pub use keys::{ApiKey, KeyHash, generate as generate_key};
pub use limits::{Limits, Rate};
pub use providers::ProviderPath;
pub use serve::{StartError, serve};
