//! What can go wrong between a connector and its IdP, and the answers that come of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::watch;

use crate::http::Answer;

/// What becomes of an exchange instead of what should.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// The IdP is not asked; this status, these headers and this body are the answer.
    Instead(StatusCode, HeaderMap, Bytes),
    /// The IdP does what it was asked, but its answer is lost and this one takes its place.
    AfterCommit(StatusCode, HeaderMap, Bytes),
    /// The IdP does it, and half of its answer arrives.
    HalfAnAnswer,
    /// The IdP does it, and its answer never arrives.
    Silence,
    /// The IdP does it, and one JSON member of its answer is another.
    Member(&'static str, Value),
    /// The IdP does it, and its answer waits at a gate. See [`Mishap::held`].
    Held(watch::Receiver<bool>),
}

impl Mishap {
    /// The IdP does what it was asked, and its answer is held back until the gate is opened or dropped.
    pub fn held() -> (Self, Gate) {
        let (gate, is_open) = watch::channel(false);
        (Self::Held(is_open), Gate(gate))
    }
}

/// What holds answers back.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// Lets them go.
    pub fn open(self) {
        self.0.send_replace(true);
    }
}

/// The body of an answer that may end too early.
pub type Body = BoxBody<Bytes, io::Error>;

/// Whether a header is between two neighbours only.
pub(crate) fn is_of_one_connection(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "transfer-encoding" | "content-length" | "te" | "upgrade"
    )
}

/// The answer as it is.
#[must_use]
pub fn respond(answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body)
        .map_err(|never| match never {})
        .boxed();
    with_head(answer.status, &answer.headers, body)
}

/// The head of an answer, half of its body, and then the end of the connection.
#[must_use]
pub fn half(answer: &Answer) -> Response<Body> {
    let half = answer.body.slice(..answer.body.len() / 2);
    let mut response = with_head(answer.status, &answer.headers, Half::Unsent(half).boxed());
    response
        .headers_mut()
        .insert("content-length", answer.body.len().into());
    response
}

/// A body that ends too early. Between its frame and its failure it waits once, so that the frame is really sent.
enum Half {
    Unsent(Bytes),
    Sent,
    Over,
}

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match std::mem::replace(&mut *self, Self::Over) {
            Self::Unsent(half) => {
                *self = Self::Sent;
                Poll::Ready(Some(Ok(Frame::data(half))))
            }
            Self::Sent => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Over => Poll::Ready(Some(Err(io::Error::other("enough")))),
        }
    }
}

/// A body that fails at once, which closes the connection.
pub(crate) fn hung_up() -> Body {
    StreamBody::new(tokio_stream::iter([Err(io::Error::other(
        "the IdP hung up",
    ))]))
    .boxed()
}

fn with_head(status: StatusCode, headers: &HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if !is_of_one_connection(name.as_str()) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}
