//! The limits of connecting, whatever makes the connection.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, timeout};
use tower::Service;

use crate::fault::root_cause;

type BoxError = Box<dyn Error + Send + Sync>;

/// From a name to a connection that can be written to.
const LIMIT: Duration = Duration::from_secs(1);
/// Calls that waited for a connection that could not be made all fail with it: tonic would let each of them wait for
/// an attempt of its own, one after the other. This is long enough to tell those that waited, and too short to keep
/// from a connector that has come back.
const SHARED: Duration = Duration::from_millis(50);

/// Makes the connections of one channel.
#[derive(Debug)]
pub(super) struct Connect<C, F> {
    inner: C,
    connected: F,
    failed: Arc<Mutex<Option<Failed>>>,
}

/// The last attempt that failed.
#[derive(Debug)]
struct Failed {
    when: Instant,
    cause: Arc<str>,
}

impl<C, F> Connect<C, F> {
    /// Calls `connected` whenever a connection was made.
    pub(super) fn new(inner: C, connected: F) -> Self {
        Self {
            inner,
            connected,
            failed: Arc::default(),
        }
    }
}

impl<C, F> Service<Uri> for Connect<C, F>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
    F: Fn() + Clone + Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let failed = Arc::clone(&self.failed);
        let last = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Failed { when, cause }) = &*last
            && when.elapsed() < SHARED
        {
            let cause = BoxError::from(&**cause);
            return Box::pin(std::future::ready(Err(cause)));
        }
        drop(last);
        let connecting = self.inner.call(uri);
        let connected = self.connected.clone();
        Box::pin(async move {
            let cause = match timeout(LIMIT, connecting).await {
                Ok(Ok(connection)) => {
                    connected();
                    return Ok(connection);
                }
                Ok(Err(error)) => Arc::from(root_cause(&*error.into())),
                Err(_) => Arc::from(format!("no connection within {LIMIT:?}")),
            };
            let error = BoxError::from(&*cause);
            let when = Instant::now();
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Failed { when, cause });
            Err(error)
        })
    }
}
