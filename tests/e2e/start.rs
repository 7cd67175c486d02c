//! What the tests start.

use dcr_tests::stand_in::dead_port;
use dcr_tests::{Gateway, Provider};

const GATEWAY: &str = env!("CARGO_BIN_EXE_test-gateway");

/// A gateway for these providers.
pub(crate) async fn gateway(providers: &[Provider]) -> Gateway {
    Gateway::start(GATEWAY, providers).await
}

/// A gateway with one provider, `one`, whose connector is not there: what gets as far as a connector gets a 503.
pub(crate) async fn gateway_alone() -> Gateway {
    gateway(&[Provider::new("one", dead_port().await)]).await
}
