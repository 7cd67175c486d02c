//! How a connection to a connector is made, and noticed to be dead.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use tonic::transport::{Channel, Endpoint};

use super::ConnectorAddress;
use super::connect::Connect;
use super::tls::{ClientTls, TlsConnector};
use crate::model::Malformed;

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// gRPC servers in Go, Java and Python hang up on pings without a call, so there are none.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(5);

/// A channel that connects when it is first used, and again whenever its connection is lost; each time that it has, it
/// says so. Must be called within a tokio runtime.
pub(super) fn lazily(
    address: &ConnectorAddress,
    tls: Option<&ClientTls>,
    connected: impl Fn() + Clone + Send + 'static,
) -> Result<Channel, Malformed> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(15)));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    // No `connect_timeout` of the endpoint's: its error does not tell that it was a connection that failed.
    let endpoint = Endpoint::from_shared(address.to_string())
        .map_err(|_| Malformed::new("must be an address that HTTP can use"))?
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(false);
    match (address.is_tls(), tls) {
        (false, None) => {
            Ok(endpoint.connect_with_connector_lazy(Connect::new(connector, connected)))
        }
        (true, Some(tls)) => {
            let connector = TlsConnector::new(connector, tls.clone());
            Ok(endpoint.connect_with_connector_lazy(Connect::new(connector, connected)))
        }
        (true, None) => Err(Malformed::new("needs TLS, and none is configured")),
        (false, Some(_)) => Err(Malformed::new(
            "must begin with https:// where TLS is configured",
        )),
    }
}
