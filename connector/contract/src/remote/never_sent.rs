//! Which failed calls the connector cannot have begun.
//!
//! A status alone does not tell: `UNAVAILABLE` is what tonic says of a refused connection and what a proxy says of an
//! answer that it lost. Only the errors behind it do, and everything that is not listed here may have been done.

use std::error::Error;

use tonic::Status;

/// Whether the connector cannot have begun the call.
pub(super) fn never_sent(status: &Status) -> bool {
    causes(status).any(|cause| {
        // There was no connection.
        cause.is::<tonic::ConnectError>()
            // The connection was lost while the call waited to be written to it.
            || cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref().is_some_and(declined)
    })
}

/// Whether the peer said that it did not begin (RFC 9113 sections 8.7 and 6.8). h2 gives a peer's GOAWAY to the streams
/// above its last stream id, and to those not yet begun; those below it go on, or end with the connection.
fn declined(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}

/// Whether tonic's own timer, which runs beside ours, was the first to end the call.
pub(super) fn timed_out(status: &Status) -> bool {
    causes(status).any(<dyn Error>::is::<tonic::TimeoutExpired>)
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |cause: &&(dyn Error + 'static)| {
        (*cause).source()
    })
}
