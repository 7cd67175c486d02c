//! Whether a call's message has left: before that the connector cannot have begun the call, whatever it was told of it.
//!
//! hyper asks for the body of a request when there is a connection that has room for one more stream, or later. Its head
//! may have left by then, of which no call comes. Who gives a call up, or sees it fail, takes its message back; only one
//! of the two gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service;

const KEPT: u8 = 0;
const LEFT: u8 = 1;
const TAKEN_BACK: u8 = 2;

/// The message of one call. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Arc<AtomicU8>);

impl Message {
    /// Takes it back, and tells whether it was still there: then it will never leave.
    pub(super) fn take_back(&self) -> bool {
        self.change(TAKEN_BACK)
    }

    /// Lets it go, unless it was taken back.
    fn leave(&self) -> bool {
        self.change(LEFT)
    }

    fn change(&self, to: u8) -> bool {
        let changed = self
            .0
            .compare_exchange(KEPT, to, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok() || changed == Err(to)
    }
}

/// A channel for one call.
#[derive(Debug, Clone)]
pub(super) struct OneCall {
    channel: Channel,
    message: Message,
}

impl OneCall {
    pub(super) fn new(channel: Channel, message: Message) -> Self {
        Self { channel, message }
    }
}

impl Service<Request<Body>> for OneCall {
    type Response = <Channel as Service<Request<Body>>>::Response;
    type Error = <Channel as Service<Request<Body>>>::Error;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let message = self.message.clone();
        let request = request.map(|body| Body::new(Leaving { body, message }));
        Service::call(&mut self.channel, request)
    }
}

/// The body of a request, which asks before it goes.
struct Leaving {
    body: Body,
    message: Message,
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.message.leave() {
            let given_up = Status::cancelled("given up before it was sent");
            return Poll::Ready(Some(Err(given_up)));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_leaves_or_is_taken_back() {
        let message = Message::default();
        assert!(message.take_back());
        assert!(!message.leave());
        assert!(message.take_back());
        let message = Message::default();
        assert!(message.leave());
        assert!(!message.take_back());
        assert!(message.leave());
    }
}
