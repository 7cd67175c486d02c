//! An answer of a connector that was read to its end, and what it says about what was done.

use std::cmp::Ordering::{Equal, Greater, Less};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};

use super::Body;

/// An answer that was read to its end.
pub(super) struct Whole {
    head: http::response::Parts,
    pub(super) body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Whole {
    /// Whether the second of two answers is the one that arrives. One that leaves open what was done goes before one
    /// that it was: whoever does not know undoes. And that something was done goes before that nothing was.
    pub(super) fn is_second(one: &Self, two: &Self, second: bool) -> bool {
        match one.rank().cmp(&two.rank()) {
            Less => true,
            Greater => false,
            Equal => second,
        }
    }

    /// Whether one says that it made what was asked for, and the other does not know.
    pub(super) fn is_half_known(one: &Self, two: &Self) -> bool {
        let made = |answer: &Self| answer.grpc_status() == "0";
        made(one) && two.rank() == 2 || made(two) && one.rank() == 2
    }

    /// 2: it may have been done; 1: it was; 0: it was not.
    fn rank(&self) -> u8 {
        match self.grpc_status().as_str() {
            "0" | "6" => 1,
            "3" | "5" | "7" | "8" | "9" | "12" | "14" => 0,
            _ => 2,
        }
    }

    pub(super) fn grpc_status(&self) -> String {
        let trailers = self.trailers.as_ref().unwrap_or(&self.head.headers);
        let status = trailers.get("grpc-status").and_then(|v| v.to_str().ok());
        status.unwrap_or_default().to_owned()
    }
}

/// Reads an answer to its end.
pub(super) async fn whole(answer: Response<Incoming>) -> Result<Whole, hyper::Error> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    Ok(Whole {
        head,
        body: body.to_bytes(),
        trailers,
    })
}

/// Gives an answer again, as it came.
pub(super) fn again(answer: Whole) -> Response<Body> {
    let data = (!answer.body.is_empty()).then(|| Ok(Frame::data(answer.body)));
    let trailers = answer
        .trailers
        .map(|trailers| Ok(Frame::trailers(trailers)));
    let frames: Vec<_> = data.into_iter().chain(trailers).collect();
    let body = StreamBody::new(tokio_stream::iter(frames));
    Response::from_parts(answer.head, BoxBody::new(body))
}
