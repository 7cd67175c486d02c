//! A Kubernetes Service: one address, whose connections go to its endpoints in turn.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::loopback;

/// A Service with its endpoints. As with a real one, a connection stays with the endpoint that it was given, also when
/// that is no longer one. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
    _keeper: JoinSet<()>,
}

impl Service {
    /// Opens one.
    pub async fn open(endpoints: &[SocketAddr]) -> Self {
        let (listener, address) = loopback::listener().await;
        let endpoints = Arc::new(Mutex::new(endpoints.to_vec()));
        let mut keeper = JoinSet::new();
        keeper.spawn(serve(listener, Arc::clone(&endpoints)));
        Self {
            address,
            endpoints,
            _keeper: keeper,
        }
    }

    /// Its address, which never changes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the endpoints for connections from now on.
    pub fn set(&self, endpoints: &[SocketAddr]) {
        *lock(&self.endpoints) = endpoints.to_vec();
    }
}

async fn serve(listener: TcpListener, endpoints: Arc<Mutex<Vec<SocketAddr>>>) {
    let mut connections = JoinSet::new();
    let mut number = 0_usize;
    while let Ok((mut inner, _)) = listener.accept().await {
        number += 1;
        let endpoint = {
            let endpoints = lock(&endpoints);
            let place = number.checked_rem(endpoints.len());
            place.and_then(|place| endpoints.get(place).copied())
        };
        connections.spawn(async move {
            let Some(endpoint) = endpoint else { return };
            if let Ok(mut outer) = TcpStream::connect(endpoint).await {
                let _ = inner.set_nodelay(true).and(outer.set_nodelay(true));
                let _ = copy_bidirectional(&mut inner, &mut outer).await;
            }
        });
    }
}

fn lock(endpoints: &Mutex<Vec<SocketAddr>>) -> std::sync::MutexGuard<'_, Vec<SocketAddr>> {
    endpoints.lock().unwrap_or_else(PoisonError::into_inner)
}
