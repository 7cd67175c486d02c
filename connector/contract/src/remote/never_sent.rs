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

/// The same of a call whose message has not left.
pub(super) fn not_left(status: &Status) -> NeverSent {
    let is_said = |cause: &(dyn Error + 'static)| {
        let of_it_alone = |error: &h2::Error| error.is_reset();
        cause.downcast_ref().is_some_and(of_it_alone)
    };
    // What a peer answers has no error behind it.
    if status.source().is_none() || causes(status).any(is_said) {
        NeverSent::Unreached
    } else {
        NeverSent::Lost
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
