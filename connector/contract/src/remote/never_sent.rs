//! Which failed calls the connector cannot have begun.
//!
//! A status alone does not tell: `UNAVAILABLE` is what tonic says of a refused connection and what a proxy says of an
//! answer that it lost. Only the errors behind it do, and that its message has not left; everything else may have been
//! done.

use std::error::Error;

use tonic::Status;

/// Why the connector cannot have begun a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NeverSent {
    /// There was no connection, or the peer did not want the call.
    Unreached,
    /// The connection ended before the call was on it. So do, at one moment, all connections to a replica that stops.
    Lost,
}

/// Whether the connector cannot have begun the call, and why.
pub(super) fn never_sent(status: &Status) -> Option<NeverSent> {
    causes(status).find_map(|cause| {
        if cause.is::<tonic::ConnectError>() {
            return Some(NeverSent::Unreached);
        }
        if cause.downcast_ref().is_some_and(hyper::Error::is_canceled) {
            return Some(NeverSent::Lost);
        }
        cause.downcast_ref().and_then(declined)
    })
}

/// Whether the peer said that it did not begin (RFC 9113 sections 8.7 and 6.8). h2 gives a peer's GOAWAY to the streams
/// above its last stream id, and to those not yet begun; those below it go on, or end with the connection.
fn declined(error: &h2::Error) -> Option<NeverSent> {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    match (error.is_remote(), error.is_go_away()) {
        (true, true) => Some(NeverSent::Lost),
        (true, false) if refused => Some(NeverSent::Unreached),
        _ => None,
    }
}

/// Why the connector cannot have begun a call that failed before its message left: a connection that ends leaves an error,
/// a peer that answers does not.
pub(super) fn not_left(status: &Status) -> NeverSent {
    match status.source() {
        Some(_) => NeverSent::Lost,
        None => NeverSent::Unreached,
    }
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_call_that_has_not_left_was_lost_with_its_connection_or_was_not_wanted() {
        let ended = io::Error::from(io::ErrorKind::ConnectionReset);
        let ended = Status::from_error(Box::new(ended));
        assert_eq!(never_sent(&ended), None, "alone it does not tell");
        assert_eq!(not_left(&ended), NeverSent::Lost);
        let answered = Status::unavailable("no upstream");
        assert_eq!(not_left(&answered), NeverSent::Unreached);
    }
}
